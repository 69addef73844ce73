"""What a network tells its parts."""

import pytest
from torch import nn

from bntt.nn import BNTT, LIF, NoNorm, SpikeDropout, SpikingBlock
from bntt.nn.blocks.stage import settle
from tests.nn.networks import linear, residual


def block(norm: nn.Module) -> SpikingBlock:
    return SpikingBlock(linear(4, 6), norm, LIF(), dropout=SpikeDropout(0.5))


def test_names_numbers_and_steps():
    blocks = residual("before", 5, dropout=0.5).blocks
    assert settle(blocks) == 5
    assert blocks["same"].name == "block 'same'"
    assert blocks["same"].body["b"].name == "block 'same.body.b'"
    assert blocks["same"].after.name == "block 'same.after'"
    assert blocks["wider"].shortcut["c"].norm.path == "wider.shortcut.c.norm"
    numbers = [0, 1, 2, 3]
    assert [module.number for module in blocks.modules() if isinstance(module, SpikeDropout)] == numbers
    synapse, pool = linear(4, 6), nn.Identity()
    synapse.path, pool.number = "weights.bin", 3
    mixed = nn.ModuleDict({"theirs": SpikingBlock(synapse, NoNorm(), LIF(), pool), **blocks})
    settle(mixed)
    assert (synapse.path, pool.number) == ("weights.bin", 3)  # theirs, whatever they mean
    assert [module.number for module in mixed.modules() if isinstance(module, SpikeDropout)] == numbers


def test_no_steps_or_two_numbers_of_them():
    assert settle(nn.ModuleDict({"a": block(NoNorm())})) is None
    with pytest.raises(ValueError, match="must have one number of time steps"):
        settle(nn.ModuleDict({"a": block(BNTT(6, 3)), "b": block(BNTT(6, 4))}))
