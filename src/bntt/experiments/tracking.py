"""TensorBoard events of a run, where the extra ``track`` is installed; ``metrics.jsonl`` is always written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_accuracy", "lr")


@contextmanager
def event_writer(folder: Path) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Yields ``write(epoch, values)``; without tensorboard it does nothing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, event_writer(Path(folder)) as write:
    ...     write(0, {"train_loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.5, "lr": 0.3})
    """
    if find_spec("tensorboard") is None:
        yield lambda epoch, values: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(epoch: int, values: Mapping[str, float]) -> None:
        for name in EVERY_EPOCH:
            writer.add_scalar(name, values[name], epoch)

    try:
        yield write
    finally:
        writer.close()
