"""Dropout of spikes in a network: the same mask at all steps, in every cut, fused and plain."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from bntt.models import vgg6
from bntt.nn import BNTT, LIF, Call, Noise, Readout, SpikeDropout, SpikingBlock, SpikingNetwork
from tests.kernels import needs_kernels
from tests.nn.networks import close, linear, pair

NOISE = Noise(seed=0, draw=0, index=torch.arange(3))


def test_a_block_drops_what_its_pool_gives(rng):
    block = SpikingBlock(linear(4, 6), BNTT(6, 5), LIF(), None, SpikeDropout(0.5))
    with torch.no_grad():
        block.synapse.weight.copy_(torch.arange(24.0).reshape(6, 4))
    x = torch.randn(5, 3, 4, generator=rng) * 3
    whole, _ = block(x, Call(noise=NOISE))
    block.dropout.eval()
    bare, _ = block(x, Call())
    stays = block.dropout.stays(NOISE, (6,), x.device)
    assert torch.equal(whole, bare * stays * 2)
    assert bare.sum() > whole.sum() / 2 > 0
    assert torch.equal(SpikeDropout(0)(x)[0], x)


def test_a_network_numbers_its_dropouts_so_that_layers_differ():
    net = vgg6(num_steps=2, dropout=0.2)
    found = [module.number for module in net.modules() if isinstance(module, SpikeDropout)]
    assert found == [0, 1, 2]  # after conv1, conv3 and fc1; conv2 and conv4 are pooled
    assert [name for name, block in net.blocks.items() if block.dropout] == ["conv1", "conv3", "fc1"]


@needs_kernels
def test_draws_and_samples_have_their_own_masks_and_fused_they_are_the_same(rng):
    ours, theirs = pair(vgg6(num_steps=3, width=0.5, dropout=0.4))
    x, index = torch.randint(-1, 2, (3, 4, 1, 28, 28), generator=rng).float(), torch.tensor([5, 1, 9, 2])
    with torch.no_grad():
        found = [[net(x, seed=3, draw=d, index=index) for d in (0, 1, 0)] for net in (ours, theirs)]
        assert all(close(a, b) for a, b in zip(*found, strict=True))
        assert torch.equal(found[0][0], found[0][2])
        assert not torch.equal(found[0][0], found[0][1])
        for net in (ours, theirs):
            for block in net.blocks.values():
                block.norm.eval()
        swap = torch.tensor([2, 0, 3, 1])
        again = ours(x[:, swap], seed=3, index=index[swap])
        assert close(again, ours(x, seed=3, index=index)[swap])


def test_masks_of_layers_differ_whatever_was_built_or_replaced_since():
    def layer():
        block = SpikingBlock(linear(16, 16), BNTT(16, 3), LIF(), None, SpikeDropout(0.5))
        nn.init.eye_(block.synapse.weight)
        return block

    def masks():
        net(x, draw=1)
        return [block.dropout.stays(NOISE, (16,), x.device) for block in net.blocks.values()]

    net = SpikingNetwork({name: layer() for name in "abc"}, Readout(nn.Identity()))
    x = torch.arange(384.0).reshape(3, 8, 16)
    before = masks()
    part = SpikingNetwork({name: net.blocks[name] for name in "bc"}, net.readout)
    part(x, draw=1)
    assert all(map(torch.equal, masks(), before))
    net.blocks["c"].dropout = SpikeDropout(0.5)
    assert all(map(torch.equal, masks(), before))
    assert not any(torch.equal(*two) for two in itertools.combinations(before, 2))
