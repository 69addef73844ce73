"""The one door into the kernels: nothing gets there but the address of a tensor that was proven to be what they expect.

A kernel sees addresses and sizes, and believes them. So every tensor comes as a :class:`Buffer`, which says what the
kernel will take it for, and is refused unless it is a plain strided tensor of exactly that, in the processor's memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PLAIN = (Tensor, nn.Parameter, nn.Buffer)
"""Types whose values lie where :meth:`Tensor.data_ptr` says; a subclass of anybody's may keep them elsewhere."""


class KernelInputError(TypeError):
    """A tensor that a kernel would misread; to meet one is a fault of this library."""


class Buffer(NamedTuple):
    """A tensor that a kernel reads or writes, and what the kernel takes it for."""

    tensor: Tensor | None
    """None where the kernel knows that it may be missing."""
    dtype: torch.dtype
    size: int
    """How many elements."""

    def address(self, name: str) -> int | None:
        """Where the values lie.

        Raises:
            KernelInputError: if the tensor is not what the kernel takes it for; the message says in what they differ.

        >>> Buffer(torch.zeros(3), torch.float32, 4).address("bias")
        Traceback (most recent call last):
        bntt.engine.door.KernelInputError: a kernel takes bias for a contiguous float32 of 4 elements, it is a \
contiguous float32 of 3
        """
        tensor = self.tensor
        if tensor is None:
            return None
        fits = type(tensor) in PLAIN and tensor.is_cpu and tensor.layout is torch.strided
        if not (fits and tensor.dtype is self.dtype and tensor.numel() == self.size and _is_dense(tensor)):
            raise KernelInputError(
                f"a kernel takes {name} for a contiguous {_short(self.dtype)} of {self.size} elements, it is "
                f"{_described(tensor)}"
            )
        return tensor.data_ptr()


def is_plain(tensor: Any) -> bool:
    """Return whether a value is a strided tensor that no subclass stands between.

    >>> is_plain(nn.Parameter(torch.ones(1))), is_plain(1.0), is_plain(torch.ones(1, 1).to_sparse())
    (True, False, False)
    """
    return type(tensor) in PLAIN and tensor.layout is torch.strided


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and not tensor.is_neg()  # a lazily negated view has the other sign in memory


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _described(tensor: Tensor) -> str:
    if not is_plain(tensor):
        return f"a {type(tensor).__name__} of layout {tensor.layout}"
    where = "" if tensor.is_cpu else f" on {tensor.device}"
    dense = "a contiguous" if _is_dense(tensor) else "a strided"
    return f"{dense} {_short(tensor.dtype)} of {tensor.numel()}{where}"
