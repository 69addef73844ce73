"""A normalisation made part of the neurons behind it: exactly, and without the mean or the ratio of two scales."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from bntt.ops.fold import Normalisation, fold_neuron, frame, normalisation, thresholds_through_time
from bntt.ops.folded import folded_sequence
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, lif_sequence, soft_reset
from bntt.ops.norm import normalize
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.folding import RULES
from tests.grids import pairs
from tests.rows import each_row

STEPS, CHANNELS = 7, 5


def random(rng: torch.Generator) -> Normalisation:
    """Scales of both signs, tiny ones, and zeros in three of the channels."""
    scale, mean, shift = (torch.randn(STEPS, CHANNELS, generator=rng, dtype=torch.float64) for _ in range(3))
    scale[torch.rand(scale.shape, generator=rng) < 0.15] *= 1e-3
    scale[1, 2] = scale[4, 0] = scale[-1, 1] = 0
    return Normalisation(scale, mean * 0.5, shift * 0.5)


def by_hand(x: np.ndarray, before: Normalisation, neuron: Neuron, *, mean: bool, ratio: bool) -> np.ndarray:
    """Spikes ``[T, B, C]``, neuron by neuron: with the ratio, of u itself; without, of v in the frame of the sum."""
    scale, centre, shift = (rows.numpy() for rows in before)
    leak, theta = np.broadcast_to(np.asarray(neuron.leak, dtype=float), (CHANNELS,)), neuron.threshold
    spikes = np.zeros_like(x)
    for b, c in np.ndindex(*x.shape[1:]):
        u, last = 0.0, 1.0
        for t in range(len(x)):
            a, m = scale[t, c], centre[t, c] * mean
            if ratio:
                drive, amount, tested, unit = a * (x[t, b, c] - m) + shift[t, c], theta, 1.0, 1.0
            else:
                drive = x[t, b, c] - m + (shift[t, c] / a if a else 0.0)
                tested = last if neuron.rule is fire_before else a
                unit = a if a else last
                amount = theta / unit if unit else math.inf
            where = u if neuron.rule is fire_before else leak[c] * u + drive
            spikes[t, b, c] = fired = where * tested > theta
            u = leak[c] * u + (0.0 if neuron.rule is fire_before else drive)
            if fired:
                u = 0.0 if neuron.reset is hard_reset else u - amount
            u += drive if neuron.rule is fire_before else 0.0
            last = a
    return spikes


@pairs(
    rule__reset=RULES,
    mean__ratio=itertools.product((True, False), (True, False)),
    decays=[False, True],
    leak=[0.4, torch.tensor(0.6), torch.tensor([0.1, 0.5, 0.2, 0.7, 0.4])],
)
def test_spikes_are_those_of_a_loop(rule, reset, mean, ratio, decays, leak, rng):
    """Where the input decays, of (1 - λ) a_t and (1 - λ) β_t."""
    before, neuron = random(rng), Neuron(leak, 0.3 if decays else 0.7, rule, reset, decay_input=decays)
    current = torch.randn(STEPS, 30, CHANNELS, generator=rng, dtype=torch.float64) * 1.5
    gain = 1 - torch.as_tensor(leak, dtype=torch.float64) if decays else 1
    scaled = before._replace(scale=before.scale * gain, shift=before.shift * gain)
    expected = by_hand(current.numpy(), scaled, neuron, mean=mean, ratio=ratio)
    spikes, _ = folded_sequence(current, None, fold_neuron(neuron, before, mean=mean, ratio=ratio))
    assert np.array_equal(spikes.numpy(), expected)
    assert 0.05 < expected.mean() < 0.7
    exact = folded_sequence(current, None, fold_neuron(neuron, before))[0]
    assert torch.equal(spikes, exact) == (mean and ratio)


@pairs(rule__reset=RULES, surrogate=[Triangle(0.7), FastSigmoid(2.0), ArcTan()])
def test_a_folded_normalisation_is_the_normalisation(rule, reset, surrogate, rng):
    """Spikes, and the gradient of the input, of a start and from an end."""
    before = random(rng)
    scale, mean, shift = (rows[:, None, :, None] for rows in before)
    neuron = Neuron(0.9, 0.7, rule, reset, surrogate)
    current = torch.randn(STEPS, 30, CHANNELS, 3, generator=rng, dtype=torch.float64) * 1.5
    start = torch.randn(current.shape[1:], generator=rng, dtype=torch.float64)
    towards = torch.randn(current.shape, generator=rng, dtype=torch.float64)
    found = []
    for folded in (False, True):
        x, u = current.clone().requires_grad_(), start.clone().requires_grad_()
        if folded:
            spikes, end = folded_sequence(x, u, fold_neuron(neuron, before))
            end = end * frame(before.scale, neuron.threshold)[-1, :, None]
        else:
            spikes, end = lif_sequence(scale * (x - mean) + shift, u, neuron)
        ((spikes * towards).sum() + (end * towards[0]).sum()).backward()
        found.append((spikes.detach(), end.detach(), x.grad, u.grad))
    assert torch.equal(found[0][0], found[1][0])
    for ours, theirs in zip(found[1][1:], found[0][1:], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert found[0][2].abs().max() > 0.1
    assert found[0][0].mean() > 0.05


def test_the_normalisation_is_that_of_the_norm(rng):
    gamma, var, beta = (torch.rand(rows, CHANNELS, generator=rng, dtype=torch.float64) for rows in (STEPS, 1, 1))
    mean, x = torch.rand(1, CHANNELS, generator=rng, dtype=torch.float64), torch.ones(STEPS, 1, CHANNELS).double()
    for shift in (beta, None):
        found = normalisation(gamma, mean, var, shift, num_steps=STEPS, eps=0.1)
        assert [rows.shape for rows in found] == [(STEPS, CHANNELS)] * 3
        expected = normalize(x, mean, var, gamma, shift, 0.1)[:, 0]
        assert torch.allclose(found.scale * (x[:, 0] - found.mean) + found.shift, expected, rtol=1e-12)


def one_channel(*scale: float, shift: float = 0.0) -> Normalisation:
    a = torch.tensor(scale, dtype=torch.float64)[:, None]
    return Normalisation(a, torch.zeros_like(a), torch.full_like(a, shift))


@each_row("tiny", [0.0, -0.0, 1e-25, -1e-25])
def test_a_channel_that_cannot_be_divided_keeps_its_gain_in_every_step(tiny):
    both = Normalisation(
        *(torch.cat(rows, 1) for rows in zip(one_channel(2.0, tiny), one_channel(2.0, 4.0), strict=True))
    )
    folded = fold_neuron(Neuron(0.5, 3.0), both, dtype=torch.float32)
    assert folded.gain.tolist() == [[2.0, 1.0], [tiny, 1.0]]
    assert folded.leak.tolist() == [[0.5, 0.25], [0.5, 0.25]]
    assert folded.threshold.tolist() == [[3.0, 1.5], [3.0, 0.75]]
    assert not folded.turned.any()


def test_the_range_of_a_dtype_decides():
    for far in (1e-25, 1e25):
        scale = one_channel(1.0, far).scale
        assert torch.equal(frame(scale), scale)
        assert torch.equal(frame(scale, dtype=torch.float32), torch.ones(2, 1).double())
        theta = far**0.5
        assert torch.equal(frame(scale, theta, dtype=torch.float32), scale)
        assert (fold_neuron(Neuron(0.5, theta), one_channel(1.0, far), dtype=torch.float32).gain == 1).all()


@pairs(
    rule=[fire_after, fire_before],
    reset=[soft_reset, hard_reset],
    zero__dtype=[(0.0, torch.float32), (-0.0, torch.float64)],
)
def test_a_scale_of_zero_never_fires_without_the_ratio(rule, reset, zero, dtype):
    before = one_channel(1.0, zero, zero, -1.0, shift=0.5)
    neuron = fold_neuron(Neuron(1.0, 1.0, rule, reset), before, ratio=False, dtype=dtype)
    spikes, membrane = folded_sequence(torch.full((4, 1, 1), 1e6, dtype=dtype), None, neuron)
    assert spikes.flatten().tolist() == ([1, 0, 0, 0] if rule is fire_after else [0, 1, 0, 0])
    assert torch.isfinite(membrane).all()
    assert neuron.bias.flatten().tolist() == [0.5, 0.0, 0.0, -0.5]


def test_equation_15():
    """Low γ is a high threshold, and a negative one is met from above."""
    var, gamma = torch.tensor([[3.99], [3.99], [0.24]]), torch.tensor([[1.0], [0.1], [-0.5]])
    before = normalisation(gamma, torch.ones(3, 1), var, num_steps=3, eps=0.01)
    folded = fold_neuron(Neuron(0.9, 1.5), before, mean=False, ratio=False)
    assert torch.allclose(folded.threshold.flatten(), torch.tensor([3.0, 30.0, -1.5]).double(), rtol=1e-6)
    assert torch.equal(folded.threshold, thresholds_through_time(before.scale, 1.5))
    assert torch.equal(folded.amount, folded.threshold)
    assert float(folded.leak) == 0.9
    assert not folded.bias.any()


def test_a_leak_that_learns_gets_no_gradient():
    leak = torch.tensor([0.5], requires_grad=True)
    tables: list[Tensor] = [table for _, table in fold_neuron(Neuron(leak), one_channel(1.0, 2.0)).tables()]
    assert not any(table.requires_grad for table in tables)
