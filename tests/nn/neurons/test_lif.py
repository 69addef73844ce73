"""The LIF module: settings, the learnable leak, and membranes of the wrong batch."""

import math
from functools import partial

import pytest
import torch

from bntt.nn import LIF, ArcTan, Call, FastSigmoid, fire_before, hard_reset, soft_reset
from bntt.ops.lif import Neuron, lif_sequence
from tests.rows import each_row


@each_row("leak", [-0.1, 1.5, math.nan])
def test_leak_out_of_range(leak):
    with pytest.raises(ValueError, match="leak must be a number from 0 to 1"):
        LIF(leak)


@each_row("threshold", [0.0, -1.0, math.nan, math.inf])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="threshold must be a number above 0"):
        LIF(0.9, threshold)


def test_constants_that_learn_and_surrogates_that_return_spikes_are_refused(no_hook):
    with pytest.raises(TypeError, match=r"threshold is one number .* your own neurons can learn one"):
        LIF(0.9, torch.nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(TypeError, match=r"threshold is one number for all neurons of a LIF, got a tensor of \[8\]"):
        LIF(threshold=torch.ones(8))
    with pytest.raises(TypeError, match=r"leak is one number .* learn_leak=True learns one"):
        LIF(torch.tensor(0.9, requires_grad=True))

    def atan(v):
        return (v > 0).float()

    atan.__module__ = "snntorch.surrogate"
    with pytest.raises(TypeError, match=r"got tuple: norms and neurons return \(y, state\): pass y on"):
        LIF()(LIF()(torch.zeros(1, 1, 1)))
    with pytest.raises(TypeError, match="reset must be a function, such as soft_reset, got 'hard': only builders"):
        LIF(reset="hard")
    with pytest.raises(TypeError, match=r"surrogate must be a function, such as Triangle\(\), got <class .*ArcTan"):
        LIF(surrogate=ArcTan)
    learned = torch.nn.PReLU()
    with pytest.raises(TypeError, match="surrogate has parameters, which LIF would neither train nor save: your own"):
        LIF(surrogate=learned)
    plain = LIF()
    with pytest.raises(TypeError, match="rule has parameters"):
        plain.neuron = Neuron(rule=learned)
    with pytest.raises(ValueError, match="at least one time step, got a sequence of 0"):
        plain(torch.zeros(0, 2, 3))
    with pytest.raises(TypeError, match="do/du, but those of snntorch return spikes"):
        LIF(0.9, surrogate=atan)


def test_rules_without_a_name_are_printed():
    assert "reset=functools.partial(" in repr(LIF(reset=partial(soft_reset)))


def test_leak_one_integrates():
    spikes, _ = LIF(1.0)(torch.full((3, 1, 1), 0.5))
    assert spikes.flatten().tolist() == [0, 0, 1]


def test_module_is_the_function(rng):
    current = torch.randn(5, 2, 3, generator=rng)
    module = LIF(0.8, 1.5, rule=fire_before, reset=hard_reset, surrogate=FastSigmoid())
    expected, _ = lif_sequence(current, neuron=Neuron(0.8, 1.5, fire_before, hard_reset))
    assert torch.equal(module(current)[0], expected)


def test_learnable_leak_starts_where_told_and_learns(rng):
    module = LIF(0.9, learn_leak=True)
    assert module.neuron.leak.item() == pytest.approx(0.9)
    module(torch.randn(5, 2, 3, generator=rng))[0].sum().backward()
    assert module.leak_logit.grad.abs() > 0
    assert [name for name, _ in module.named_parameters()] == ["leak_logit"]


@each_row("leak", [0.0, 1.0])
def test_learnable_leak_must_start_inside(leak):
    with pytest.raises(ValueError, match="learnable leak must start between 0 and 1"):
        LIF(leak, learn_leak=True)


def test_channels_alone_learn_nothing():
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
    assert "(mean of 3, learned)" in repr(module)
    with pytest.raises(ValueError, match="leaks for 3 channels, the current has 2"):
        module(current[:, :, :2])
    for wrong in ({"learn_leak": "channel"}, {"channels": 0, "learn_leak": True}):
        with pytest.raises(ValueError, match="one in each channel needs channels"):
            LIF(0.8, **wrong)


def test_membrane_of_another_batch_is_refused():
    module = LIF()
    _, membrane = module(torch.ones(1, 4, 3))
    with pytest.raises(ValueError, match=r"membrane has shape \[4, 3\] and a step's current \[2, 3\]"):
        module(torch.ones(1, 2, 3), Call(1), membrane)


def test_no_state_stays_behind(rng):
    module, first, second = LIF(), torch.randn(4, 2, 3, generator=rng), torch.randn(4, 5, 3, generator=rng)
    expected, _ = module(second)
    module(first)
    assert torch.equal(module(second)[0], expected)
    assert not module.state_dict()


def test_plif_is_a_learned_leak_whose_input_decays(rng):
    """Fang et al. 2021: H = V + (X - V) / τ, 1/τ = 1 - λ; and without the decay it is another neuron."""
    current = torch.randn(5, 2, 3, generator=rng)
    plif, learned = LIF(0.75, learn_leak=True, decay_input=True), LIF(0.75, learn_leak=True)
    assert torch.equal(plif(4 * current)[0], learned(current)[0])
    assert not torch.equal(plif(current)[0], learned(current)[0])
    assert "decay_input=True" in repr(plif)
    assert "decay_input" not in repr(learned)
    with pytest.raises(ValueError, match="below 1 where the input decays"):
        LIF(1.0, decay_input=True)


def test_repr_says_the_rules():
    assert "rule=fire_before, reset=soft_reset, surrogate=Triangle(scale=0.3)" in repr(LIF(rule=fire_before))
