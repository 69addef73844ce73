"""The LIF module: settings, the learnable leak, and that it keeps nothing."""

from functools import partial

import pytest
import torch

from bntt.nn import LIF, FastSigmoid, fire_before, hard_reset, soft_reset
from bntt.ops.lif import Neuron, lif_sequence


@pytest.fixture
def current(rng):
    return torch.randn(5, 2, 3, generator=rng)


def test_module_is_the_function_and_no_state_stays_behind(current, rng):
    module = LIF(0.8, 1.5, rule=fire_before, reset=hard_reset, surrogate=FastSigmoid())
    expected, _ = lif_sequence(current, neuron=Neuron(0.8, 1.5, fire_before, hard_reset))
    module(torch.randn(4, 7, 3, generator=rng))
    assert torch.equal(module(current)[0], expected)
    assert not module.state_dict()
    assert LIF(1.0)(torch.full((3, 1, 1), 0.5))[0].flatten().tolist() == [0, 0, 1], "an integrator"


def test_learnable_leak_starts_where_told_and_learns(current):
    module = LIF(0.9, learn_leak=True)
    assert module.neuron.leak.item() == pytest.approx(0.9)
    module(current)[0].sum().backward()
    assert module.leak_logit.grad.abs() > 0
    assert [name for name, _ in module.named_parameters()] == ["leak_logit"]
    assert LIF(0.8, channels=3).leak_logit is None, "builders give them to all neurons"
    assert LIF(0.8, channels=3, learn_leak="layer").leak_logit.shape == ()


def test_a_leak_in_every_channel_is_each_channels_own(rng):
    module, current = LIF(0.8, learn_leak=True, channels=3), torch.randn(5, 2, 3, 4, 4, generator=rng)
    with torch.no_grad():
        module.leak_logit.add_(torch.tensor([-1.0, 0.0, 2.0]))
    spikes, _ = module(current)
    for c, leak in enumerate(module.neuron.leak.tolist()):
        alone, _ = LIF(leak)(current[:, :, c])
        assert torch.equal(spikes[:, :, c], alone)
    spikes.sum().backward()
    assert (module.leak_logit.grad != 0).all()


def test_plif_is_a_learned_leak_whose_input_decays(current):
    """Fang et al. 2021: H = V + (X - V) / τ, 1/τ = 1 - λ; and without the decay it is another neuron."""
    plif, learned = LIF(0.75, learn_leak=True, decay_input=True), LIF(0.75, learn_leak=True)
    assert torch.equal(plif(4 * current)[0], learned(current)[0])
    assert not torch.equal(plif(current)[0], learned(current)[0])


def test_what_tells_two_models_apart_is_printed():
    """`structure` of models compares what is printed."""
    assert "rule=fire_before, reset=soft_reset, surrogate=Triangle(scale=0.3)" in repr(LIF(rule=fire_before))
    assert "reset=functools.partial(" in repr(LIF(reset=partial(soft_reset)))
    assert "(mean of 3, learned)" in repr(LIF(0.8, learn_leak=True, channels=3))
    assert ["decay_input=True" in repr(LIF(0.5, decay_input=decays)) for decays in (True, False)] == [True, False]
