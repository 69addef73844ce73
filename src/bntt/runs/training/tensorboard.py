"""TensorBoard events of a run, where the extra ``track`` is installed; ``metrics.jsonl`` is always written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_accuracy", "lr")
EVERY_LAYER = ("firing_rate", "gamma")
"""Numbers by layer: one curve each, as ``gamma/conv1``. γ of every step would be T times as many."""


@contextmanager
def event_writer(folder: Path, first_epoch: int = 0) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
    """Yields ``write(epoch, row)``, a row as in ``metrics.jsonl``; without tensorboard it does nothing.

    Numbers that a row does not have, or has as None, are left out. What an earlier start wrote of ``first_epoch`` and
    later, and a resumed run writes again, TensorBoard does not show.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, event_writer(Path(folder)) as write:
    ...     write(0, {"train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.3, "firing_rate": {"conv1": 0.2}})
    """
    if find_spec("tensorboard") is None:
        yield lambda epoch, row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def write(epoch: int, row: Mapping[str, Any]) -> None:
        values = {name: row.get(name) for name in EVERY_EPOCH}
        for kind in EVERY_LAYER:
            values |= {f"{kind}/{layer}": value for layer, value in (row.get(kind) or {}).items()}
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, epoch)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
