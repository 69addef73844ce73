"""Large buffers that are used again: fresh memory costs a page fault every 4 KiB, a third of a training step.

A buffer is handed out once and belongs to its taker until it is given back, so two forward passes never share one; a
buffer that is never given back is freed as any tensor is.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

_SMALL = 1 << 16
"""Bytes below which a buffer is not worth keeping."""


class Workspace:
    """Flat byte buffers by size.

    >>> space = Workspace()
    >>> buffer = space.take(2, 3)
    >>> buffer.shape, buffer.dtype
    (torch.Size([2, 3]), torch.float32)
    >>> space.give(buffer)
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._lock = threading.Lock()

    def take(self, *shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
        """A buffer with no defined values, from those given back if one fits without wasting half of it.

        On a device other than the processor PyTorch's own allocator does the same, and graphs can capture it.
        """
        if device is not None and device.type != "cpu":
            return torch.empty(shape, dtype=dtype, device=device)
        size = math.prod(shape) * dtype.itemsize
        with self._lock:
            fitting = [i for i, held in enumerate(self._free) if size <= held.numel() < 2 * size + _SMALL]
            best = min(fitting, key=lambda i: self._free[i].numel(), default=None)
            held = self._free.pop(best) if best is not None else None
        if held is None:
            held = torch.empty(size, dtype=torch.uint8)
        return held[:size].view(dtype).view(shape)

    def give(self, *buffers: Tensor | None) -> None:
        """Give buffers back. Nothing else may still use them."""
        for buffer in buffers:
            if buffer is None or buffer.device.type != "cpu" or buffer.untyped_storage().nbytes() < _SMALL:
                continue
            whole = torch.empty(0, dtype=torch.uint8).set_(buffer.untyped_storage())
            with self._lock:
                self._free.append(whole)

    def free_bytes(self) -> int:
        """How much was given back and waits."""
        with self._lock:
            return sum(held.numel() for held in self._free)

    def clear(self) -> None:
        """Free everything that was given back."""
        with self._lock:
            self._free.clear()


WORKSPACE = Workspace()
"""The process's own, shared by all networks: a step of one network uses what a step of another left."""
