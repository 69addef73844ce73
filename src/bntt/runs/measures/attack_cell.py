"""What one attack came to, image by image, and how it is kept batch by batch, so that it can go on after a stop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from bntt.io.checkpoint import CheckpointError
from bntt.io.digest import digest_of_values
from bntt.io.json_file import read_json, write_json
from bntt.runs.measures.attack_plan import Job


@dataclass(frozen=True)
class Piece:
    """A batch, attacked and measured."""

    right: tuple[tuple[str, ...], ...]
    """Of every model and draw, a 1 for each image that is classified right and a 0 for any other."""
    zero: str
    """A 1 for each image whose gradient is zero everywhere; "" without gradients."""
    agreement: tuple[float | None, ...]
    """Of each image, see :class:`~bntt.analysis.attack.gradient.InputGradient`."""
    change: tuple[float, ...]
    """The largest change of a pixel of each image."""
    queries: tuple[int, ...]
    """Times that a search asked the model of each image."""
    seconds: float

    @property
    def images(self) -> int:
        """In the batch."""
        return len(self.right[0][0])


@dataclass(frozen=True)
class Cell:
    """All batches of an attack."""

    job: Job
    pieces: tuple[Piece, ...]

    def right(self, model: int) -> Bool[Tensor, "D N"]:
        """Who is right, as a model says in each draw."""
        draws = zip(*(piece.right[model] for piece in self.pieces), strict=True)
        return torch.stack([_bits("".join(parts)) for parts in draws])

    @property
    def zero(self) -> Bool[Tensor, " N"]:
        """Whose gradient is zero everywhere."""
        return _bits("".join(piece.zero for piece in self.pieces))

    @property
    def agreement(self) -> float | None:
        """Mean over the images that have one."""
        found = [one for piece in self.pieces for one in piece.agreement if one is not None]
        return sum(found) / len(found) if found else None

    @property
    def change(self) -> float:
        """The largest of any pixel."""
        return max(one for piece in self.pieces for one in piece.change)

    @property
    def queries(self) -> float | None:
        """Mean over images, of a search."""
        found = [one for piece in self.pieces for one in piece.queries]
        return sum(found) / len(found) if found else None

    @property
    def seconds(self) -> float:
        """That all of it took."""
        return sum(piece.seconds for piece in self.pieces)


def as_bits(flags: Bool[Tensor, " N"]) -> str:
    """``[True, False]`` → ``"10"``.

    >>> as_bits(torch.tensor([True, False]))
    '10'
    """
    return "".join("01"[flag] for flag in flags.tolist())


def _bits(text: str) -> Tensor:
    return torch.tensor([one == "1" for one in text], dtype=torch.bool)


def cell_path(folder: Path, job: Job, settings: Mapping[str, Any]) -> Path:
    """Where an attack is kept: its name says what it is, and ends in a digest of all its settings."""
    digest = digest_of_values(settings)[:12]
    words = [job.attack, job.estimator, f"{255 * job.eps:.4g}" if job.eps else "", digest]
    return folder / f"{'-'.join(word for word in words if word)}.json"


def write_cell(path: Path, pieces: Sequence[Piece], settings: Mapping[str, Any], *, complete: bool) -> None:
    """Keep the batches that are done, and whether they are all.

    Raises:
        OSError: if they cannot be written.
    """
    values = {"complete": complete, "settings": settings, "batches": [vars(piece) for piece in pieces]}
    write_json(path, values)


def read_cell(path: Path, settings: Mapping[str, Any]) -> tuple[Piece, ...]:
    """The batches that were kept; none where nothing was.

    Raises:
        CheckpointError: if the file is damaged, or of other settings than its name says.
    """
    try:
        values = read_json(path)
        pieces = tuple(_piece(one) for one in values["batches"])
        if values["settings"] != json.loads(json.dumps(settings)):
            raise ValueError("its settings are not those of its name")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it, and this attack is made again") from None
    return pieces


def _piece(values: Mapping[str, Any]) -> Piece:
    right = tuple(tuple(rows) for rows in values["right"])
    known = {len(row) for rows in right for row in rows}
    if len(known) != 1 or not set("".join("".join(rows) for rows in right)) <= {"0", "1"}:
        raise ValueError("a batch has rows of several lengths, or of no ones and zeros")
    lists = {name: tuple(values[name]) for name in ("agreement", "change", "queries")}
    return Piece(right, values["zero"], **lists, seconds=values["seconds"])


def numbers_or_none(row: Tensor) -> tuple[float | None, ...]:
    """A row as JSON has it: NaN is null.

    >>> numbers_or_none(torch.tensor([0.5, torch.nan]))
    (0.5, None)
    """
    return tuple(None if math.isnan(one) else one for one in row.tolist())
