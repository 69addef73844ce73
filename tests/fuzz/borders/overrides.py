"""What somebody puts in the way of PyTorch's functions and of modules' methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bntt.nn import LIF, Readout, SpikingBlock
from bntt.nn.norms import TemporalNorm
from tests.fuzz.borders.parameters import weighted
from tests.fuzz.borders.tensors import WEIGHED
from tests.fuzz.dice import Dice
from tests.fuzz.uses import Job

Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "halved": lambda out: out * 0.5,
    "without sign": lambda out: out.abs(),
    "none": lambda out: out,
}
CLASSES: tuple[type[nn.Module], ...] = (*[nn.Linear] * 2, *[nn.Conv2d] * 2, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten)
OURS: tuple[type[nn.Module], ...] = (LIF, Readout, SpikingBlock, TemporalNorm)


class _Changing:
    """Changes what convolutions and linear layers give, and counts them."""

    of: tuple[Any, ...]

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change, self.seen = change, 0

    def give(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in self.of:
            return out
        self.seen += 1
        return self.change(out)


class Functions(_Changing, TorchFunctionMode):
    of = WEIGHED
    __torch_function__ = _Changing.give


class Operations(_Changing, TorchDispatchMode):
    """One floor below."""

    of = (torch.ops.aten.convolution.default, torch.ops.aten.addmm.default)
    __torch_dispatch__ = _Changing.give


def _in_mode(kind: Callable[[Change], Any]) -> Any:
    @contextmanager
    def around(job: Job, dice: Dice) -> Iterator[None]:
        name = dice.pick(list(CHANGES))
        job.notes.append(f"{kind.__name__}: {name}")
        with kind(CHANGES[name]) as mode:
            yield
        job.record["trace of how many it saw"] = mode.seen

    return around


function_mode, dispatch_mode = _in_mode(Functions), _in_mode(Operations)


@contextmanager
def patched(job: Job, dice: Dice) -> Iterator[None]:
    """The forward pass of a class, for all of its instances, or of a layer alone."""
    name, change = dice.pick([(name, change) for name, change in CHANGES.items() if name != "none"])
    form = dice.pick(("class", "ours", "instance"), (3, 1, 1))
    if form == "instance":
        where, layer = dice.pick(list(weighted(job.net).items()))
        forward = layer.forward
        job.notes.append(f"{where}.forward {name}")
        layer.forward = lambda *args: change(forward(*args))  # type: ignore[method-assign]
        yield
        return
    kind = dice.pick(CLASSES if form == "class" else OURS)
    method = "_conv_forward" if kind is nn.Conv2d and dice.chance(0.3) else "forward"
    job.notes.append(f"{kind.__name__}.{method} {name}")
    real = getattr(kind, method)

    def forward(self: nn.Module, *args: Any) -> Any:
        out = real(self, *args)
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    with patch.object(kind, method, forward):
        yield
