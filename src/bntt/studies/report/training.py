"""A run epoch by epoch, from ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence

from bntt.studies.report.blocks import Section, plural
from bntt.studies.report.chart import COMPARED, Chart, Line, line
from bntt.studies.report.reading import Values, clean


def training(rows: Sequence[Values]) -> Section:
    """Loss, accuracies, learning rate, and of every layer the mean firing rate and mean |γ|, over epochs.

    Raises:
        GapError: if a row has no epoch.
    """
    if not rows:
        return Section("Training", gaps=("metrics.jsonl: no epoch was finished",))
    epochs = [row.number("epoch") + 1 for row in rows]
    spoken = f"{plural(len(rows), 'epoch')}, one start"

    def over(key: str, name: str, colour: int) -> Line:
        return line(name, epochs, [row.maybe(key) for row in rows], colour)

    charts = (
        Chart("Loss", "epoch", "training loss", (over("train_loss", "training", COMPARED[0]),), caption=spoken),
        Chart(
            "Accuracy in training",
            "epoch",
            "accuracy",
            (
                over("train_accuracy", "training", COMPARED[0]),
                over("validation_accuracy", "validation", COMPARED[1]),
            ),
            percent=True,
            caption=f"{spoken}; training images augmented, validation images held out",
        ),
        _rate(over("lr", "learning rate", COMPARED[0]), spoken),
        Chart(
            "Firing rate of each layer in training",
            "epoch",
            "mean firing rate",
            by_layer(epochs, rows, "firing_rate"),
            percent=True,
            caption=f"{spoken}, validation images",
        ),
        Chart("γ of each layer in training", "epoch", "mean |γ|", by_layer(epochs, rows, "gamma"), caption=spoken),
    )
    shown = tuple(chart for chart in charts if not chart.empty) if len(rows) > 1 else ()
    return Section("Training", words=_best(rows), charts=shown)


def _rate(rates: Line, spoken: str) -> Chart:
    held = [rate for rate in rates.y if rate is not None]
    falls = bool(held) and min(held) > 0 and max(held) >= 10 * min(held)
    return Chart("Learning rate", "epoch", "learning rate", (rates,), logarithmic=falls, caption=spoken)


def _best(rows: Sequence[Values]) -> tuple[str, ...]:
    held = [(row.maybe("validation_accuracy"), row.whole("epoch") + 1) for row in rows]
    measured = [(share, epoch) for share, epoch in held if share is not None]
    if not measured:
        return ("No validation accuracy was measured.",)
    best, at = max(measured, key=lambda found: found[0])
    return (f"Best validation accuracy {best:.1%}, at epoch {at} of {len(rows)}.",)


def by_layer(epochs: Sequence[float], rows: Sequence[Values], key: str) -> tuple[Line, ...]:
    """A line for every layer that a row names."""
    held = [row.inside(key) if key in row else None for row in rows]
    names = list(dict.fromkeys(name for layers in held if layers for name in layers))
    return tuple(
        line(clean(name, 60), epochs, [layers.maybe(name) if layers else None for layers in held], i)
        for i, name in enumerate(names[:40])
    )
