"""Weights and biases of any make: applied as plain PyTorch does, or refused by the name of layer and parameter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import bntt
from bntt.nn import LIF, NoNorm, Readout, SpikingBlock, SpikingNetwork
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import backward, close, dense, pair, small, spikes_of

pytestmark = needs_kernels


def test_a_lazily_negated_bias_is_what_it_says(rng):
    net, x = small(5).eval(), spikes_of(5, 3, rng)
    synapse = net.blocks["conv2"].synapse
    ours, theirs = pair(net)
    ours.compute = bntt.Compute()
    as_plain(ours.blocks["conv2"].synapse, "bias", torch._neg_view(-synapse.bias.detach()))
    assert "plain tensor" in ours.plan(x.shape).reason
    assert close(ours(x), theirs(x))


BIASES: dict[str, Callable[[Tensor], Tensor]] = {
    "a column": lambda bias: torch.stack([bias, bias + 1], 1)[:, 0],
    "backwards": lambda bias: torch.stack([bias, bias + 1], 1).flip(1)[:, 1],
    "expanded": lambda bias: bias[:1].expand(len(bias)),
}


@pairs(kind=BIASES, training=[True, False])
def test_a_bias_may_lie_anyhow(kind, training, rng):
    net, x = small(5).train(training), spikes_of(5, 3, rng)
    synapse = net.blocks["conv2"].synapse
    synapse.bias = nn.Parameter(BIASES[kind](synapse.bias.detach()))
    ours, theirs = pair(net)
    theirs.blocks["conv2"].synapse.bias = nn.Parameter(synapse.bias.detach().clone())
    assert not ours.plan(x.shape).reason
    assert close(backward(ours, x), backward(theirs, x))
    assert close(ours.eval().advance(x)[0], theirs.eval().advance(x)[0])


def test_a_bias_of_one_element_runs_in_plain_pytorch(rng):
    hidden = SpikingBlock(dense(6, 8, rng), NoNorm(), LIF())
    net = SpikingNetwork([hidden], Readout(dense(8, 3, rng)))
    hidden.synapse.bias = nn.Parameter(torch.tensor([0.5]))
    ours, theirs = pair(net)
    ours.compute = bntt.Compute()
    x = torch.rand(4, 2, 6, generator=rng)
    assert "bias" in ours.plan(x.shape).reason
    assert torch.equal(ours(x), theirs(x))


def as_plain(layer: nn.Module, name: str, value: Tensor) -> None:
    delattr(layer, name)
    setattr(layer, name, value)


def test_weights_that_are_no_parameters_are_looked_at_too(rng):
    net, x = small(5), spikes_of(5, 2, rng)
    layer = net.blocks["conv2"].synapse
    as_plain(layer, "bias", layer.bias.detach().double())
    assert list(net.plan(x.shape).fused) == ["conv1"]
    as_plain(layer, "bias", layer.bias.float())
    ours, theirs = pair(net)
    assert not ours.plan(x.shape).reason
    assert close(ours(x), theirs(x))


def test_sizes_may_be_numbers_and_kernels_others(rng):
    net, x = small(5), spikes_of(5, 2, rng)
    for name in ("conv1", "conv2"):
        layer = net.blocks[name].synapse
        layer.stride, layer.padding, layer.dilation = 1, 1, 1
    ours, theirs = pair(net)
    assert not ours.plan(x.shape).reason
    assert close(backward(ours, x), backward(theirs, x))
    for one in (ours, theirs):
        layer = one.blocks["conv2"].synapse
        layer.weight = nn.Parameter(layer.weight.detach()[:, :, :2, :2].clone())
    ours.compute = bntt.Compute()
    assert "weight" in ours.plan(x.shape).reason
    assert close(ours(x), theirs(x))
