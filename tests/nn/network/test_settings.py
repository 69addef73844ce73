"""What a network tells its parts."""

import torch
from torch import nn

from bntt.nn import (
    BNTT,
    LIF,
    Call,
    NoNorm,
    Readout,
    SpikeDropout,
    SpikingBlock,
    SpikingNetwork,
    retime,
)
from bntt.nn.blocks import bind_modules
from tests.nn.networks import linear, residual


def block(norm: nn.Module) -> SpikingBlock:
    return SpikingBlock(linear(4, 6), norm, LIF(), dropout=SpikeDropout(0.5))


def test_names_numbers_and_steps():
    blocks = residual("before", 5, dropout=0.5).blocks
    assert bind_modules(blocks) == 5
    assert bind_modules(nn.ModuleDict({"a": block(NoNorm())})) is None
    assert blocks["same"].name == "block 'same'"
    assert blocks["same"].body["b"].name == "block 'same.body.b'"
    assert blocks["same"].after.name == "block 'same.after'"
    assert blocks["wider"].shortcut["c"].norm.path == "wider.shortcut.c.norm"
    numbers = [0, 1, 2, 3]
    assert [module.number for module in blocks.modules() if isinstance(module, SpikeDropout)] == numbers
    synapse, pool = linear(4, 6), nn.Identity()
    synapse.path, pool.number = "weights.bin", 3
    mixed = nn.ModuleDict({"theirs": SpikingBlock(synapse, NoNorm(), LIF(), pool), **blocks})
    bind_modules(mixed)
    assert (synapse.path, pool.number) == ("weights.bin", 3)  # theirs, whatever they mean
    assert [module.number for module in mixed.modules() if isinstance(module, SpikeDropout)] == numbers


class Normed(nn.Module):
    """A readout with a norm before its weights."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.norm, self.readout = BNTT(6, steps), Readout(linear(6, 2))

    def forward(self, x: torch.Tensor, call: Call = Call(), state: torch.Tensor | None = None):
        return self.readout(self.norm(x, call)[0], call, state)


def test_a_norm_of_the_readout_is_one_of_the_networks():
    net, x = SpikingNetwork({"a": block(NoNorm())}, Normed(4)), torch.ones(6, 3, 4)
    assert net.num_steps == 4
    assert net.readout.norm.path == "readout.norm"
    assert net.advance(x[:1])[1].pooled
    assert not net.eval().advance(x[:1])[1].pooled
    assert retime(net, 6, "interpolate")(x).shape == (3, 2)
