"""A training epoch by epoch, as charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bntt.charts.axes import finite
from bntt.charts.records import Axis, Level, Line, Lines, is_empty

EPOCHS = Axis("epoch", whole=True)
"""Counted from 1."""
Rows = Sequence[Mapping[str, Any]]


def training_curves(rows: Rows) -> list[Lines]:
    """Charts of a run over its epochs: loss, accuracies, learning rate and, where the rows have them, mean firing rate
    and mean |γ| of every layer.

    Args:
        rows: an epoch each, as the lines of ``metrics.jsonl``: ``epoch`` (from 0), ``train_loss``, ``train_accuracy``,
            ``lr``; ``validation_accuracy``, ``firing_rate`` and ``gamma`` (by layer) may be None or not there.
    """
    accuracy = Axis("accuracy", percent=True, low=0, high=1)
    accuracies = [_line("training", rows, "train_accuracy"), _line("validation", rows, "validation_accuracy")]
    charts = [
        Lines("Loss in training", EPOCHS, Axis("loss"), [_line("training", rows, "train_loss")]),
        Lines(
            "Accuracy in training",
            EPOCHS,
            accuracy,
            [line for line in accuracies if line.x],
            _best(rows),
            "training images augmented, validation images held out",
        ),
        _learning_rate(rows),
        Lines(
            "Firing rate of each layer",
            EPOCHS,
            Axis("mean firing rate", percent=True, low=0),
            layer_lines(rows, "firing_rate"),
            note="validation images",
        ),
        Lines("γ of each layer", EPOCHS, Axis("mean |γ|", low=0), layer_lines(rows, "gamma")),
    ]
    return [chart for chart in charts if not is_empty(chart)]


def best_epoch(rows: Rows) -> tuple[int, float] | None:
    """The epoch, from 1, with the highest validation accuracy, and that; of equals the first, as a run keeps it."""
    measured = [row for row in rows if row.get("validation_accuracy") is not None]
    if not measured:
        return None
    best = max(measured, key=lambda row: row["validation_accuracy"])
    return best["epoch"] + 1, best["validation_accuracy"]


def _best(rows: Rows) -> list[Level]:
    found = best_epoch(rows)
    return [Level(found[0], f"best: {found[1]:.1%}, epoch {found[0]}", "x")] if found else []


def _learning_rate(rows: Rows) -> Lines:
    line = _line("learning rate", rows, "lr", stepped=True)
    rates = finite(line.y)
    falls = bool(rates) and min(rates) > 0 and max(rates) >= 10 * min(rates)  # the last drops would not be seen
    return Lines("Learning rate", EPOCHS, Axis("learning rate", scale="log" if falls else "linear"), [line])


def _line(name: str, rows: Rows, key: str, *, stepped: bool = False) -> Line:
    """A line through the epochs that have a value, open where it is not finite."""
    points = [(row["epoch"] + 1, row[key]) for row in rows if row.get(key) is not None]
    return Line(name, [x for x, _ in points], [_finite(y) for _, y in points], name, stepped=stepped)


def layer_lines(rows: Rows, key: str) -> list[Line]:
    """A line for every layer that a row names, through the epochs that have its value."""
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row.get(key) or {}):
        found = [(row["epoch"] + 1, (row.get(key) or {}).get(name)) for row in rows]
        points = [(epoch, value) for epoch, value in found if value is not None]
        lines.append(Line(name, [x for x, _ in points], [_finite(y) for _, y in points]))
    return lines


def _finite(value: float) -> float | None:
    return next(iter(finite([value])), None)
