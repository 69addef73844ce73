"""How late each layer is: by the rule's own formula, and by what a network does and learns."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bntt.models import mlp, resnet20
from bntt.nn import LIF, Measure, Readout, SpikingBlock, SpikingNetwork, fire_before
from bntt.nn.network.delays import Delay, delays
from tests.nn.networks import FORMS, linear, residual, spikes_of

STEPS = 9


def late(net: SpikingNetwork) -> SpikingNetwork:
    for module in net.modules():
        if isinstance(module, LIF):
            module.neuron = replace(module.neuron, rule=fire_before)
    return net


def acts(rows: torch.Tensor) -> list[int]:
    return rows.flatten(1).any(1).nonzero().flatten().tolist()


def test_nothing_is_late_after_integration_and_of_too_few_steps_no_range_is_of_less_than_none():
    assert set(delays(resnet20(num_steps=2)).values()) == {Delay(0, 0, 0)}
    assert delays(mlp(hidden=(3, 3), num_steps=2))["fc1"].reaching_readout(2) == range(2)
    for delay in delays(mlp(hidden=(4,) * 5, fire="before")).values():
        for of in (steps_of(steps) for steps in (1, 3, 5) for steps_of in (delay.driven, delay.reaching_readout)):
            assert list(range(9))[of.start : of.stop] == []


def test_a_chain_learns_and_fires_exactly_where_it_says(rng):
    net = mlp(in_features=6, hidden=(20, 20, 20), num_steps=STEPS, fire="before", leak=0.9)
    x = 2 * torch.rand(STEPS, 16, 6, generator=rng)
    logits, state = net.advance(x, measure=Measure(spikes=True, moments=True))
    logits[-1].square().sum().backward()
    for number, (name, delay) in enumerate(delays(net).items(), start=1):
        assert delay == Delay(number - 1, 1, 3 - number)
        assert delay.needed == 4
        assert acts(net.layers[name].norm.gamma.grad) == list(delay.driven(STEPS))
        assert acts(state.measured[name].spikes) == list(range(number, STEPS))
        assert acts(state.measured[name].moments.var) == list(range(number - 1, STEPS))


@pytest.mark.parametrize("form", FORMS)
def test_residual_blocks_do_no_less_than_it_says(form, rng):
    """In the steps that should do something they do, and after the last that reaches the readout no γ learns."""
    net, x = late(residual(form, STEPS)), spikes_of(STEPS, 6, rng)
    logits, state = net.advance(x, measure=Measure(spikes=True, moments=True))
    logits[-1].square().sum().backward()
    found = delays(net)
    assert found.keys() == net.layers.keys()
    assert any(len(delay.reaching_readout(STEPS)) > 2 for delay in found.values())
    for name, delay in found.items():
        layer, measured = net.layers[name], state.measured[name]
        if layer.lif is not None:
            assert set(delay.reaching_readout(STEPS)) <= set(acts(measured.spikes)), name
        if layer.norm is not None:
            assert set(delay.driven(STEPS)) <= set(acts(measured.moments.var)), name
            learns = acts(layer.norm.gamma.grad)
            assert set(delay.driven(STEPS)) <= set(learns), name
            assert max(learns) == STEPS - 1 - delay.own - delay.after, name


def test_the_three_forms_by_hand():
    found = {form: delays(late(residual(form))) for form in FORMS}
    assert found["before"]["same.a"] == Delay(1, 1, 2)
    assert found["before"]["same.b"] == Delay(2, 0, 2), "a current that a sum takes"
    assert found["before"]["same.after"] == Delay(2, 1, 1), "the shortcut comes before, the body is waited for"
    assert found["before"]["wider.c"] == Delay(3, 0, 1)
    assert found["before"]["wider.after"] == Delay(4, 1, 0)
    assert found["spikes"]["same.b"] == Delay(2, 1, 2)
    assert found["spikes"]["wider.a"] == Delay(1, 1, 2), "the block before is passed by its shortcut"
    assert found["spikes"]["last"] == Delay(2, 1, 0)
    assert found["currents"]["wider.e"] == Delay(1, 0, 1)
    assert found["currents"]["last"] == Delay(1, 1, 0)


class Own(nn.Module):
    """Neurons and a block that nobody knows: what they do may come a step late, layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (SpikingBlock(linear(3, 3), Pass(), Pass()) for _ in range(2))

    @property
    def layers(self):
        return tuple(layer.under(name) for name in ("one", "two") for layer in getattr(self, name).layers)

    def forward(self, x, call, state=None):
        return self.two(x, call)[0] + self.one(x, call)[0], None


class Pass(nn.Module):
    def forward(self, x, call, state=None):
        return x, None


def test_what_is_not_known_counts_as_late_and_one_behind_another():
    plain = SpikingBlock(linear(3, 3), Pass(), LIF())
    found = delays(SpikingNetwork({"own": Own(), "plain": plain}, Readout(linear(3, 2))))
    assert found == {"own.one": Delay(0, 1, 1), "own.two": Delay(1, 1, 0), "plain": Delay(2, 0, 0)}
