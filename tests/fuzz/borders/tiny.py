"""Networks of one or two small layers, so that a case takes a few hundredths of a second."""

from __future__ import annotations

from torch import nn

from bntt.nn import NORMS, SpikeDropout, SpikingBlock
from tests.fuzz.dice import Dice
from tests.fuzz.networks import Drawn, assembled, draw_pool, neurons

SIDE = 4
AHEAD = ("tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both")
"""Norms that look ahead."""


def draw_tiny(
    dice: Dice,
    *,
    biases: float = 0.6,
    norms: tuple[str, ...] = tuple(NORMS),
    dropout: float = 0.1,
    images: float = 0.6,
    fewest: int = 1,
) -> Drawn:
    """One or two blocks and a readout, of so few steps or more."""
    steps, batch = dice.integer(fewest, 4), dice.pick((1, 2, 3), (1, 3, 3))
    place: tuple[int, ...] = (dice.integer(1, 4), SIDE, SIDE) if dice.chance(images) else (dice.integer(2, 40),)
    shape, blocks = place, {}
    for i in range(dice.pick((1, 2))):
        synapse, shape = _weights(dice, shape, bias=dice.chance(biases))
        pool, out = draw_pool(dice, shape) if len(shape) == 3 else (None, shape)
        threshold, norm = dice.uniform(0.3, 1.2), dice.pick(norms)
        lif = neurons(dice, steps, threshold)
        lost = SpikeDropout(dice.pick((0.2, 0.5))) if dice.chance(dropout) else None
        blocks[f"b{i}"] = SpikingBlock(synapse, NORMS[norm](shape[0], steps, threshold), lif, pool, lost)
        shape = out
    return _drawn(dice, blocks, shape, Drawn(None, steps, batch, place), bias=dice.chance(biases))


def draw_parted(dice: Dice) -> Drawn:
    """Of several steps, with a bias in most layers and every norm, TAB most often, which looks back; in training, where
    some refuse to go in parts."""
    apart = (*(name for name in NORMS if name not in AHEAD), "tab", "tab", "tab")
    norms = tuple(NORMS) if dice.chance(0.3) else apart
    drawn = draw_tiny(dice, biases=0.8, norms=norms, fewest=2)
    drawn.net.train()
    return drawn


def draw_streamed(dice: Dice) -> Drawn:
    """Of several steps."""
    return draw_tiny(dice, biases=0.8, fewest=2)


def draw_images(dice: Dice) -> Drawn:
    """With a convolution, for what only these have."""
    drawn = draw_tiny(dice, images=1)
    while not any(isinstance(one, nn.Conv2d) for one in drawn.net.modules()):
        drawn = draw_tiny(dice, images=1)
    return drawn


def draw_equal(dice: Dice) -> Drawn:
    """Two or three layers whose weights have one shape."""
    steps, batch, size = dice.integer(2, 4), dice.integer(1, 3), dice.integer(2, 6)
    image = dice.chance(0.5)
    place: tuple[int, ...] = (size, SIDE, SIDE) if image else (size * dice.pick((1, 8)),)
    blocks = {}
    for i in range(dice.pick((2, 3))):
        bias, norm, threshold = dice.chance(0.85), dice.pick(tuple(NORMS)), dice.uniform(0.3, 1.2)
        synapse: nn.Module = nn.utils.skip_init(nn.Linear, place[0], place[0], bias=bias)
        if image:
            synapse = nn.utils.skip_init(nn.Conv2d, size, size, 3, padding=1, bias=bias)
        lif = neurons(dice, steps, threshold)
        blocks[f"b{i}"] = SpikingBlock(synapse, NORMS[norm](place[0], steps, threshold), lif)
    return _drawn(dice, blocks, place, Drawn(None, steps, batch, place), bias=dice.chance(0.5))


def _drawn(dice: Dice, blocks: dict[str, SpikingBlock], shape: tuple[int, ...], drawn: Drawn, *, bias: bool) -> Drawn:
    net = assembled(dice, blocks, shape, bias)
    if dice.chance(0.3):  # statistics that are given leave a constant of a layer in
        net.eval()
    return drawn._replace(net=net)


def _weights(dice: Dice, shape: tuple[int, ...], *, bias: bool) -> tuple[nn.Module, tuple[int, ...]]:
    if len(shape) == 3 and dice.chance(0.75):
        out = dice.pick((dice.integer(1, 8), 32), (9, 1))
        kernel = dice.pick((1, 3, 3)) if min(shape[1:]) > 1 else 1
        synapse = nn.utils.skip_init(nn.Conv2d, shape[0], out, kernel, padding=kernel // 2, bias=bias)
        return synapse, (out, *shape[1:])
    features = shape[0] if len(shape) == 1 else shape[0] * shape[1] * shape[2]
    out = dice.pick((dice.integer(1, 20), 40), (5, 1))
    linear = nn.utils.skip_init(nn.Linear, features, out, bias=bias)
    return nn.Sequential(nn.Flatten(), linear) if len(shape) == 3 else linear, (out,)
