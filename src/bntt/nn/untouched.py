"""What a module does besides what its class says: hooks, parametrizations, methods of its own, and patched classes.

Whatever bypasses a ``forward``, rebuilds a model or writes into its tensors asks here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from bntt.engine.private import has_hooks

CALLED = ("__call__", "forward", "_conv_forward")
"""Methods of a module's class that a call goes through."""
WHOLE = ("__call__", "forward", "advance", "trace")
"""Methods of a classifier or network that say what it answers."""
PARAMETRIZED = "has a parametrization"
_TORCH = str(Path(torch.__file__).parent)
_remembered: dict[type[nn.Module], tuple[object, ...]] = {}


def remember(*kinds: type[nn.Module]) -> None:
    """Remember the methods of classes that the fused path stands in for; PyTorch's own must not be replaced yet."""
    for kind in kinds:
        methods = _methods_called(kind)
        foreign = kind.__module__.startswith("torch.") and not all(map(_is_of_torch, methods))
        _remembered[kind] = () if foreign else methods


def _methods_called(kind: type[nn.Module]) -> tuple[object, ...]:
    return tuple([getattr(kind, name, None) for name in CALLED])


def _is_of_torch(method: object) -> bool:
    code = getattr(method, "__code__", None)
    return method is None or (code is not None and code.co_filename.startswith(_TORCH))


def why_touched(module: nn.Module, kind: type[nn.Module] | None = None) -> str:
    """Describe a hook, parametrization or own method, lost where a module is bypassed or rebuilt; "" if none."""
    if has_hooks(module):
        return "has a hook"
    cls: Any = type(module)
    if (methods := _remembered.get(cls)) is not None and methods != _methods_called(cls):
        return f"is of a class whose methods were replaced, {cls.__name__}"
    names, own = _methods(cls), vars(module)
    found = names & own.keys() or {name for name in WHOLE if kind and getattr(cls, name) is not getattr(kind, name)}
    if found:
        return f"has a method of its own, {min(found)}"
    return PARAMETRIZED if is_parametrized(module) else ""


def own_tensor(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer of a module, to write into."""
    parts = vars(module)
    found: Tensor | None = (parts["_parameters"] | parts["_buffers"]).get(name)
    if found is None:
        raise ValueError(
            f"{name!r} of this {type(module).__name__} is computed from other tensors, so that a value written into it "
            f"would be lost: torch.nn.utils.parametrize.remove_parametrizations(part, {name!r}) makes it a parameter"
        )
    return found


@cache
def _methods(cls: Any) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name, None)))
