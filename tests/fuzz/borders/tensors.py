"""Tensors that are not what a kernel expects: how they lie in memory, of what class they are, what stands for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from tests.fuzz.dice import Dice

WEIGHED = (functional.linear, torch.conv2d)


class Doubled(Tensor):
    """Weights that count twice, as ``__torch_function__`` has it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **(kwargs or {}))
        if func is Tensor.detach:
            return out.as_subclass(cls)
        return 2 * out if func in WEIGHED else out


class Packed(Tensor):
    """Numbers that are made of others when an operation asks for them: bytes and a scale, or floats. No memory."""

    inner: Tensor
    scale: float

    @staticmethod
    def __new__(cls, inner: Tensor, scale: float, dtype: torch.dtype) -> Packed:
        made: Packed = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=dtype, device=inner.device)
        made.inner, made.scale = inner, scale
        return made

    def __repr__(self, **options: Any) -> str:
        return f"Packed({list(self.shape)})"

    def numbers(self) -> Tensor:
        return self.inner.to(self.dtype) * self.scale

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return Packed(args[0].inner, args[0].scale, args[0].dtype)
        made = tree_map(lambda one: one.numbers() if isinstance(one, Packed) else one, (args, kwargs or {}))
        return func(*made[0], **made[1])


def packed(values: Tensor, *, in_bytes: bool) -> Packed:
    """The same numbers, or their nearest multiples of 1/64."""
    if not in_bytes:
        return Packed(values.clone(), 1.0, values.dtype)
    return Packed((values * 64).round().clamp(-127, 127).to(torch.int8), 1 / 64, values.dtype)


def negated(values: Tensor) -> Tensor:
    """The same numbers as a view whose memory has the other sign."""
    return torch.complex(torch.zeros_like(values), -values).conj().imag


def laid(values: Tensor, dice: Dice) -> tuple[str, Tensor]:
    """The same numbers, or fewer of them over and over, lying in memory in another way."""
    ways = {
        "strided": lambda: values.repeat_interleave(2, -1)[..., ::2],
        "offset": lambda: torch.cat([values.new_zeros(1), values.flatten()])[1:].view(values.shape),
        "negated": lambda: negated(values),
        "expanded": lambda: values[:1].clone().expand(values.shape),
        "columns": lambda: values.transpose(0, -1).contiguous().transpose(0, -1),
        "channels last": lambda: values.contiguous(memory_format=torch.channels_last),
    }
    way = dice.pick(list(ways)[: 6 if values.ndim == 4 else 5])
    return way, ways[way]()
