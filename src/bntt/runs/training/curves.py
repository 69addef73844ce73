"""Training curves by epoch: charts, and TensorBoard events if the extra ``track`` is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bntt.charts.files import save_figure
from bntt.charts.records import Axis, Figure, Level, Line, Lines, finite, values_of

EPOCHS = Axis("epoch", whole=True)
"""Epoch axis, counted from 1."""
Rows = Sequence[Mapping[str, Any]]


def training_curves(rows: Rows) -> list[Lines]:
    """Return charts of a run over its epochs: loss, accuracies, learning rate, mean firing rate and mean |γ|."""
    accuracy = Axis("accuracy", percent=True, low=0, high=1)
    accuracies = [_line("training", rows, "train_accuracy"), _line("validation", rows, "validation_accuracy")]
    losses = [_line("training", rows, "train_loss"), _line("validation", rows, "validation_loss")]
    rate, best = _line("learning rate", rows, "lr", stepped=True), best_epoch(rows)
    rates = finite(rate.y)
    falls = bool(rates) and min(rates) > 0 and max(rates) >= 10 * min(rates)  # else the last drops could not be seen
    charts = [
        Lines("Loss in training", EPOCHS, Axis("loss"), [line for line in losses if line.x]),
        Lines(
            "Accuracy in training",
            EPOCHS,
            accuracy,
            [line for line in accuracies if line.x],
            [Level(best[0], f"best: {best[1]:.1%}, epoch {best[0]}", "x")] if best else [],
            "training images augmented, validation images held out",
        ),
        Lines("Learning rate", EPOCHS, Axis("learning rate", scale="log" if falls else "linear"), [rate]),
        Lines(
            "Firing rate of each layer",
            EPOCHS,
            Axis("mean firing rate", percent=True, low=0),
            layer_lines(rows, "firing_rate"),
            note="validation images",
        ),
        Lines("γ of each layer", EPOCHS, Axis("mean |γ|", low=0), layer_lines(rows, "gamma")),
    ]
    return [chart for chart in charts if values_of(chart)]


def save_curves(rows: Rows, title: str, folder: Path) -> None:
    """Draw the charts of a run into its ``curves.png``."""
    save_figure(Figure(title, training_curves(rows)), folder / "curves.png")


def best_epoch(rows: Rows) -> tuple[int, float] | None:
    """Return the epoch (from 1) whose weights were kept, and its validation accuracy."""
    measured = [row for row in rows if row.get("validation_accuracy") is not None]
    if any(row.get("best") is not None for row in measured):
        measured = [row for row in measured if row.get("best")][-1:]
    if not measured:
        return None
    best = max(measured, key=lambda row: row["validation_accuracy"])
    return best["epoch"] + 1, best["validation_accuracy"]


def _line(name: str, rows: Rows, key: str, *, stepped: bool = False) -> Line:
    """Return a line through the epochs that have a value, or one for this layer."""
    of_layers = key in EVERY_LAYER
    values = [(row.get(key) or {}).get(name) if of_layers else row.get(key) for row in rows]
    points = [(row["epoch"] + 1, value) for row, value in zip(rows, values, strict=True) if value is not None]
    shown = [next(iter(finite([value])), None) for _, value in points]  # broken where it is not finite
    return Line(name, [epoch for epoch, _ in points], shown, "" if of_layers else name, stepped=stepped)


def layer_lines(rows: Rows, key: str) -> list[Line]:
    """Return a line for every layer in the rows, through the epochs that have its value."""
    return [_line(name, rows, key) for name in dict.fromkeys(name for row in rows for name in row.get(key) or {})]


EVERY_EPOCH = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "lr")
EVERY_LAYER = ("firing_rate", "gamma")
"""Numbers by layer: one curve each, as ``gamma/conv1``. γ of every step and channel is an image, ``gammas/conv1``."""
Write = Callable[[int, Mapping[str, Any], Mapping[str, Any]], None]


@contextmanager
def event_writer(folder: Path, first_epoch: int = 0) -> Iterator[Write | None]:
    """Yield ``write(epoch, row, gammas)`` for TensorBoard; None without tensorboard."""
    if find_spec("tensorboard") is None:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=first_epoch) as writer:

        def write(epoch: int, row: Mapping[str, Any], gammas: Mapping[str, Any]) -> None:
            values = {name: row.get(name) for name in EVERY_EPOCH}
            for kind in EVERY_LAYER:
                values |= {f"{kind}/{layer}": value for layer, value in (row.get(kind) or {}).items()}
            for name, value in values.items():
                if value is not None:
                    writer.add_scalar(name, value, epoch)
            for layer, gamma in gammas.items():
                writer.add_image(f"gammas/{layer}", gamma / gamma.max().clamp(min=1e-12), epoch, dataformats="HW")
            writer.flush()

        yield write
