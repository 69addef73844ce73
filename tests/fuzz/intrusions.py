"""What users do to a network: hooks that look and hooks that change, patched methods, classes of their own.

Each is applied to both copies of a network, and must do the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bntt.nn import LIF, Readout, SpikingBlock, SpikingNetwork
from bntt.nn.block import BlockState
from tests.fuzz.dice import Dice

Seen = list[Tensor]


class HalvedBlock(SpikingBlock):
    """Takes half of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 0.5)

    def step(self, x: Tensor, t: int, state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        return super().step(x * 0.5, t, state)


class ScaledBlock(SpikingBlock):
    """Gives three times its spikes."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)

    def step(self, x: Tensor, t: int, state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        spikes, state = super().step(x, t, state)
        return 3 * spikes, state


class ObservableBlock(SpikingBlock):
    """As :class:`HalvedBlock`, in the form whose spikes can be counted."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 0.5)

    def fire_step(self, x: Tensor, t: int, state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        return super().fire_step(x * 0.5, t, state)


class StrongLIF(LIF):
    """Is driven by 1.7 times its current."""

    def forward(self, current: Tensor) -> Tensor:
        return super().forward(1.7 * current)

    def step(self, current: Tensor, membrane: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().step(1.7 * current, membrane)


class LeakyReadout(Readout):
    """Forgets half of its voltage at every step."""

    def forward(self, spikes: Tensor) -> Tensor:
        weights = 0.5 ** torch.arange(len(spikes) - 1, -1, -1, dtype=spikes.dtype)
        drives = torch.stack([self.synapse(one) for one in spikes])
        return torch.einsum("tbk,t->bk", drives, weights) / len(spikes)

    def step(self, spikes: Tensor, voltage: Tensor | None = None) -> Tensor:
        return super().step(spikes, None if voltage is None else voltage * 0.5)


def _become(module: nn.Module, kind: type) -> None:
    module.__class__ = kind


def _block(dice: Dice, net: SpikingNetwork) -> SpikingBlock:
    return dice.pick(list(net.blocks.values()))


def _part(dice: Dice, net: SpikingNetwork) -> nn.Module:
    """Any module that is called with all steps."""
    block = _block(dice, net)
    return dice.pick([block, block.synapse, block.norm, block.lif, block.pool, net.readout])


def own_block(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(_block(dice, net), dice.pick((HalvedBlock, ScaledBlock, ObservableBlock)))


def own_lif(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(_block(dice, net).lif, StrongLIF)


def own_readout(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(net.readout, LeakyReadout)


def patched_methods(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    """Forward and step of an instance, as those of its class do it with half the input."""
    block = _block(dice, net)
    target = dice.pick((block, block.lif, net.readout))
    forward, step = target.forward, target.step
    target.forward = lambda x: forward(x * 0.5)  # type: ignore[method-assign]
    target.step = lambda x, *rest: step(x * 0.5, *rest)  # type: ignore[method-assign]


def patched_forward(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    target = _part(dice, net)
    forward = target.forward
    target.forward = lambda x: forward(x) * 0.5  # type: ignore[method-assign]


def watching_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    part = net.readout.synapse if dice.chance(0.2) else _part(dice, net)
    part.register_forward_hook(lambda module, args, out: seen.append(out.detach().clone()))


def changing_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    def over_time(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        return out * torch.linspace(0.5, 1.5, len(out), dtype=out.dtype).reshape(-1, *[1] * (out.ndim - 1))

    _part(dice, net).register_forward_hook(over_time)


def changing_pre_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_forward_pre_hook(lambda module, args: (args[0] * 0.75,))


def backward_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_full_backward_hook(
        lambda module, taken, given: tuple(None if g is None else g * 2 for g in taken)
    )


def parametrized(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    block = _block(dice, net)
    layer = next(m for m in block.synapse.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    nn.utils.parametrizations.weight_norm(layer)


INTRUSIONS: dict[Callable[[Dice, SpikingNetwork, Seen], None], bool] = {
    own_block: True,
    own_lif: True,
    own_readout: True,
    patched_methods: True,
    parametrized: True,
    patched_forward: False,
    watching_hook: True,
    changing_hook: False,
    changing_pre_hook: False,
    backward_hook: True,
}
"""Whether sequence form and step form must still agree afterwards."""


@contextmanager
def global_hook(dice: Dice, seen: Seen) -> Iterator[None]:
    """On every module that there is: of one class it changes, or sees, what comes out."""
    kind = dice.pick((LIF, Readout, SpikingBlock, nn.Conv2d, nn.Linear, nn.AvgPool2d))
    changes = dice.chance(0.5)

    def hook(module: nn.Module, args: Any, out: Any) -> Any:
        if not isinstance(module, kind):
            return None
        seen.append(out.detach().clone())
        return out * 0.5 if changes else None

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
