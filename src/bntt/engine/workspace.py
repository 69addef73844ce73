"""Large buffers that are used again: fresh memory costs a page fault every 4 KiB, a third of a training step.

A buffer is handed out once and belongs to its taker until it is given back, so two forward passes never share one; a
buffer that is never given back is freed as any tensor is. What was given back is kept up to twice the most that was
ever in use at once, enough for two networks in turn; beyond that the buffers that lay longest are freed, so batches of
many sizes do not add up.
"""

from __future__ import annotations

import math
import threading
import weakref

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
        """The one that lay longest first."""
        self._waiting = 0
        """Bytes of the free ones."""
        self._alive = 0
        """Bytes of all buffers, handed out or free."""
        self._most_used = 0
        """The most bytes that were handed out at once."""
        self._lock = threading.RLock()

    def take(self, *shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
        """A buffer with no defined values, from those given back if one fits without wasting half of it.

        On a device other than the processor PyTorch's own allocator does the same, and graphs can capture it.
        """
        if device is not None and device.type != "cpu":
            return torch.empty(shape, dtype=dtype, device=device)
        size = math.prod(shape) * dtype.itemsize
        if size < _SMALL:  # is not kept when it is given back
            return torch.empty(shape, dtype=dtype)
        with self._lock:
            fitting = [i for i, held in enumerate(self._free) if size <= held.numel() < 2 * size + _SMALL]
            best = min(fitting, key=lambda i: self._free[i].numel(), default=None)
            held = self._free.pop(best) if best is not None else self._fresh(size)
            self._waiting -= held.numel() if best is not None else 0
            self._most_used = max(self._most_used, self._alive - self._waiting)
        return held[:size].view(dtype).view(shape)

    def _fresh(self, size: int) -> Tensor:
        held = torch.empty(size, dtype=torch.uint8)
        self._alive += size
        weakref.finalize(held.untyped_storage(), self._forget, size).atexit = False
        return held

    def _forget(self, size: int) -> None:
        with self._lock:
            self._alive -= size

    def give(self, *buffers: Tensor | None) -> None:
        """Give buffers back. Nothing else may still use them."""
        for buffer in buffers:
            if buffer is None or buffer.device.type != "cpu" or buffer.untyped_storage().nbytes() < _SMALL:
                continue
            whole = torch.empty(0, dtype=torch.uint8).set_(buffer.untyped_storage())
            with self._lock:
                self._free.append(whole)
                self._waiting += whole.numel()
                while self._waiting > 2 * self._most_used:
                    self._waiting -= self._free.pop(0).numel()

    def free_bytes(self) -> int:
        """How much was given back and waits."""
        return self._waiting

    def clear(self) -> None:
        """Free everything that was given back."""
        with self._lock:
            self._free.clear()
            self._waiting = 0


WORKSPACE = Workspace()
"""The process's own, shared by all networks: a step of one network uses what a step of another left."""
