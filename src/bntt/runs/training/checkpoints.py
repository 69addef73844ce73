"""The checkpoints of one training: written one after another, the latest few kept, the latest sound one found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from bntt.io.checkpoint import Checkpoint, CheckpointError, read_checkpoint, write_checkpoint

_NAME = re.compile(r"step-(\d+)\.safetensors")


class Found(NamedTuple):
    """The latest checkpoint that can be read."""

    path: Path
    checkpoint: Checkpoint
    passed_over: tuple[str, ...]
    """What was wrong with later ones."""


@dataclass(frozen=True)
class Kept:
    """Checkpoints ``step-000000123.safetensors``, named by the updates done: neither names nor clocks order them.

    >>> import tempfile, torch
    >>> kept = Kept(Path(tempfile.mkdtemp()))
    >>> for updates in (9, 10, 11):
    ...     _ = kept.write(updates, {"x": torch.zeros(1)}, {}, last=2)
    >>> [path.name for path in kept.paths()]
    ['step-000000011.safetensors', 'step-000000010.safetensors']
    """

    folder: Path

    def paths(self) -> list[Path]:
        """The latest first."""
        return [path for _, path in self._numbered()]

    def _numbered(self) -> list[tuple[int, Path]]:
        named = [(int(match[1]), path) for path in self.folder.glob("step-*") if (match := _NAME.fullmatch(path.name))]
        return sorted(named, reverse=True)

    def write(self, updates: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], last: int) -> Path:
        """Write the next one, whole and verified; only then are all but the ``last`` deleted.

        Later ones than this were passed over as damaged, or belong to a training that was given up: they go too.

        Raises:
            OSError: if it cannot be written; those before are untouched.
        """
        path = self.folder / f"step-{updates:09}.safetensors"
        write_checkpoint(path, tensors, facts)
        kept = [old for number, old in self._numbered() if number < updates][: last - 1]
        for old in set(self.paths()) - {path, *kept}:
            with suppress(OSError):  # it is there for one checkpoint longer
                old.unlink()
        return path

    def tidy(self) -> None:
        """Delete what a kill left half-written; whoever calls this is the only one who writes here."""
        for stump in self.folder.glob("*.tmp"):
            with suppress(OSError):
                stump.unlink()

    def latest(self) -> Found:
        """The latest that is sound.

        Raises:
            CheckpointError: if there is none, naming what is wrong with each.
        """
        passed_over: list[str] = []
        for path in self.paths():
            try:
                return Found(path, read_checkpoint(path), tuple(passed_over))
            except CheckpointError as error:
                passed_over.append(str(error))
        if passed_over:
            raise CheckpointError(f"no checkpoint can be used: {'; '.join(passed_over[:5])}")
        raise CheckpointError(f"{self.folder} holds no checkpoint: there is nothing to resume, start anew")
