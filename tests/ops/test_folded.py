"""Neurons whose constants vary: against an independent loop, and against ordinary ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bntt.ops.folded import FoldedNeuron, folded_sequence
from bntt.ops.lif import fire_before, hard_reset
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


@each_row(
    "named, tables",
    [
        ("leak", {"leak": math.nan}),
        ("bias .*step 1, channel 0", {"bias": torch.tensor([[0.0, 1.0], [math.inf, 0.0]])}),
        ("gain .*step 0, channel 1", {"gain": torch.tensor([[0.0, -math.inf]])}),
        ("threshold", {"threshold": 0.0}),
        ("threshold .*step 1, channel 0", {"threshold": torch.tensor([[1.0], [-2.0]])}),
        ("threshold .*step 0, channel 1", {"turned": torch.tensor([[False, True]])}),
        ("threshold .*step 1", {"threshold": -1.0, "turned": torch.tensor([[True], [False]])}),
        ("steps.*'leak': 3, 'slope': 2", {"leak": torch.ones(3, 1), "slope": torch.ones(2, 4)}),
        ("channels.*'leak': 3, 'slope': 4", {"leak": torch.ones(1, 3), "slope": torch.ones(2, 4)}),
        ("leak", {"leak": torch.ones(3)}),
        ("amount", {"amount": torch.ones(0, 3)}),
        ("leak", {"leak": torch.ones(3, 1, dtype=torch.int64)}),
        ("turned", {"turned": torch.ones(3, 1)}),
        ("reset", {"reset": lambda u, o, a: u}),
        ("fire_after", {"rule": lambda y, u, n: (u, y)}),
    ],
)
def test_what_is_no_neuron_is_refused(named, tables):
    with pytest.raises(ValueError, match=named):
        FoldedNeuron(**{"leak": 0.9, "threshold": 1.0, **tables})


def test_sizes_steps_and_what_is_beyond_them():
    neuron = FoldedNeuron(torch.arange(4.0)[:, None], torch.full((1, 3), 0.1))
    assert (neuron.num_steps, neuron.channels) == (4, 3)
    assert torch.equal(neuron.steps(1, 3).leak, neuron.leak[1:3])
    assert neuron.steps(1, 3).threshold is neuron.threshold
    with pytest.raises(ValueError, match="time steps"):
        neuron.steps(2, 5)
    with pytest.raises(ValueError, match="channels"):
        folded_sequence(torch.ones(1, 1, 2), None, neuron)
    assert FoldedNeuron(1.0, 1.0).steps(7, 9).num_steps is None
