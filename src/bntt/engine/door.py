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
    wanted = f"a contiguous {str(dtype).removeprefix('torch.')} of {size} elements"
    found = f"{type(tensor).__name__}, {tensor.layout}, {tensor.dtype} of {tensor.numel()} on {tensor.device}"
    raise KernelInputError(f"a kernel takes {name} for {wanted}, it is a {found}")


def is_plain(tensor: Any) -> bool:
    """Return True if a value is a strided tensor whose memory holds its values: no subclass, no lazy negation."""
    return type(tensor) in PLAIN and tensor.layout is torch.strided and not tensor.is_neg()
