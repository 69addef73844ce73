"""The memory that kernels work in: large buffers that are reused, and the only way for tensors into the kernels.

Fresh memory costs a page fault every 4 KiB, a third of an update's time. A pass takes its buffers from a lease, and a
buffer belongs to one lease until it is given back, so two passes never share one. What a lease still has when its pass
ends, even by an error, is given back. A buffer that leaves its lease, or whose lease is dropped, is freed like any
tensor. Buffers that were given back are kept, up to twice the most bytes ever in use at once, which is enough for two
networks in turn. Beyond that the oldest are freed, so batches of many sizes do not accumulate.

A kernel gets addresses and sizes, and trusts them. So every tensor comes as a :data:`Buffer` with the type and size
that the kernel assumes, and is refused unless it is a plain strided tensor of exactly these, in main memory.
"""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import torch
from torch import Tensor, nn

_SMALL = 1 << 16
"""Bytes below which a buffer is not worth keeping."""


class Workspace:
    """Flat byte buffers by size; a pass takes them by :meth:`lease`."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        """Free buffers, the oldest first."""
        self._waiting = 0
        """Bytes of the free ones."""
        self._alive = 0
        """Bytes of all buffers, handed out or free."""
        self._most_used = 0
        """The most bytes that were handed out at once."""
        self._lock = threading.RLock()

    def lease(self) -> Lease:
        """Return an empty lease."""
        return Lease(self)

    def take(self, size: int) -> Tensor:
        """Take at least ``size`` bytes with undefined values: a free buffer, if one fits without wasting half of it."""
        with self._lock:
            fitting = [i for i, held in enumerate(self._free) if size <= held.numel() < 2 * size + _SMALL]
            best = min(fitting, key=lambda i: self._free[i].numel(), default=None)
            held = self._free.pop(best) if best is not None else self._fresh(size)
            self._waiting -= held.numel() if best is not None else 0
            self._most_used = max(self._most_used, self._alive - self._waiting)
        return held

    def _fresh(self, size: int) -> Tensor:
        with torch.inference_mode(False):  # it outlives the mode, whose tensors are read-only outside
            held = torch.empty(size, dtype=torch.uint8, device=torch.device("cpu"))
        self._alive += size
        weakref.finalize(held.untyped_storage(), self._forget, size).atexit = False
        return held

    def _forget(self, size: int) -> None:
        with self._lock:
            self._alive -= size

    def give(self, held: Tensor) -> None:
        """Give back what :meth:`take` gave. Nothing else may still use it."""
        with self._lock:
            self._free.append(held)
            self._waiting += held.numel()
            while self._waiting > 2 * self._most_used:
                self._waiting -= self._free.pop(0).numel()

    def free_bytes(self) -> int:
        """Return the number of bytes that were given back and are free."""
        return self._waiting

    def clear(self) -> None:
        """Free everything that was given back."""
        with self._lock:
            self._free.clear()
            self._waiting = 0


class Lease:
    """The buffers of one pass: taken one by one, and given back when no longer needed, at the latest at its end.

    >>> space = Workspace()
    >>> with space.lease() as lease:
    ...     one, other = lease.take(1000, 1000), lease.take(1000, 1000)
    ...     lease.give(one)
    ...     kept = lease.keep(other)
    >>> space.free_bytes()
    4000000
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._out: dict[int, tuple[Tensor, bool]] = {}
        """Buffers by their place in memory: all of the buffer, and whether it is the workspace's."""

    def take(self, *shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
        """Take a buffer with undefined values.

        On a device other than the processor PyTorch's own allocator does what a workspace does, and graphs can
        capture it.
        """
        size = math.prod(shape) * dtype.itemsize
        if size < _SMALL or (device is not None and device.type != "cpu"):
            buffer = torch.empty(shape, dtype=dtype, device=device or torch.device("cpu"))
            if size:
                self._out[buffer.data_ptr()] = buffer, False
            return buffer
        held = self._space.take(size)
        self._out[held.data_ptr()] = held, True
        return held[:size].view(dtype).view(shape)

    def owns(self, buffer: Tensor) -> bool:
        """Return True if a tensor lies in a buffer of this lease."""
        return buffer.untyped_storage().data_ptr() in self._out

    def give(self, *buffers: Tensor | None) -> None:
        """Give buffers back, by any view of them. Nothing else may still use them."""
        for buffer in buffers:
            if buffer is not None:
                self._return(*self._remove(buffer))

    def keep(self, buffer: Tensor) -> Tensor:
        """Let a buffer leave the lease for good."""
        self._remove(buffer)
        return buffer

    def pop_all(self) -> Lease:
        """Move everything into a new lease, which outlives the end of this one."""
        other = Lease(self._space)
        other._out, self._out = self._out, {}
        return other

    def close(self) -> None:
        """Give everything back that is still out."""
        while self._out:
            self._return(*self._out.popitem()[1])

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remove(self, buffer: Tensor) -> tuple[Tensor, bool]:
        place = buffer.untyped_storage().data_ptr()
        if place == 0:  # it has no elements
            return buffer, False
        if place not in self._out:
            raise RuntimeError("a buffer that is not out of this lease, or was given back before")
        return self._out.pop(place)

    def _return(self, held: Tensor, pooled: bool) -> None:
        if pooled:
            self._space.give(held)


WORKSPACE = Workspace()
"""The workspace of the process, shared by all networks: one network reuses the buffers that another gave back."""


PLAIN = (Tensor, nn.Parameter, nn.Buffer)
"""Types whose values lie where :meth:`Tensor.data_ptr` says; a custom subclass may keep them elsewhere."""


Buffer = tuple[Tensor | None, torch.dtype, int]
"""A tensor that a kernel reads or writes (None if the kernel allows it to be missing), and the type and number of
elements that the kernel assumes. A plain tuple, since one step of one sample makes a hundred."""


def address(buffer: Buffer, name: str) -> int | None:
    """Return the address of a buffer's values."""
    tensor, dtype, size = buffer
    if tensor is None:
        return None
    if (
        type(tensor) in PLAIN
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.dtype is dtype
        and tensor.numel() == size
        and tensor.is_contiguous()
        and not tensor.is_neg()  # a lazily negated view has the other sign in memory
    ):
        place = tensor.data_ptr()
        if place or not size:  # else its memory was freed
            return place
    wanted = f"a contiguous {str(dtype).removeprefix('torch.')} of {size} elements"
    found = f"{type(tensor).__name__}, {tensor.layout}, {tensor.dtype} of {tensor.numel()} on {tensor.device}"
    raise TypeError(f"a kernel takes {name} for {wanted}, it is a {found}")


def is_plain(tensor: Any) -> bool:
    """Return True if a value is a strided tensor whose memory holds its values: no subclass, no lazy negation."""
    return type(tensor) in PLAIN and tensor.layout is torch.strided and not tensor.is_neg()
