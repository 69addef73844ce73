"""What arrives where, what a spike is worth there, the weights that a value meets, and what neurons do beside."""

from fractions import Fraction

import pytest
import torch
from torch import nn

import bntt
from bntt.analysis.energy.operations import PlannedLayer, Value, fan_out, plan_layers, updates_of
from bntt.nn import (
    BNTT,
    LIF,
    BlockFacts,
    FoldedLIF,
    LayerNorm,
    NoNorm,
    Readout,
    Residual,
    SpikingBlock,
    SpikingNetwork,
    hard_reset,
)
from bntt.ops.folded import FoldedNeuron
from tests.nn.networks import FORMS, conv, linear, residual, small
from tests.rows import each_row

WORTHS = {
    "spikes": {"last": 1, "readout": Fraction(1, 9)},
    "currents": {"stem": 1, "same.b": 1, "same.d": 1, "wider.e": None, "readout": Fraction(1, 9)},
    "before": {"same.b": 1, "wider.c": 1, "readout": Fraction(1, 9)},
}


@pytest.mark.parametrize("form", FORMS)
def test_residual_networks(form):
    net = residual(form)
    found = plan_layers(net, (2, 11, 11), Fraction(1))
    assert set(found) == {*net.layers, "readout"}
    assert {name: found[name].into.worth for name in WORTHS[form]} == WORTHS[form]
    assert found["wider.a"].into.shape == (6, 5, 5)
    for name, layer in net.layers.items():
        assert (found[name].weights, found[name].norm, found[name].lif) == layer[1:], name
    assert found["readout"].into.shape == (21,)


def test_a_poisson_input_is_spikes_and_averages_divide_them():
    for worth, expected in ((Fraction(1), [1, Fraction(1, 4), 1, Fraction(1, 4), 1]), (None, [None])):
        found = plan_layers(small(), (2, 11, 11), worth)
        assert [layer.into.worth for layer in found.values()][: len(expected)] == expected
    assert [layer.into.shape for layer in found.values()] == [(2, 11, 11), (21, 5, 5), (40, 5, 5), (18,), (33,)]
    assert [layer.out for layer in found.values()] == [(21, 11, 11), (40, 5, 5), (18, 2, 2), (33,), (4,)]


def test_a_sum_of_spikes_that_are_worth_differently_is_no_spikes():
    for pool, worth in ((nn.AvgPool2d(2), None), (nn.MaxPool2d(2), 1)):
        body = {"a": SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), pool)}
        block = Residual(body, {"b": SpikingBlock(conv(1, 2, 1, stride=2), NoNorm(), LIF())})
        net = SpikingNetwork([block], Readout(nn.Sequential(nn.Flatten(), linear(8, 1))))
        assert plan_layers(net, (1, 4, 4), Fraction(1))["readout"].into == Value((8,), worth)


@each_row("form", ["basic", "sew", "ms", "resnet19"])
def test_resnets_are_read_to_the_end(form):
    models = bntt.models
    net = models.resnet19(num_steps=2, width=0.125)
    if form != "resnet19":
        net = models.resnet20(num_steps=2, width=0.125, residual=form)
    found = plan_layers(net, (3, 32, 32), Fraction(1))
    assert set(found) == {*net.layers, "readout"}
    assert form != "sew" or found["readout"].into == Value((8,), Fraction(1, 64))


def pooled(pool: nn.Module, size: int = 12) -> Value:
    net = SpikingNetwork([SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), pool)], Readout(nn.Flatten()))
    net.readout = Readout(nn.Sequential(nn.Flatten(), linear(1, 1)))
    return plan_layers(net, (1, size, size), Fraction(1))["readout"].into


def test_what_a_spike_is_worth_behind_a_pool():
    for pool, worth in (
        (nn.MaxPool2d(2), 1),
        (nn.AvgPool2d(2), Fraction(1, 4)),
        (nn.AvgPool2d((3, 2), stride=1), Fraction(1, 6)),
        (nn.AvgPool2d(3, padding=1), Fraction(1, 9)),
        (nn.AvgPool2d(3, divisor_override=1), 1),
        (nn.AdaptiveAvgPool2d((3, 4)), Fraction(1, 12)),
        (nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AvgPool2d(3)), Fraction(1, 36)),
        (nn.Identity(), 1),
    ):
        found = pooled(pool)
        assert found.worth == worth, pool
        assert found.shape == (pool(torch.zeros(1, 2, 12, 12)).numel(),), pool


class Mine(nn.Module):
    layers = ()

    def forward(self, x, call=None, state=None):
        return x, None


def spiking(**options):
    return SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), **options)


def plan(blocks, readout=None, shape=(1, 4, 4)):
    return lambda: plan_layers(SpikingNetwork(blocks, readout or Readout(linear(2, 1))), shape, None)


