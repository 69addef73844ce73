"""Who fires when, from ``activity*.json``; and one neuron, from ``neuron*.json``."""

from __future__ import annotations

from bntt.charts.records import STEPS, Axis, Bar, Bars, Level, Line, Lines, is_empty, over_steps
from bntt.studies.report.blocks import Cell, Section, Table, count, number, plural
from bntt.studies.report.reading import Values


def activity(values: Values) -> Section:
    """Spikes by layer, step and class, with where γ is largest.

    Raises:
        GapError: if the file does not say them.
    """
    layers = values.inside("layers")
    held = {name: layers.inside(name) for name in layers}
    spoken = f"{values.said('split')}, {plural(values.whole('images'), 'image')}, "
    spoken += f"{plural(round(values.maybe('draws') or 1), 'draw')}, one start"
    rows = tuple(
        (
            Cell(name),
            count(layer.maybe("neurons")),
            number(layer.maybe("spike_rate")),
            count(layer.maybe("peak_step")),
            count(layer.maybe("gamma_peak_step")),
        )
        for name, layer in held.items()
    )
    columns = ("layer", "neurons", "spikes a neuron", "most spikes at step", "γ largest at step")
    rates: dict[str, list[float | None]] = {}
    for row in values.rows("steps"):
        rates.setdefault(row.text("layer"), []).append(row.maybe("firing_rate"))
    spikes = tuple(_all_steps(layer) for layer in held.values())
    charts = (
        Lines(
            "Firing rate by layer and step",
            STEPS,
            Axis("spikes a neuron", percent=True),
            over_steps(rates),
            note=spoken,
        ),
        Bars(
            "Spikes of each layer",
            Axis("spikes an image, all steps"),
            tuple(held),
            [Bar("spikes", spikes)],
            note=spoken,
        ),
    )
    return Section(
        "Spike activity",
        words=(f"{values.number('spikes_per_image'):,.0f} spikes an image in all layers and steps.",),
        tables=(Table(f"Spikes by layer: {spoken}", columns, rows),),
        charts=tuple(chart for chart in charts if not is_empty(chart)),
        folded=(*_by_class(held, spoken), *_findings(values)),
    )


def _all_steps(layer: Values) -> float | None:
    neurons, rate = layer.maybe("neurons"), layer.maybe("spike_rate")
    return None if neurons is None or rate is None else neurons * rate


def _findings(values: Values) -> tuple[Table, ...]:
    """Layers in which something is amiss."""
    rows = values.rows("findings") if "findings" in values else []
    if not rows:
        return ()
    cells = tuple((Cell(row.said("layer", "–")), Cell(row.said("kind", "–")), Cell(row.text("text"))) for row in rows)
    return (Table(f"{plural(len(rows), 'finding')}: what is amiss in layers", ("layer", "kind", "finding"), cells),)


def _by_class(held: dict[str, Values], spoken: str) -> tuple[Table, ...]:
    spikes = {name: layer.by_name("spikes_by_class") for name, layer in held.items() if "spikes_by_class" in layer}
    classes = list(dict.fromkeys(name for of in spikes.values() for name in of))[:200]
    if not classes:
        return ()
    rows = tuple(
        (Cell(one), *(count(sum(v or 0.0 for v in of.get(one, ()))) for of in spikes.values())) for one in classes
    )
    return (Table(f"Spikes an image by class and layer, all steps: {spoken}", ("class", *spikes), rows),)


def neuron(values: Values) -> Section:
    """The potential of one neuron over one image, its threshold and its spikes.

    Raises:
        GapError: if the file does not say them.
    """
    rows = values.rows("steps")
    steps = [row.number("step") for row in rows]
    place = ", ".join(f"{v:g}" for v in values.numbers("place") if v is not None)
    where = f"layer {values.text('layer')}, place {place}; {values.said('split')} image {values.said('image')}"
    told = f"{where} ({values.said('label')})"
    fired = [f"{step:g}" for step, row in zip(steps, rows, strict=True) if row.flag("spike")]
    threshold = values.maybe("threshold")
    chart = Lines(
        "One neuron",
        STEPS,
        Axis("membrane potential"),
        [
            Line(name, steps, [row.maybe(key) for row in rows], name)
            for name, key in (("potential before firing", "potential"), ("kept after the reset", "membrane"))
        ],
        [] if threshold is None else [Level(threshold, "the threshold")],
        told,
    )
    said = f"It fires at {'step' if len(fired) == 1 else 'steps'} {', '.join(fired)}." if fired else "It never fires."
    return Section("One neuron over time", words=(f"{told}. {said}",), charts=() if is_empty(chart) else (chart,))
