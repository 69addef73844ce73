"""Whether a module is exactly the class that it is an instance of, and whether its two spellings belong together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import nn

from bntt.engine.private import has_hooks

STEP_FORMS = ("step", "fire_step")
"""The step forms that modules of this package have; the sequence form is ``forward``."""


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
    patched = sorted(_methods(kind) & vars(module).keys())
    return f"has a method of its own, {patched[0]}" if patched else ""


def check_spellings(module: nn.Module, name: str) -> None:
    """Refuse a module whose sequence form and step form do not belong together: one of them yours, the other ours.

    It would be trained as one thing and evaluated as another.

    Args:
        name: what to call it.

    Raises:
        TypeError: naming what is missing.

    >>> from bntt.nn import LIF
    >>> check_spellings(LIF(), "block1.lif")
    """
    steps = [step for step in STEP_FORMS if hasattr(module, step)]
    if not steps or not hasattr(module, "forward"):
        return
    owners = {method: _owner(module, method) for method in ("forward", *steps)}
    yours = [method for method, owner in owners.items() if not owner.startswith("bntt.")]
    if not yours or ("forward" in yours and len(yours) > 1):
        return
    if "forward" in yours:
        missing = " or ".join(f"{step}()" for step in steps)
        raise TypeError(
            f"{name} has a forward() of its own ({owners['forward']}), but {missing} of {owners[steps[0]]}: the "
            f"network would be trained as one thing and evaluated as another; override {missing} as well"
        )
    if owners["forward"].startswith("bntt."):
        raise TypeError(
            f"{name} has a {yours[0]}() of its own ({owners[yours[0]]}), but forward() of {owners['forward']}: the "
            f"network would be trained as one thing and evaluated as another; override forward() as well"
        )


def check_parts(blocks: Mapping[str, nn.Module], readout: nn.Module) -> None:
    """Refuse parts of a network that have one form only, or whose two forms do not belong together.

    Raises:
        TypeError: naming the part.
    """
    check_spellings(readout, "the readout")
    for name, block in blocks.items():
        check_spellings(block, f"block {name!r}")
        for part in ("norm", "lif"):
            module = getattr(block, part)
            if not callable(module) or not callable(getattr(module, "step", None)):
                raise TypeError(
                    f"{name}.{part} must be a module with both forms, forward(x [T, B, ...]) and "
                    f"step(x [B, ...], ...): {type(module).__name__} has no step()"
                )
            check_spellings(module, f"{name}.{part}")


def warn_of_hooks(blocks: Mapping[str, nn.Module], readout: nn.Module) -> None:
    """Name the hooks that a step-by-step pass does not call, because PyTorch calls them around ``forward`` only."""
    parts: dict[str, object] = {"readout": readout}
    for name, block in blocks.items():
        parts |= {name: block, f"{name}.norm": block.norm, f"{name}.lif": block.lif}
    if hooked := [name for name, part in parts.items() if isinstance(part, nn.Module) and has_hooks(part)]:
        warnings.warn(
            f"a network that is measured runs step by step, where PyTorch calls no hooks of {', '.join(hooked)}",
            stacklevel=5,
        )


def _owner(module: nn.Module, method: str) -> str:
    """The module path and name of the class that a method comes from; the instance's own counts as foreign."""
    if method in vars(module):
        return f"this {type(module).__name__}"
    for cls in type(module).__mro__:
        if method in vars(cls):
            return f"{cls.__module__}.{cls.__qualname__}"
    return ""


@cache
def _methods(cls: Any) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name, None)))
