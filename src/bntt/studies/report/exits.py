"""Early exit: for all images alike, from ``exit.json``, and image by image, from ``exit-per-sample.json``."""

from __future__ import annotations

from bntt.charts.records import STEPS, Axis, Bar, Bars, Level, Line, Lines, is_empty, over_steps
from bntt.studies.report.blocks import Cell, Section, Table, count, gap, number, plural, share
from bntt.studies.report.reading import Values

RULES = {
    "chosen": "threshold on γ, chosen on validation",
    "truncation": "truncation, chosen on validation",
    "paper_threshold": "the paper's threshold 0.1",
}


def early_exit(values: Values) -> Section:
    """The rules side by side; accuracy if stopped after each step; γ with the threshold.

    Raises:
        GapError: if the file does not say them.
    """
    split, steps = values.said("split", "test"), values.whole("num_steps")
    spoken = f"{plural(values.whole('test_images'), f'{split} image')}, one start"
    rows = tuple(_row(RULES[key], values.inside(key), split, steps) for key in RULES if key in values)
    columns = ("rule", "steps", "steps saved", "threshold", "validation accuracy", f"{split} accuracy", "points lost")
    grid = values.rows("grid")
    places = [row.number("steps") for row in grid]
    lines = [("validation", "validation_accuracy"), (split, f"{split}_accuracy")]
    shown = dict.fromkeys(lines if split != "validation" else lines[:1])
    charts = [
        Lines(
            "Accuracy by exit step",
            Axis("steps until exit", whole=True),
            Axis("accuracy if stopped here", percent=True),
            [Line(name, places, [row.maybe(key) for row in grid], name) for name, key in shown],
            note=f"every step that a threshold can reach; {spoken}",
        )
    ]
    if "gamma_magnitude" in values:
        level = values.maybe("threshold")
        charts.append(
            Lines(
                "γ and the threshold",
                STEPS,
                Axis("mean |γ| over channels"),
                over_steps(values.by_name("gamma_magnitude")),
                [] if level is None else [Level(level, f"the threshold {level:.3g}")],
                "the last step at which any layer reaches the dashed threshold is the exit",
            )
        )
    return Section(
        "Early exit",
        tables=(Table(f"Early exit of all images alike: {spoken}", columns, rows),),
        charts=tuple(chart for chart in charts if not is_empty(chart)),
    )


def _row(name: str, found: Values, split: str, steps: int) -> tuple[Cell, ...]:
    lost = found.maybe(f"{split}_lost")
    threshold = found.maybe("threshold")
    return (
        Cell(name),
        Cell(f"{found.whole('steps')} of {steps}", found.number("steps")),
        share(1 - found.number("steps") / steps if steps else None, 0),
        gap("none") if threshold is None else number(threshold, ".3g"),
        share(found.maybe("validation_accuracy")),
        share(found.maybe(f"{split}_accuracy")),
        Cell("–") if lost is None else Cell(f"{100 * lost:+.2f}", lost),
    )


def sample_exit(values: Values) -> Section:
    """The criteria side by side, and when images leave by each.

    Raises:
        GapError: if the file does not say them.
    """
    split = values.said("split", "test")
    spoken = f"{plural(values.whole('images'), f'{split} image')}, one start"
    found = values.rows("criteria")
    whole = (
        Cell("no exit"),
        gap("none"),
        number(values.maybe("whole_steps")),
        share(values.maybe("whole_accuracy")),
        Cell("–"),
        count(values.maybe("whole_additions_per_image")),
        number(values.maybe("whole_seconds")),
    )
    rows = tuple(
        (
            Cell(row.text("criterion")),
            number(row.maybe("threshold")),
            number(row.maybe("mean_steps")),
            share(row.maybe(f"{split}_accuracy")),
            share(row.maybe("alike_test_accuracy")),
            count(row.maybe("additions_per_image")),
            number(row.maybe("seconds")),
        )
        for row in found
    )
    columns = ("criterion", "threshold", "mean steps", f"{split} accuracy", "all alike, as many steps", "additions",
               "seconds")  # fmt: skip
    leave = values.by_name("leave_after_step")
    steps = max(map(len, leave.values()), default=0)
    chart = Bars(
        "When images leave",
        Axis("share of images that leave after this step", percent=True),
        [f"step {t + 1}" for t in range(steps)],
        [Bar(name, [*row, *[None] * (steps - len(row))]) for name, row in leave.items()] if steps <= 40 else [],
        note=spoken,
    )
    return Section(
        "Early exit, image by image",
        tables=(Table(f"Every image leaves when the network is sure: {spoken}", columns, (whole, *rows)),),
        charts=() if is_empty(chart) else (chart,),
    )