@each_row(
    "ask, named",
    [
        (lambda: pooled(nn.AvgPool2d(5, ceil_mode=True)), "'block1'"),
        (lambda: pooled(nn.AvgPool2d(3, padding=1, count_include_pad=False)), "'block1'"),
        (lambda: pooled(nn.AdaptiveAvgPool2d(5)), "'block1'"),
        (lambda: pooled(nn.ReLU()), "ReLU"),
        (plan({"odd": Mine()}, shape=(2,)), "'odd' is a Mine"),
        (plan({}, Mine(), (2,)), "Mine"),
        (plan({}, Readout(nn.Bilinear(1, 1, 1, device="meta")), (1, 1, 1)), "'readout' end in Bilinear"),
        (plan({}, Readout(nn.Sequential(conv(1, 2, 1), nn.Flatten())), (1, 1, 1)), "'readout' end in Flatten"),
        (plan([spiking(dropout=Mine())]), "'block1' has a Mine"),
        (plan({"readout": spiking()}), "called 'readout'"),
        (lambda: fan_out(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", device="meta"), (1, 5, 5)), "circular"),
    ],
)
def test_what_cannot_be_counted_is_named(ask, named):
    with pytest.raises((TypeError, ValueError), match=named):
        ask()


def test_a_block_of_ones_own_says_what_it_is_made_of():
    """By its facts: parts of the names of the library's own blocks."""

    class Own(Mine):
        facts = BlockFacts("layer")
        synapse, norm, lif, pool, dropout = linear(4, 2), NoNorm(), LIF(), nn.Identity(), None

    found = plan_layers(SpikingNetwork({"odd": Own()}, Readout(linear(2, 1))), (4,), None)
    assert (found["odd"].out, found["readout"].into) == ((2,), Value((2,), Fraction(1)))


SPIKES = torch.tensor([3.0, 0.5]).double()


def done(norm, lif, *, bias=False, weights=True):
    """Per step: multiplications, additions; and the ANN's additions; of six neurons."""
    layer = nn.Conv2d(1, 2, 2, bias=bias, device="meta") if weights else None
    found = updates_of(PlannedLayer(Value((1, 2, 4), None), (2, 1, 3), layer, norm, lif), spikes=SPIKES)
    return found[0].tolist(), found[1].tolist(), found[2]


def test_operations_beside_the_weights():
    for parts, expected in (
        # norm 1 x 1 +, leak 1 x, current and threshold 2 +, reset 1 + a spike; ANN: bias and ReLU
        ((BNTT(2, num_steps=2), LIF(0.9)), ([12, 12], [6 * 3 + 3, 6 * 3 + 0.5], 12)),
        ((NoNorm(), LIF(0.9)), ([6, 6], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(1.0)), ([0, 0], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(0.9, learn_leak=True)), ([6, 6], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(0.9, decay_input=True)), ([12, 12], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((BNTT(2, num_steps=2), LIF(0.9, decay_input=True)), ([12, 12], [6 * 3 + 3, 6 * 3 + 0.5], 12)),  # in its scale
        ((NoNorm(), LIF(0.9, reset=hard_reset)), ([6, 6], [12, 12], 6)),
        ((LayerNorm(2), LIF(0.9)), ([18, 18], [6 * 5 + 3, 6 * 5 + 0.5], 12)),
        ((NoNorm(), FoldedLIF(FoldedNeuron(leak=0.9, threshold=1.0))), ([12, 12], [21, 18.5], 6)),
        ((BNTT(2, num_steps=2), None), ([6, 6], [6, 6], 6)),  # a current
        ((NoNorm(), None), ([0, 0], [0, 0], 0)),  # a readout
        ((NoNorm(), nn.Identity()), ([6, 6], [15, 12.5], 6)),  # neurons of yours, as if they leaked
    ):
        assert done(*parts) == expected, parts
    assert done(NoNorm(), None, bias=True) == ([0, 0], [6, 6], 6), "a bias is an addition, unless a norm takes it in"
    assert done(BNTT(2, num_steps=2), LIF(0.9), bias=True) == done(BNTT(2, num_steps=2), LIF(0.9))
    assert done(None, LIF(0.9), weights=False) == ([6, 6], [15, 12.5], 6)


def test_the_sum_over_an_image_is_what_a_dense_layer_multiplies():
    inside = nn.Conv2d(3, 5, 3, device="meta")
    assert PlannedLayer(Value((3, 6, 7), None), (5, 4, 5), inside).connections == 4 * 5 * 5 * 9 * 3
    assert fan_out(nn.Linear(9, 5, device="meta"), (9,)).tolist() == [[5]]
    assert PlannedLayer(Value((9,), None), (5,), nn.Linear(9, 5, device="meta")).connections == 45
