"""A run epoch by epoch, from ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bntt.runs.training.curves import best_epoch, training_curves
from bntt.studies.report.blocks import Section
from bntt.studies.report.reading import Values, clean

KEYS = ("train_loss", "train_accuracy", "validation_accuracy", "lr")


def training(rows: Sequence[Values]) -> Section:
    """Loss, accuracies, learning rate, and of every layer the mean firing rate and mean |γ|, over epochs.

    Raises:
        GapError: if a row has no epoch.
    """
    if not rows:
        return Section("Training", gaps=("metrics.jsonl: no epoch was finished",))
    read = [_row(row) for row in rows]
    best = best_epoch(read)
    word = "No validation accuracy was measured."
    if best is not None:
        word = f"Best validation accuracy {best[1]:.1%}, at epoch {best[0]} of {len(rows)}."
    return Section("Training", words=(word,), charts=tuple(training_curves(read)) if len(rows) > 1 else ())


def _row(row: Values) -> dict[str, Any]:
    """An epoch with what can be drawn of it."""
    by_layer = {key: row.inside(key) for key in ("firing_rate", "gamma") if key in row}
    return {
        "epoch": row.whole("epoch"),
        **{key: row.maybe(key) for key in KEYS},
        **{key: {clean(name, 60): of.maybe(name) for name in of} for key, of in by_layer.items()},
    }
