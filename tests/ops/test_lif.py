"""The neuron against hand calculation, its own step form, and a soft twin that can be differentiated numerically."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bntt.ops.lif as lif
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, lif_sequence, lif_step, soft_reset
from bntt.ops.norm import normalize, step_moments
from tests.grids import pairs
from tests.rows import each_row

RULES = [fire_after, fire_before]
RESETS = [soft_reset, hard_reset]


@each_row("reset, end", [(soft_reset, 0.5 * 0.9 + 2.5 - 1), (hard_reset, 0)])
def test_a_trace_by_hand(reset, end):
    """λ=0.5, θ=1, y = .8 .8 .8 2.5: m = .8, 1.2*, .9, 2.95* → u = .8, .2, .9, 1.95 by the soft reset."""
    current = torch.tensor([0.8, 0.8, 0.8, 2.5], dtype=torch.float64).view(4, 1)
    spikes, membrane = lif_sequence(current, neuron=Neuron(leak=0.5, reset=reset))
    assert spikes.flatten().tolist() == [0, 1, 0, 1]
    assert membrane.item() == pytest.approx(end)


def test_fire_before_answers_one_step_later_and_leaks_before_the_reset():
    """o = [u > θ], u' = λu - θo + y: u = 1.5, then .5·1.5 - 1 + .1 = -.15."""
    current = torch.tensor([1.5, 0.1, 0.1], dtype=torch.float64).view(3, 1)
    spikes, membrane = lif_sequence(current, neuron=Neuron(leak=0.5, rule=fire_before))
    assert spikes.flatten().tolist() == [0, 1, 0]
    assert membrane.item() == pytest.approx(0.5 * -0.15 + 0.1)


@pairs(rule=RULES, reset=RESETS, decay_input=[False, True])
def test_sequence_is_step_after_step(rule, reset, decay_input, rng):
    current = torch.randn(7, 3, 4, generator=rng, dtype=torch.float64) * 2
    neuron = Neuron(0.6, rule=rule, reset=reset, decay_input=decay_input)
    spikes, membrane = lif_sequence(current, neuron=neuron)
    state = None
    for t in range(7):
        one, state = lif_step(current[t], state, neuron=neuron)
        assert torch.equal(one, spikes[t])
    assert torch.equal(state, membrane)


def test_no_gradient_through_the_reset():
    """With the reset a constant, du'/dy stays 1 where a spike resets; the leak path carries λ."""
    current = torch.tensor([[1.5], [0.0]], dtype=torch.float64, requires_grad=True)
    _, membrane = lif_sequence(current, neuron=Neuron(leak=0.5))
    membrane.sum().backward()
    assert current.grad.flatten().tolist() == [0.5, 1.0]


@each_row("decay_input, expected", [(False, 0.4), (True, 0.4 * 0.4 - 0.3)])
def test_a_learnable_leak_gets_the_gradient_of_the_leak_path(decay_input, expected):
    """u' = λa + b before any spike: du'/dλ = a. Where the input decays, λ(1 - λ)a + (1 - λ)b: (1 - 2λ)a - b."""
    leak = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    neuron = Neuron(leak=leak, decay_input=decay_input)
    _, membrane = lif_sequence(torch.tensor([[0.4], [0.3]], dtype=torch.float64), neuron=neuron)
    membrane.sum().backward()
    assert float(leak.grad) == pytest.approx(expected)


@pairs(rule=RULES, tau=[1.0, 2.0, 5.0])
def test_an_input_that_decays_is_that_of_fang_et_al(tau, rule, rng):
    """Their Eq. 4 with V_reset = 0, H = V + (X - V) / τ, beside the paper's λV + X, at λ = 1 - 1/τ."""
    current = torch.randn(6, 3, generator=rng, dtype=torch.float64) * 2
    neuron = Neuron(leak=1 - 1 / tau, threshold=50.0, rule=rule, decay_input=True)  # which never fires
    v = torch.zeros(3, dtype=torch.float64)
    for x in current:
        v = v + (x - v) / tau
    assert torch.allclose(lif_sequence(current, neuron=neuron)[1], v, rtol=1e-13)
    paper = lif_sequence(current, neuron=Neuron(leak=1 - 1 / tau, threshold=50.0, rule=rule))[1]
    assert torch.allclose(paper, v * tau, rtol=1e-13), "the same but for τ, as nothing fired"


def soft_fire(membrane, threshold, surrogate):
    """A smooth stand-in whose derivative is exactly Eq. 8: θ times the antiderivative of 0.3 max(0, 1 - |v|)."""
    v = (membrane / threshold - 1).clamp(-1, 1)
    return threshold * 0.3 * (0.5 + v - v * v.abs() / 2)


@settings(max_examples=5, deadline=None)
@given(
    steps=st.integers(1, 5),
    width=st.integers(1, 4),
    batch=st.integers(2, 3),
    leak=st.floats(0.1, 1.0),
    threshold=st.floats(0.5, 2.0),
    rule=st.sampled_from(RULES),
    hard=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_gradients_of_the_soft_twin(steps, width, batch, leak, threshold, rule, hard, seed):
    """N3: with spikes smooth and reset masks frozen, autograd's BPTT through BNTT and LIF is the true derivative."""

    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    masks = iter(())
    frozen = (draw(steps, batch, width) > 0.3).double()

    def reset(membrane, spikes, theta):
        mask = next(masks)
        return membrane * (1 - mask) if hard else membrane - theta * mask

    def network(inputs, weight, gamma, second):
        nonlocal masks
        masks = iter(frozen)
        current = inputs @ weight
        moments = step_moments(current)
        current = normalize(current, moments.mean, moments.var, gamma, eps=1e-2)
        spikes, _ = lif_sequence(current, neuron=Neuron(leak=leak, threshold=threshold, rule=rule, reset=reset))
        return (spikes @ second).mean(0)

    values = [draw(steps, batch, 3), draw(3, width), draw(steps, width), draw(width, 2)]
    values = [value.requires_grad_() for value in values]
    real, lif.fire = lif.fire, soft_fire
    try:
        assert torch.autograd.gradcheck(network, values, eps=1e-6, atol=1e-5, rtol=1e-3)
    finally:
        lif.fire = real


def test_the_soft_twins_derivative_is_the_surrogate():
    membrane = torch.linspace(-1, 4, 101, dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(soft_fire(membrane, 1.5, None).sum(), membrane)
    expected = 0.3 * (1 - (membrane.detach() / 1.5 - 1).abs()).clamp(min=0)
    assert torch.allclose(found, expected, atol=1e-15)
