"""What arrives where: sizes, and what a spike is worth behind pools and sums."""

from fractions import Fraction

import pytest
import torch
from torch import nn

import bntt
from bntt.analysis.energy.operations import Synaptic, count_operations
from bntt.analysis.energy.weight_inputs import Value, sites
from bntt.nn import LIF, ExpectedEncoder, NoNorm, Readout, Rectifier, Residual, SpikingBlock, SpikingNetwork
from tests.nn.networks import FORMS, conv, linear, residual, small

WORTHS = {
    "spikes": {"last": 1, "readout": Fraction(1, 9)},
    "currents": {"stem": 1, "same.b": 1, "same.d": 1, "wider.e": None, "readout": Fraction(1, 9)},
    "before": {"same.b": 1, "wider.c": 1, "readout": Fraction(1, 9)},
}


@pytest.mark.parametrize("form", FORMS)
def test_residual_networks(form):
    net = residual(form)
    found = sites(net, (2, 11, 11), Fraction(1))
    assert set(found) == {*net.layers, "readout"}
    assert {name: found[name].into.worth for name in WORTHS[form]} == WORTHS[form]
    assert found["wider.a"].into.shape == (6, 5, 5)
    for name, layer in net.layers.items():
        assert (found[name].weights, found[name].norm, found[name].lif) == layer[1:], name
    assert found["readout"].into.shape == (21,)


def test_a_poisson_input_is_spikes_and_averages_divide_them():
    for worth, expected in ((Fraction(1), [1, Fraction(1, 4), 1, Fraction(1, 4), 1]), (None, [None])):
        found = sites(small(), (2, 11, 11), worth)
        assert [site.into.worth for site in found.values()][: len(expected)] == expected
    assert [site.into.shape for site in found.values()] == [(2, 11, 11), (21, 5, 5), (40, 5, 5), (18,), (33,)]
    assert [site.out for site in found.values()] == [(21, 11, 11), (40, 5, 5), (18, 2, 2), (33,), (4,)]


def test_a_sum_of_spikes_that_are_worth_differently_is_no_spikes():
    for pool, worth in ((nn.AvgPool2d(2), None), (nn.MaxPool2d(2), 1)):
        body = {"a": SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), pool)}
        block = Residual(body, {"b": SpikingBlock(conv(1, 2, 1, stride=2), NoNorm(), LIF())})
        net = SpikingNetwork([block], Readout(nn.Sequential(nn.Flatten(), linear(8, 1))))
        assert sites(net, (1, 4, 4), Fraction(1))["readout"].into == Value((8,), worth)


def test_resnets_are_read_to_the_end():
    for build in (bntt.models.resnet19, *(_of(form) for form in ("basic", "sew", "ms"))):
        net = build(num_steps=2, width=0.125)
        assert set(sites(net, (3, 32, 32), Fraction(1))) == {*net.layers, "readout"}
    found = sites(_of("sew")(num_steps=2, width=0.125), (3, 32, 32), Fraction(1))
    assert found["readout"].into == Value((8,), Fraction(1, 64))


def _of(form):
    return lambda **options: bntt.models.resnet20(residual=form, **options)


def pooled(pool: nn.Module, size: int = 12) -> Value:
    net = SpikingNetwork([SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), pool)], Readout(nn.Flatten()))
    net.readout = Readout(nn.Sequential(nn.Flatten(), linear(1, 1)))
    return sites(net, (1, size, size), Fraction(1))["readout"].into


@pytest.mark.parametrize(
    ("pool", "worth"),
    [
        (nn.MaxPool2d(2), 1),
        (nn.AvgPool2d(2), Fraction(1, 4)),
        (nn.AvgPool2d((3, 2), stride=1), Fraction(1, 6)),
        (nn.AvgPool2d(3, padding=1), Fraction(1, 9)),
        (nn.AvgPool2d(3, divisor_override=1), 1),
        (nn.AdaptiveAvgPool2d((3, 4)), Fraction(1, 12)),
        (nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AvgPool2d(3)), Fraction(1, 36)),
        (nn.Identity(), 1),
    ],
    ids=str,
)
def test_what_a_spike_is_worth_behind_a_pool(pool, worth):
    found = pooled(pool)
    assert found.worth == worth
    assert found.shape == (pool(torch.zeros(1, 2, 12, 12)).numel(),)


@pytest.mark.parametrize(
    "pool",
    [nn.AvgPool2d(5, ceil_mode=True), nn.AvgPool2d(3, padding=1, count_include_pad=False), nn.AdaptiveAvgPool2d(5)],
    ids=str,
)
def test_windows_of_several_sizes_are_refused(pool):
    with pytest.raises(TypeError, match="layer 'block1' averages over windows of several sizes"):
        pooled(pool)


class Mine(nn.Module):
    layers = ()

    def forward(self, x, call=None, state=None):
        return x, None


def test_what_is_not_known_is_named():
    with pytest.raises(TypeError, match="has a ReLU, behind which spikes cannot be counted"):
        pooled(nn.ReLU())
    net = SpikingNetwork({"odd": Mine()}, Readout(linear(2, 1)))
    with pytest.raises(
        TypeError, match="block 'odd' is a Mine, whose operations cannot be counted: build it of Spiking"
    ):
        sites(net, (2,), None)
    with pytest.raises(TypeError, match="counted of a Readout, this one is a Mine"):
        sites(SpikingNetwork({}, Mine()), (2,), None)
    with pytest.raises(TypeError, match="'readout' has weights in a Bilinear"):
        sites(SpikingNetwork({}, Readout(nn.Bilinear(1, 1, 1, device="meta"))), (2,), None)
    dropped = SpikingBlock(conv(1, 2, 1), NoNorm(), LIF(), dropout=Mine())
    with pytest.raises(TypeError, match="block 'block1' has a Mine"):
        sites(SpikingNetwork([dropped], Readout(linear(2, 1))), (1, 4, 4), None)
    named = SpikingNetwork({"readout": SpikingBlock(conv(1, 2, 1), NoNorm(), LIF())}, Readout(linear(2, 1)))
    with pytest.raises(ValueError, match="a layer is called 'readout'"):
        sites(named, (1, 4, 4), None)


def test_an_ann_multiplies_what_is_not_zero():
    """Inputs -1/2, 0, 1/2, 1/2 of which three count; fc1 rectifies drives 1/2, -1/2 and 1 (weights by hand)."""
    one, last = linear(4, 3), linear(3, 2)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[0.0, 9.0, 1.0, 0.0], [1.0, 9.0, 0.0, 0.0], [0.0, 9.0, 1.0, 1.0]]))
        last.weight.fill_(1.0)
    images = torch.tensor([0.25, 0.5, 0.75, 0.75])
    flat = nn.Sequential(nn.Flatten(), one)
    ann = SpikingNetwork({"fc1": SpikingBlock(flat, NoNorm(), Rectifier())}, Readout(last))
    model = bntt.SpikingClassifier(ExpectedEncoder(1, mean=0.5, std=0.25), ann)
    found = count_operations(model, [(images.reshape(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))])
    fc1, readout = found.layers.values()
    assert (fc1.arrives, readout.arrives) == ("analog", "analog")
    assert (fc1.active.tolist(), readout.active.tolist()) == ([3 * 3], [2 * 2])
    assert found.synaptic() == found.synaptic(price="values") == Synaptic(0.0, 13.0)
    assert found.dense == 4 * 3 + 3 * 2
    assert found.spikes() == 0
    assert (fc1.updates.additions.tolist(), fc1.updates.multiplications.tolist(), fc1.updates.ann) == ([3], [0], 3)
