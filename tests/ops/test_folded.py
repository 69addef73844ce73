"""Neurons whose constants vary: against an independent loop, and against ordinary ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bntt.ops.folded import TABLES, FoldedNeuron, folded_sequence
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, lif_sequence, soft_reset
from tests import reference
from tests.folding import RULES, SHAPES, random_neuron
from tests.grids import pairs
from tests.rows import each_row

STEPS, CHANNELS = 7, 5


@pairs(rule__reset=RULES, shape=SHAPES)
def test_spikes_and_membrane_are_the_oracles(rule, reset, shape, rng):
    neuron = random_neuron(shape, STEPS, CHANNELS, rng, rule=rule, reset=reset)
    current = torch.randn(STEPS, 40, CHANNELS, generator=rng, dtype=torch.float64)
    spikes, membrane = folded_sequence(current, None, neuron)
    tables = {n: np.broadcast_to(np.asarray(t, dtype=float), (STEPS, CHANNELS)) for n, t in neuron.tables()}
    tables = {n: t.astype(np.float32) if n != "turned" else t for n, t in tables.items()}
    if shape == "number":
        tables = {n: np.full((STEPS, CHANNELS), getattr(neuron, n)) for n in tables}
    expected, _, last = reference.folded(current.numpy(), tables, rule is fire_before, reset is hard_reset)
    assert np.array_equal(spikes.numpy(), expected)
    assert np.allclose(membrane.numpy(), last, rtol=1e-12, atol=1e-12)
    assert 0.02 < spikes.mean() < 0.9


@pytest.mark.parametrize(("rule", "reset"), RULES)
def test_constant_tables_are_the_ordinary_neuron(rule, reset, rng):
    current = torch.randn(STEPS, 20, CHANNELS, generator=rng, requires_grad=True)
    found = []
    for spikes, membrane in (
        lif_sequence(current, None, Neuron(0.8, 0.6, rule, reset)),
        folded_sequence(current, None, FoldedNeuron(0.8, torch.full((STEPS, 1), 0.6), rule=rule, reset=reset)),
    ):
        (grad,) = torch.autograd.grad((spikes * torch.arange(1.0, 1 + CHANNELS)).sum(), current)
        found.append((spikes, membrane, grad))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@each_row("cuts", [(0, 1, 7), (0, 3, 4, 7), tuple(range(8))])
@each_row("shape", SHAPES)
def test_parts_are_the_whole(shape, cuts, rng):
    neuron = random_neuron(shape, STEPS, CHANNELS, rng)
    current = torch.randn(STEPS, 4, CHANNELS, 2, 2, generator=rng)
    whole, end = folded_sequence(current, None, neuron)
    parts, membrane = [], None
    for first, last in itertools.pairwise(cuts):
        spikes, membrane = folded_sequence(current[first:last], membrane, neuron, first)
        parts.append(spikes)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(membrane, end)


def test_a_tie_does_not_fire_either_way_up():
    neuron = FoldedNeuron(1.0, torch.tensor([[0.3, -0.3]]), turned=torch.tensor([[False, True]]))
    current = torch.tensor([[0.3, -0.3]])[None]
    assert folded_sequence(current, None, neuron)[0].sum() == 0
    assert folded_sequence(current * 1.001, None, neuron)[0].sum() == 2


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"leak": math.nan}, "leak must be finite, got nan"),
        ({"bias": torch.tensor([[0.0, 1.0], [math.inf, 0.0]])}, "bias must be finite, got inf at step 1, channel 0"),
        ({"gain": torch.tensor([[0.0, -math.inf]])}, "gain must be finite, got -inf at step 0, channel 1"),
        ({"threshold": 0.0}, "threshold must be above 0 where it is not turned, got 0"),
        ({"threshold": torch.tensor([[1.0], [-2.0]])}, "not turned, got -2 at step 1, channel 0"),
        ({"turned": torch.tensor([[False, True]])}, "below 0 where it is turned, got 1 at step 0, channel 1"),
        ({"threshold": -1.0, "turned": torch.tensor([[True], [False]])}, "not turned, got -1 at step 1, channel 0"),
        (
            {"leak": torch.ones(3, 1), "slope": torch.ones(2, 4)},
            "one number of time steps, got {'leak': 3, 'slope': 2}",
        ),
        ({"leak": torch.ones(1, 3), "slope": torch.ones(2, 4)}, "one number of channels, got {'leak': 3, 'slope': 4}"),
        ({"leak": torch.ones(3)}, r"leak must be one of the floating point numbers or [T, C]"),
        ({"amount": torch.ones(0, 3)}, r"amount must be one of the floating point numbers or [T, C]"),
        ({"leak": torch.ones(3, 1, dtype=torch.int64)}, "leak must be one of the floating point numbers"),
        ({"turned": torch.ones(3, 1)}, "turned must be one of the bools"),
        ({"reset": lambda u, o, a: u}, "fires by fire_after or fire_before"),
        ({"rule": lambda y, u, n: (u, y)}, "fires by fire_after or fire_before"),
    ],
)
def test_what_is_no_neuron_is_said(tables, message):
    with pytest.raises(ValueError, match=r".") as error:
        FoldedNeuron(**{"leak": 0.9, "threshold": 1.0, **tables})
    assert message in str(error.value)


def test_sizes_steps_and_what_is_beyond_them():
    neuron = FoldedNeuron(torch.arange(4.0)[:, None], torch.full((1, 3), 0.1))
    assert (neuron.num_steps, neuron.channels) == (4, 3)
    assert torch.equal(neuron.steps(1, 3).leak, neuron.leak[1:3])
    assert neuron.steps(1, 3).threshold is neuron.threshold
    assert [name for name, _ in neuron.tables()] == [name for name in TABLES if name != "amount"]
    with pytest.raises(ValueError, match=r"have 4 time steps \(0-3\), got t=4"):
        neuron.steps(2, 5)
    with pytest.raises(ValueError, match="have 3 channels, the current has 2"):
        folded_sequence(torch.ones(1, 1, 2), None, neuron)
    assert FoldedNeuron(1.0, 1.0).steps(7, 9).num_steps is None
    assert FoldedNeuron(1.0, 1.0, rule=fire_after, reset=soft_reset).channels is None
