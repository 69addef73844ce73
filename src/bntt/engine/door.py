"""The only way for tensors into the kernels: an address is given only after a check that the tensor is as expected.

A kernel gets addresses and sizes, and trusts them. So every tensor comes as a :data:`Buffer` with the type and size
that the kernel assumes, and is refused unless it is a plain strided tensor of exactly these, in main memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (Tensor, nn.Parameter, nn.Buffer)
"""Types whose values lie where :meth:`Tensor.data_ptr` says; a custom subclass may keep them elsewhere."""


class KernelInputError(TypeError):
    """Raised on a tensor that a kernel would misread; it is always a bug of this library."""


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
    raise KernelInputError(
        f"a kernel takes {name} for a contiguous {_short(dtype)} of {size} elements, it is {_described(tensor)}"
    )


def is_plain(tensor: Any) -> bool:
    """Return True if a value is a strided tensor whose memory holds its values: no subclass, no lazy negation."""
    return type(tensor) in PLAIN and tensor.layout is torch.strided and not tensor.is_neg()


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _described(tensor: Tensor) -> str:
    if type(tensor) not in PLAIN or tensor.layout is not torch.strided:
        return f"a {type(tensor).__name__} of layout {tensor.layout}"
    emptied = tensor.is_cpu and tensor.numel() > 0 and not tensor.data_ptr()
    where = " without memory" if emptied else "" if tensor.is_cpu else f" on {tensor.device}"
    dense = "a contiguous" if tensor.is_contiguous() and not tensor.is_neg() else "a strided"
    return f"{dense} {_short(tensor.dtype)} of {tensor.numel()}{where}"
