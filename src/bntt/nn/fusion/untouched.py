"""Detection of changed modules: hooks, overridden methods, and classes patched since this module was imported."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bntt.engine.private import has_hooks

CALLED = ("__call__", "forward", "_conv_forward")
"""Methods of a module's class that a call goes through."""
_TORCH = str(Path(torch.__file__).parent)
_remembered: dict[type[nn.Module], tuple[object, ...]] = {}


def remember(*kinds: type[nn.Module]) -> None:
    """Remember the methods of classes that the fused path stands in for.

    A PyTorch method that was replaced before this import counts as replaced.
    """
    for kind in kinds:
        methods = _methods_called(kind)
        foreign = kind.__module__.startswith("torch.") and not all(map(_is_of_torch, methods))
        _remembered[kind] = () if foreign else methods


def _methods_called(kind: type[nn.Module]) -> tuple[object, ...]:
    return tuple([getattr(kind, name, None) for name in CALLED])


def _is_of_torch(method: object) -> bool:
    code = getattr(method, "__code__", None)
    return method is None or (code is not None and code.co_filename.startswith(_TORCH))


def why_touched(module: nn.Module) -> str:
    """Describe a change to a module that a fused path would bypass; "" if there is none.

    Such changes are hooks, and methods set on the instance or on its class.

    >>> layer = nn.Linear(2, 2)
    >>> why_touched(layer)
    ''
    >>> _ = layer.register_forward_hook(lambda module, args, out: None)
    >>> why_touched(layer)
    'has a hook'
    """
    if has_hooks(module):
        return "has a hook"
    kind: Any = type(module)
    if (methods := _remembered.get(kind)) is not None and methods != _methods_called(kind):
        return f"is of a class whose methods were replaced, {kind.__name__}"
    names, own = _methods(kind), vars(module)
    return "" if names.isdisjoint(own) else f"has a method of its own, {min(names & own.keys())}"


@cache
def _methods(cls: Any) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name, None)))
