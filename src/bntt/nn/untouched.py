"""Whether a module is exactly the class that it is an instance of."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from bntt.engine.private import has_hooks


def why_touched(module: nn.Module) -> str:
    """What somebody did to a module that a fused path would by-pass: hooks, or methods set on the instance; "" if none.

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
    methods, own = _methods(kind), vars(module)
    return "" if methods.isdisjoint(own) else f"has a method of its own, {min(methods & own.keys())}"


@cache
def _methods(cls: Any) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name, None)))
