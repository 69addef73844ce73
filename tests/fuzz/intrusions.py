"""What users do to a network: hooks that look and hooks that change, patched methods, classes of their own.

Each is applied to both copies of a network, and must do the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bntt.nn import LIF, Call, FoldedLIF, Readout, SpikingBlock, SpikingNetwork
from bntt.nn.blocks import BlockState
from tests.fuzz.dice import Dice

Seen = list[Tensor]


class HalvedBlock(SpikingBlock):
    """Takes half of its input."""

    def forward(self, x: Tensor, call: Call = Call(), state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        return super().forward(x * 0.5, call, state)


class ScaledBlock(SpikingBlock):
    """Gives three times its spikes."""

    def forward(self, x: Tensor, call: Call = Call(), state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        spikes, state = super().forward(x, call, state)
        return 3 * spikes, state


class _Strong:
    """Is driven by 1.7 times its current."""

    def forward(self, current: Tensor, call: Call = Call(), membrane: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(1.7 * current, call, membrane)  # type: ignore[misc, no-any-return]


class StrongLIF(_Strong, LIF):
    pass


class StrongFoldedLIF(_Strong, FoldedLIF):
    pass


class LeakyReadout(Readout):
    """Forgets half of its voltage at every step."""

    def forward(self, spikes: Tensor, call: Call = Call(), voltage: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits = []
        for t, one in enumerate(spikes, start=call.first):
            said, voltage = super().forward(one[None], Call(t), None if voltage is None else voltage * 0.5)
            logits.append(said)
        assert voltage is not None
        return torch.cat(logits), voltage


def _tensor(out: Any) -> Tensor:
    """What a module gives; a stage has a state beside it."""
    return out[0] if isinstance(out, tuple) else out


def _scaled(out: Any, factor: float | Tensor) -> Any:
    return (out[0] * factor, out[1]) if isinstance(out, tuple) else out * factor


def _become(module: nn.Module, kind: type) -> None:
    module.__class__ = kind


def _block(dice: Dice, net: SpikingNetwork) -> SpikingBlock:
    return dice.pick([block for block in net.blocks.values() if isinstance(block, SpikingBlock)])


def _part(dice: Dice, net: SpikingNetwork) -> nn.Module:
    """Any module that is called with all steps."""
    block = _block(dice, net)
    return dice.pick([block, block.synapse, block.norm, block.lif, block.pool, net.readout])


def own_block(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(_block(dice, net), dice.pick((HalvedBlock, ScaledBlock)))


def own_lif(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    lif = _block(dice, net).lif
    _become(lif, StrongFoldedLIF if isinstance(lif, FoldedLIF) else StrongLIF)


def own_readout(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(net.readout, LeakyReadout)


def patched_methods(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    """The forward of an instance, as its class does it with half the input."""
    block = _block(dice, net)
    target = dice.pick((block, block.lif, net.readout))
    forward = target.forward
    target.forward = lambda x, *rest: forward(x * 0.5, *rest)  # type: ignore[method-assign]


def patched_forward(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    target = _part(dice, net)
    forward = target.forward
    target.forward = lambda *args: _scaled(forward(*args), 0.5)  # type: ignore[method-assign]


def watching_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    part = net.readout.synapse if dice.chance(0.2) else _part(dice, net)
    part.register_forward_hook(lambda module, args, out: seen.extend(_tensor(out).detach().clone()))


def changing_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    def weighted(module: nn.Module, args: Any, out: Any) -> Any:
        last = _tensor(out).shape[-1]
        return _scaled(out, torch.linspace(0.5, 1.5, last, dtype=_tensor(out).dtype))

    _part(dice, net).register_forward_hook(weighted)


def changing_pre_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_forward_pre_hook(lambda module, args: (args[0] * 0.75, *args[1:]))


def backward_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_full_backward_hook(
        lambda module, taken, given: tuple(None if g is None else g * 2 for g in taken)
    )


def parametrized(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    block = _block(dice, net)
    layer = next(m for m in block.synapse.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    nn.utils.parametrizations.weight_norm(layer)


INTRUSIONS: tuple[Callable[[Dice, SpikingNetwork, Seen], None], ...] = (
    own_block,
    own_lif,
    own_readout,
    patched_methods,
    parametrized,
    patched_forward,
    watching_hook,
    changing_hook,
    changing_pre_hook,
    backward_hook,
)
"""None of them depends on how time is cut."""


@contextmanager
def global_hook(dice: Dice, seen: Seen) -> Iterator[None]:
    """On every module that there is: of one class it changes, or sees, what comes out."""
    kind = dice.pick((LIF, FoldedLIF, Readout, SpikingBlock, nn.Conv2d, nn.Linear, nn.AvgPool2d))
    changes = dice.chance(0.5)

    def hook(module: nn.Module, args: Any, out: Any) -> Any:
        if not isinstance(module, kind):
            return None
        seen.extend(_tensor(out).detach().clone())
        return _scaled(out, 0.5) if changes else None

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
