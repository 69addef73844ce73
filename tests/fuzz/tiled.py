"""Networks of convolutions whose input gradient goes by Winograd: 3x3, 16 channels times some on both sides."""

from __future__ import annotations

import torch
from torch import nn

from bntt.nn import NORMS, Readout, SpikingBlock, SpikingNetwork
from tests.fuzz.dice import Dice
from tests.fuzz.networks import CLASSES, Drawn, draw_pool, randomize, set_modes
from tests.fuzz.parts import neurons


def draw_tiled(dice: Dice) -> Drawn:
    """Two or three blocks, on images of one to three tiles each way; a pool may end the convolutions."""
    steps, batch = dice.integer(1, 4), dice.integer(1, 3)
    place = (dice.pick((1, 16)), dice.integer(1, 9), dice.integer(1, 9))
    shape, blocks = place, {}
    for i in range(dice.integer(2, 3)):
        if len(shape) < 3:
            break
        features, threshold = dice.pick((16, 32, 48)), dice.uniform(0.3, 1.4)
        synapse = nn.utils.skip_init(nn.Conv2d, shape[0], features, 3, padding=1, bias=dice.chance(0.4))
        pool, after = draw_pool(dice, (features, *shape[1:]))
        norm = NORMS[dice.pick(list(NORMS))](features, steps, threshold)
        blocks[f"b{i}"], shape = SpikingBlock(synapse, norm, neurons(dice, steps, threshold), pool), after
    if len(shape) == 3:
        block = list(blocks.values())[-1]
        block.pool = nn.Flatten() if isinstance(block.pool, nn.Identity) else nn.Sequential(block.pool, nn.Flatten())
    readout = nn.utils.skip_init(nn.Linear, int(torch.Size(shape).numel()), CLASSES, bias=dice.chance(0.3))
    net = SpikingNetwork(blocks, Readout(readout))
    randomize(dice, net)
    set_modes(dice, net)
    return Drawn(net, steps, batch, place)
