"""Weights and biases of any make: applied as plain PyTorch does, or refused by the name of layer and parameter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.nn import LIF, NoNorm, Readout, SpikeCount, SpikingBlock, SpikingNetwork
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
    assert "not a plain tensor" in ours.plan(x.shape).reason
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


def test_a_bias_of_another_length_is_refused_by_name(rng):
    for compute in (bntt.Compute(), bntt.Compute("reference")):
        net = small(5)
        net.compute = compute
        net.blocks["conv2"].synapse.bias = nn.Parameter(torch.ones(10))
        with pytest.raises(ValueError, match=r"block 'conv2' cannot apply its Conv2d: the bias of its Conv2d is "):
            net(spikes_of(5, 2, rng))
    assert net.plan((5, 2, 2, 11, 11)).reason


def test_a_bias_of_one_element_runs_in_plain_pytorch(rng):
    hidden = SpikingBlock(dense(6, 8, rng), NoNorm(), LIF())
    net = SpikingNetwork([hidden], Readout(dense(8, 3, rng)))
    hidden.synapse.bias = nn.Parameter(torch.tensor([0.5]))
    ours, theirs = pair(net)
    ours.compute = bntt.Compute()
    x = torch.rand(4, 2, 6, generator=rng)
    assert "its bias is [1]" in ours.plan(x.shape).reason
    assert torch.equal(ours(x), theirs(x))


def as_plain(layer: nn.Module, name: str, value: Tensor) -> None:
    delattr(layer, name)
    setattr(layer, name, value)


def test_weights_that_are_no_parameters_are_looked_at_too(rng):
    net, x = small(5), spikes_of(5, 2, rng)
    layer = net.blocks["conv2"].synapse
    as_plain(layer, "bias", layer.bias.detach().double())
    with pytest.raises(ValueError, match=r"the bias of its Conv2d is torch.float64 \[40\], expected torch.float32"):
        net(x)
    as_plain(layer, "bias", layer.bias.float())
    ours, theirs = pair(net)
    assert not ours.plan(x.shape).reason
    assert close(ours(x), theirs(x))


@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_an_input_that_is_not_flattened_is_told():
    x = torch.rand(4, 2, 1, 6, 6)
    hidden = SpikingNetwork([SpikingBlock(nn.Linear(36, 8, bias=False), NoNorm(), LIF())], Readout(nn.Linear(8, 3)))
    conv = SpikingBlock(nn.Conv2d(1, 2, 3, padding=1), NoNorm(), LIF())
    for net, size in (
        (hidden, 36),
        (SpikingNetwork([conv], Readout(nn.Linear(72, 3))), 72),
        (SpikingNetwork([conv], SpikeCount(nn.Linear(72, 3), LIF())), 72),
    ):
        with pytest.raises(ValueError, match=rf"its Linear takes {size} features, .*: put nn.Flatten\(\) before it"):
            net(x)
    with pytest.raises(
        ValueError, match=r"its Linear takes 70 features, and the input is .*, 2, 6, 6\]\. PyTorch says"
    ):
        SpikingNetwork([conv], Readout(nn.Sequential(nn.Flatten(), nn.Linear(70, 3))))(x)


def test_quantised_weights_are_refused_by_name(rng):
    net = small(5)
    layer = net.blocks["fc1"].synapse
    with pytest.warns(UserWarning, match="deprecated"):
        as_plain(layer, "weight", torch.quantize_per_tensor(layer.weight.detach(), 0.1, 0, torch.qint8))
    with pytest.raises(TypeError, match=r"block 'fc1' has weights of torch\.qint8"):
        net(spikes_of(5, 2, rng))


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
    assert "its weight is [40, 21, 2, 2], expected [40, 21, 3, 3] in this Conv2d" in ours.plan(x.shape).reason
    assert close(ours(x), theirs(x))
