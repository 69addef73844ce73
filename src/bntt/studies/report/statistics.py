"""What normalisation does: from ``drift*.json``, ``equivalence*.json`` and ``stability*.json``."""

from __future__ import annotations

from collections.abc import Sequence

from bntt.charts.records import STEPS, Axis, Bar, Bars, Lines, is_empty, over_steps
from bntt.charts.section import Cell, Table, count, gap, number, plural, share
from bntt.studies.report.blocks import Section
from bntt.studies.report.reading import Values


def drift(values: Values) -> Section:
    """How far training's statistics are from those of other images, at each step.

    Raises:
        GapError: if the file does not say them.
    """
    layers = values.inside("layers")
    held = {name: layers.inside(name) for name in layers}
    spoken = f"{plural(values.whole('images'), values.said('split', 'validation') + ' image')}, one start"
    charts = tuple(
        Lines(title, STEPS, Axis("distance"), over_steps({n: of.numbers(key) for n, of in held.items() if key in of}),
              note=spoken)
        for title, key in (
            ("Distance of running statistics", "distance"),
            ("The same, were they shared by all steps", "distance_if_shared"),
        )
    )  # fmt: skip
    rows = tuple(
        (Cell(name), number(_mean(of, "distance")), number(_mean(of, "distance_if_shared")),
         number(_mean(of, "divergence_nats")), number(_mean(of, "deviation_ratio")))
        for name, of in held.items()
    )  # fmt: skip
    columns = ("layer", "distance", "were they shared", "divergence, nats", "ratio of deviations")
    return Section(
        "Drift of statistics",
        words=("How far the running statistics of training are from those of images that were not trained on.",),
        tables=(Table(f"Means over the steps: {spoken}", columns, rows),),
        charts=tuple(chart for chart in charts if not is_empty(chart)),
    )


def _mean(of: Values, key: str) -> float | None:
    held = [v for v in of.numbers(key) if v is not None] if key in of else []
    return sum(held) / len(held) if held else None


def equivalence(values: Values) -> Section:
    """Networks with the normalisation folded away, beside the one that was trained.

    Raises:
        GapError: if the file does not say them.
    """
    folds = values.inside("folds")
    held = {name: folds.inside(name) for name in folds}
    spoken = f"{plural(values.whole('images'), values.said('split', 'validation') + ' image')}, one start"
    first = (Cell("not folded"), share(values.maybe("accuracy")), gap("itself"), gap("itself"), gap("itself"))
    rows = tuple(
        (
            Cell(name),
            share(of.maybe("accuracy")),
            share(of.maybe("agreement")),
            Cell("kept" if of.flag("keeps_mean") else "left out"),
            Cell("kept" if of.flag("keeps_ratio") else "left out"),
        )
        for name, of in held.items()
    )
    columns = ("fold", "accuracy", "same answers", "mean", "ratio of deviations")
    differing = {name: _over_layers(of) for name, of in held.items() if "differing_own_spikes" in of}
    chart = Lines(
        "Spikes that differ",
        STEPS,
        Axis("neurons that spike differently", percent=True),
        over_steps(differing, methods=True),
        note=f"mean over layers, each network on its own spikes; {spoken}",
    )
    return Section(
        "Equivalence of folded networks",
        tables=(Table(f"Folding BNTT into leak, threshold and bias: {spoken}", columns, (first, *rows)),),
        charts=() if is_empty(chart) else (chart,),
    )


def _over_layers(of: Values) -> list[float | None]:
    rows = list(of.by_name("differing_own_spikes").values())
    steps = min(map(len, rows), default=0)
    return [_mean_of([row[t] for row in rows]) for t in range(steps)]


def _mean_of(held: Sequence[float | None]) -> float | None:
    some = [v for v in held if v is not None]
    return sum(some) / len(some) if some else None


def stability(values: Values) -> Section:
    """How many starts failed, by network, norm and learning rate.

    Raises:
        GapError: if the file does not say them.
    """
    rows = values.rows("shares")
    settings = values.inside("settings") if "settings" in values else Values({}, values.where)
    spoken = f"{settings.said('steps', '?')} updates a start"
    table = Table(
        f"Starts that failed: {spoken}",
        ("network and norm", "learning rate", "failed", "starts"),
        tuple(
            (
                Cell(f"{row.said('network')}, {row.said('norm')}"),
                number(row.maybe("rate"), ".3g"),
                count(row.maybe("failed")),
                count(row.maybe("starts")),
            )
            for row in rows
        ),
    )
    rates = sorted({row.number("rate") for row in rows})[:20]
    held: dict[str, dict[float, float]] = {}
    for row in rows:
        name = f"{row.said('network')}, {row.said('norm')}"
        held.setdefault(name, {})[row.number("rate")] = row.number("failed") / max(1.0, row.number("starts"))
    chart = Bars(
        "Starts that failed",
        Axis("share of starts that failed", percent=True),
        [f"learning rate {rate:g}" for rate in rates],
        [Bar(name, [of.get(rate) for rate in rates]) for name, of in list(held.items())[:20]],
        note=spoken,
    )
    return Section("Stability of training", folded=(table,), charts=() if is_empty(chart) else (chart,))
