"""Noise, from ``robust*.json``, and attacks, from ``attack*.json``: rows that are worth nothing are marked INVALID."""

from __future__ import annotations

from collections.abc import Sequence

from bntt.charts.records import Axis, Line, Lines, is_empty
from bntt.charts.section import Cell, Table, count, interval, number, plural, share
from bntt.studies.report.blocks import Section
from bntt.studies.report.reading import Values

UNBOUNDED = "pgd, no bound"
"""A control, and no line of the figure."""


def noise(values: Values) -> Section:
    """Accuracy of every run against the noise of the pixels.

    Raises:
        GapError: if the file does not say them.
    """
    runs = values.rows("runs")
    spoken = f"{values.said('split', 'test')} images: {values.said('images_chosen') or values.said('images')}; "
    spoken += "one start of each run"
    lines, rows = [], list[tuple[Cell, ...]]()
    for i, run in enumerate(runs[:40]):
        some = run.rows("rows")
        name = run.said("run", f"run {i + 1}")
        lines.append(_line(name, some, "sigma"))
        rows += [
            (
                Cell(name),
                number(row.maybe("sigma"), ".3g"),
                share(row.maybe("accuracy")),
                interval(row.maybe("low_95"), row.maybe("high_95")),
                count(row.maybe("steps")),
                count(row.maybe("draws")),
                count(row.maybe("images")),
            )
            for row in some
        ]
    unit = "pixel values in [0, 1]" if values.said("sigma_in") == "pixels" else values.said("sigma_in", "unknown unit")
    columns = ("run", "σ", "accuracy", "95% interval", "steps", "draws", "images")
    clipped = ", clipped to [0, 1]" if values.flag("clipped") else ""
    chart = Lines(
        "Accuracy under noise",
        Axis(f"σ of Gaussian noise ({unit})"),
        Axis("accuracy", percent=True),
        lines,
        note=f"{spoken}; bands: 95% intervals",
    )
    return Section(
        "Robustness to noise",
        words=(f"Gaussian noise is added to {unit}{clipped}.",),
        charts=() if is_empty(chart) else (chart,),
        folded=(Table(f"Accuracy under noise, with intervals: {spoken}", columns, tuple(rows)),),
    )


def _line(name: str, rows: Sequence[Values], key: str) -> Line:
    some = sorted(rows, key=lambda row: row.number(key))
    return Line(
        name,
        tuple(row.number(key) for row in some),
        tuple(row.maybe("accuracy") for row in some),
        name,
        tuple(row.maybe("low_95") for row in some),
        tuple(row.maybe("high_95") for row in some),
        invalid=tuple(i for i, row in enumerate(some) if row.said("invalid")),
    )


def attacks(values: Values) -> Section:
    """Accuracy under every attack, an upper bound of the robust one.

    Raises:
        GapError: if the file does not say them.
    """
    rows = values.rows("rows")
    spoken = f"{values.said('split', 'test')} images: {values.said('chosen', 'not told')}; one start"
    several = len({row.said("model") for row in rows}) > 1 or len({row.said("crafted_on") for row in rows}) > 2
    drawn: dict[str, list[Values]] = {}
    for row in rows:
        if row.text("attack") != UNBOUNDED:
            drawn.setdefault(_called(row, several=several), []).append(row)
    chart = Lines(
        "Accuracy under attack",
        Axis("ε in steps of 1/255"),
        Axis("accuracy", percent=True),
        [_line(name, some, "eps_255") for name, some in list(drawn.items())[:40]],
        note=f"{spoken}; bands: 95% intervals; crosses: INVALID",
    )
    columns = (
        "attack",
        "model",
        "made on",
        "ε · 255",
        "accuracy",
        "95% interval",
        "clean",
        "images",
        "draws",
        "valid?",
    )
    wrong = sum(bool(row.said("invalid")) for row in rows)
    words = [values.said("note").capitalize() + "." if "note" in values else ""]
    words += [f"{plural(wrong, 'row')} of {len(rows)} INVALID: the reason stands in the row."] if wrong else []
    table = Table(f"Accuracy under attack: {spoken}", columns, tuple(_row(row) for row in rows), values.said("norm"))
    return Section(
        "Attacks",
        words=tuple(word for word in words if word),
        charts=(chart,) if _has_several_places(chart) else (),
        tables=(table,),
    )


def _has_several_places(chart: Lines) -> bool:
    """One ε is a table, and no figure."""
    return not is_empty(chart) and len({x for line in chart.lines for x in line.x}) > 1


def _called(row: Values, *, several: bool) -> str:
    name = " ".join(word for word in (row.text("attack"), row.said("estimator")) if word and word != "any")
    return f"{row.said('model')}: {name}, made on {row.said('crafted_on')}" if several else name.replace("_", " ")


def _row(row: Values) -> tuple[Cell, ...]:
    invalid = row.said("invalid")
    mark = "bad" if invalid else ""
    attack = " ".join(word for word in (row.text("attack"), row.said("estimator")) if word and word != "any")
    accuracy = share(row.maybe("accuracy"))
    return (
        Cell(attack.replace("_", " ")),
        Cell(row.said("model")),
        Cell(row.said("crafted_on")),
        number(row.maybe("eps_255"), ".3g"),
        Cell(f"{accuracy.text} INVALID", accuracy.value, mark="bad") if invalid else accuracy,
        interval(row.maybe("low_95"), row.maybe("high_95")),
        share(row.maybe("clean_accuracy")),
        count(row.maybe("images")),
        count(row.maybe("draws")),
        Cell("INVALID", 0.0, invalid, "bad") if mark else Cell("valid", 1.0),
    )
