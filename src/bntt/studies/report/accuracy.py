"""Accuracy, γ and firing rates over time, from ``evaluation*.json``."""

from __future__ import annotations

from collections.abc import Mapping

from bntt.charts.records import STEPS, Axis, Lines, is_empty, over_steps
from bntt.charts.section import Cell, Table, count, duration, interval, plural, share
from bntt.studies.report.blocks import Section
from bntt.studies.report.reading import Values

COLUMNS = ("measurement", "accuracy", "95% interval", "sd over draws", "images", "draws", "steps", "spikes an image")


def evaluations(found: Mapping[str, Values]) -> Section:
    """All evaluations of a run as a table, and the first of them over time.

    Raises:
        GapError: if one does not say its accuracy.
    """
    rows = tuple(_row(name, values) for name, values in found.items())
    caption = "Accuracy: one start; the interval is for the images (Wilson), the sd over draws of the input's noise"
    stem, first = next(iter(found.items()))
    return Section(
        "Accuracy",
        words=_words(first),
        tables=(Table(caption, COLUMNS, rows),),
        charts=over_time(first, spoken(first) + ("" if stem == "evaluation" else f", {stem}.json")),
    )


def spoken(values: Values) -> str:
    """What was measured: the split, how many images, and how many draws."""
    images, draws = values.whole("images"), values.maybe("draws") or 1
    return (
        f"{values.said('split', 'unknown split')}, {plural(images, 'image')}, {plural(round(draws), 'draw')}, one start"
    )


def _row(name: str, values: Values) -> tuple[Cell, ...]:
    low, high = bounds(values)
    spread = values.maybe("accuracy_sd_over_draws") if (values.maybe("draws") or 1) > 1 else None
    return (
        Cell(name, note=values.said("split")),
        share(values.number("accuracy")),
        interval(low, high),
        Cell("one draw") if spread is None else share(spread, 2),
        count(values.maybe("images")),
        count(values.maybe("draws")),
        count(values.maybe("steps")),
        count(values.maybe("spikes_per_image")),
    )


def bounds(values: Values) -> tuple[float | None, float | None]:
    """Wilson's interval, or twice None."""
    held = values.numbers("accuracy_wilson_95") if "accuracy_wilson_95" in values else ()
    return (held[0], held[1]) if len(held) == 2 else (None, None)


def _words(values: Values) -> tuple[str, ...]:
    said = []
    if "images_of" in values and values.whole("images_of") > values.whole("images"):
        said.append(f"{values.whole('images'):,} of the {values.whole('images_of'):,} images were measured.")
    if "conversion" in values:
        made = values.inside("conversion")
        trained = "then trained" if "updates" in values and values.whole("updates") else "not trained"
        said.append(
            f"Converted from an ANN, {trained}: thresholds are {made.said('scale', '?')} times the largest weighted "
            f"input of {made.said('images', '?')} training images."
        )
    if "updates" in values and values.whole("updates"):
        said.append(f"{values.whole('updates'):,} updates in {duration(values.maybe('seconds'))}, with validation.")
    return tuple(said)


def over_time(values: Values, caption: str) -> tuple[Lines, ...]:
    """Accuracy if stopped after each step; mean |γ| and firing rate of each layer at each step."""
    charts = []
    if "accuracy_over_time" in values:
        lines = over_steps({values.said("split", "accuracy"): values.numbers("accuracy_over_time")}, methods=True)
        charts.append(
            Lines("Accuracy over time", STEPS, Axis("accuracy if stopped here", percent=True), lines, note=caption)
        )
    if "gamma_magnitude" in values:
        lines = over_steps(values.by_name("gamma_magnitude"))
        charts.append(
            Lines("γ over time, by layer", STEPS, Axis("mean |γ| over channels"), lines, note="learned; one start")
        )
    if "firing_rate" in values:
        lines = over_steps(values.by_name("firing_rate"))
        title = "Firing rate over time, by layer"
        charts.append(Lines(title, STEPS, Axis("spikes a neuron", percent=True), lines, note=caption))
    return tuple(chart for chart in charts if not is_empty(chart) and any(len(one.x) > 1 for one in chart.lines))
