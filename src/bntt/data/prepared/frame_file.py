"""Frames written one sample at a time to a safetensors file, which may become larger than memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

HEADER = 512
"""Bytes of length and header, filled up with spaces: what it says is known at the end."""
CHUNK = 1 << 22


class FrameFile:
    """``frames`` ``[N, T, C, H, W]`` and ``labels`` ``[N]`` of a file, uint8 until a sample has uint16 counts.

    Then all before it are written again, wider. The file is whole when the context ends without an error.

    Raises:
        ValueError: on a sample of another shape or type, or, at the end, on fewer or more of them than labels.

    >>> import tempfile, safetensors.torch
    >>> path = Path(tempfile.mkdtemp()) / "x.safetensors"
    >>> with FrameFile(path, [1, 4, 2, 3, 3], [0]) as file:
    ...     file.add(torch.ones(4, 2, 3, 3, dtype=torch.uint8))
    >>> safetensors.torch.load_file(path)["frames"].sum()
    tensor(72)
    """

    def __init__(self, path: Path, shape: Sequence[int], labels: Sequence[int]) -> None:
        self.path, self.shape, self.labels = path, tuple(shape), np.array(labels, "<i8")
        self.bits, self.count = 8, 0

    def __enter__(self) -> FrameFile:
        self._file = self.path.open("w+b")
        self._file.write(bytes(HEADER) + self.labels.tobytes())
        return self

    def add(self, counts: Tensor) -> None:
        """Write the next sample, ``[T, C, H, W]``."""
        if counts.shape != self.shape[1:] or counts.dtype not in (torch.uint8, torch.uint16):
            raise ValueError(
                f"a sample must be uint8 or uint16 {list(self.shape[1:])}, got {counts.dtype} {list(counts.shape)}"
            )
        if counts.dtype == torch.uint16 and self.bits == 8:
            self._widen()
        self._file.write(counts.numpy().astype(f"<u{self.bits // 8}").tobytes())
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()

    def _finish(self) -> None:
        if not self.count == len(self.labels) == self.shape[0]:
            raise ValueError(f"{self.path}: {self.count} samples of {self.shape[0]}, and {len(self.labels)} labels")
        past = len(self.labels) * 8
        frames = past + int(np.prod(self.shape, dtype=object)) * self.bits // 8
        header = {
            "labels": {"dtype": "I64", "shape": [len(self.labels)], "data_offsets": [0, past]},
            "frames": {"dtype": f"U{self.bits}", "shape": self.shape, "data_offsets": [past, frames]},
        }
        self._file.seek(0)
        self._file.write((HEADER - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(HEADER - 8))

    def _widen(self) -> None:
        """The samples so far with 16 bits, from the end, so that none is written over before it is read."""
        start = HEADER + len(self.labels) * 8
        for first in range((self._file.tell() - start) // CHUNK * CHUNK, -1, -CHUNK):
            self._file.seek(start + first)
            part = np.frombuffer(self._file.read(CHUNK), np.uint8)
            self._file.seek(start + 2 * first)
            self._file.write(part.astype("<u2").tobytes())
        self._file.seek(0, 2)
        self.bits = 16
