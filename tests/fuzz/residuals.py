"""A random residual block, in any of its forms."""

from __future__ import annotations

from torch import nn

from bntt.nn import NORMS, CurrentBlock, NeuronBlock, Residual, SpikeDropout, SpikingBlock
from tests.fuzz.dice import Dice
from tests.fuzz.parts import neurons


def dropout(dice: Dice, chance: float = 0.2) -> SpikeDropout | None:
    return SpikeDropout(dice.pick((0.1, 0.5, 0.9))) if dice.chance(chance) else None


def draw_residual(dice: Dice, shape: tuple[int, ...], steps: int) -> tuple[Residual, tuple[int, ...]]:
    """For an image ``(C, H, W)``; and what leaves it."""
    channels, height, width = shape
    threshold, name = dice.uniform(0.3, 1.4), dice.pick(list(NORMS))
    stride = dice.pick(((1, 1), (2, 2), (1, 2)), (5, 2, 1))
    out = channels if stride == (1, 1) and dice.chance(0.6) else dice.integer(1, 12)
    changes = stride != (1, 1) or out != channels

    def weights(i: int, o: int, size: int, stride: tuple[int, int] = (1, 1)) -> nn.Conv2d:
        bias = dice.chance(0.2)
        return nn.utils.skip_init(nn.Conv2d, i, o, size, stride=stride, padding=size // 2, bias=bias)

    def current(i: int, o: int, size: int = 3, stride: tuple[int, int] = (1, 1)) -> CurrentBlock:
        return CurrentBlock(weights(i, o, size, stride), NORMS[name](o, steps, threshold))

    def spiking(i: int, o: int, size: int = 3, stride: tuple[int, int] = (1, 1)) -> SpikingBlock:
        lif, synapse = neurons(dice, steps, threshold), weights(i, o, size, stride)
        return SpikingBlock(synapse, NORMS[name](o, steps, threshold), lif, None, dropout(dice))

    def fire() -> NeuronBlock:
        return NeuronBlock(neurons(dice, steps, threshold), None, dropout(dice))

    between, form = dice.integer(1, 9), dice.pick(("spikes", "currents", "before"))
    after = None
    if form == "spikes":
        body = {"a": spiking(channels, between, 3, stride), "b": spiking(between, out)}
        shortcut = {"c": spiking(channels, out, 1, stride)} if changes else None
    elif form == "currents":
        body = {"a": fire(), "b": current(channels, between, 3, stride), "c": fire(), "d": current(between, out)}
        shortcut = {"e": current(channels, out, 1, stride)} if changes else None
    else:
        body = {"a": spiking(channels, between, 3, stride), "b": current(between, out)}
        shortcut, after = {"c": current(channels, out, 1, stride)} if changes else None, fire()
    size = ((n - 1) // s + 1 for n, s in zip((height, width), stride, strict=True))
    return Residual(body, shortcut, after), (out, *size)
