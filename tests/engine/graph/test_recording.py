"""What is measured of a pass: edges, parts joined in time, and what arrives at weights, by sums in plain PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import (
    MOST_SIZES,
    Arrivals,
    LayerMeasures,
    Measure,
    arrivals,
    histogram,
    join_steps,
    joined_arrivals,
)
from bntt.engine.graph.stack import run_stack
from bntt.engine.layer_spec import Affine
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE
from bntt.ops.norm import Moments
from tests.engine.graph.test_stack import layer
from tests.kernels import needs_kernels
from tests.rows import each_row

EDGES = (-1.5, -0.5, 0.0, 0.7, 2.0)
STEPS = 5


@each_row("edges", [(1.0,), (1.0, 1.0), (2.0, 1.0), (0.0, math.nan), (-math.inf, 0.0), (0.0, 1.0, math.inf)])
def test_edges_ascend_and_are_finite(edges, no_hook):
    with pytest.raises(ValueError, match="edges"):
        Measure(current=edges)
    assert Measure(current=[0, 0.5, 1]).current == (0.0, 0.5, 1.0)
    for wrong in ({"membrane": ("fc1", 3)}, {"membrane": ("fc1", (3,)), "gradient": True}):
        with pytest.raises(ValueError, match="membrane"):
            Measure(**wrong)


@each_row(
    "values, histogram_, maximum", [([-9.0, 0.0, 0.5, 1.0, 9.0], [1, 2, 2], 9.0), ([math.nan] * 5, [0, 0, 5], math.nan)]
)
def test_an_edge_belongs_to_the_values_above_it(values, histogram_, maximum):
    current = torch.tensor(values).reshape(1, 1, 1, 5, 1)
    found = histogram(current, Affine.identity(1, 1, current.device), (0.0, 1.0))
    assert found.histogram.tolist() == [histogram_]
    assert found.maximum.tolist() == pytest.approx([maximum], nan_ok=True)


def test_parts_are_joined_in_time():
    rows = torch.arange(6).reshape(3, 2)
    parts = [
        LayerMeasures(spikes=rows[a:b], moments=Moments(rows[a:b].float(), rows[a:b] + 0.5, (4, 5, 6)[a:b]))
        for a, b in ((0, 1), (1, 3))
    ]
    found = join_steps(parts)
    assert torch.equal(found.spikes, rows)
    assert torch.equal(found.moments.var, rows + 0.5)
    assert (found.moments.count, found.places, found.current) == ((4, 5, 6), None, None)
    assert join_steps(parts[:1]) is parts[0]
    assert join_steps([None, None]) is None


@needs_kernels
def test_one_at_a_time_and_a_plain_pass_sees_the_spikes_alone(rng):
    x = Spikes(torch.randn(STEPS, 4, 7, 7, 3, generator=rng))
    made = [layer(rng, 3, 10, STEPS), layer(rng, 10, 9, STEPS), layer(rng, 9, 5, STEPS, flatten=True)]
    without = run_stack(made, x, PassContext(), mean_over_time=False)
    for name in ("places", "samples", "moments", "gradient", "current", "arrivals"):
        one = replace(Measure(), **{name: EDGES if name == "current" else True})
        ran = run_stack(made, x, PassContext(measure=one), mean_over_time=False)
        assert torch.equal(ran.out, without.out), name
        for seen, bare in zip(ran.seen, without.seen, strict=True):
            assert {key for key, value in vars(bare).items() if value is not None} == {"neurons", "spikes"}
            assert {key for key, value in vars(seen).items() if value is not None} == {"neurons", "spikes", name}
            assert torch.equal(seen.spikes, bare.spikes), name


def found(x: Spikes, **options) -> Arrivals:
    with WORKSPACE.lease() as lease:
        return arrivals(x, lease, **options)


@pytest.mark.parametrize(("largest", "batch"), [(1, 300), (4, 70), (9, 3), (63, 300), (255, 3)])
def test_counts_are_summed_without_overflow(largest, batch, rng):
    """All at their largest, too: a byte alone would overflow from 256 on."""
    counts = torch.randint(0, largest + 1, (2, batch, 3, 4, 5), generator=rng, dtype=torch.uint8)
    counts[1] = largest
    seen = found(Spikes(counts, 1 / largest, largest))
    assert torch.allclose(seen.amount, counts.double().sum((1, 4)) / largest, rtol=1e-14)
    assert torch.equal(seen.active, counts.bool().sum((1, 4)))
    assert seen.active[1].eq(5 * batch).all()


def test_signed_spikes_and_real_numbers_count_without_their_sign(rng):
    signed = torch.randint(-1, 2, (3, 300, 2, 4, 5), generator=rng)
    still = torch.randn(4, 3, 2, 5, generator=rng).expand(6, 4, 3, 2, 5)  # one image, there at every step
    wide = torch.tensor([-128, 127, -3, 0], dtype=torch.int8).reshape(1, 1, 2, 2, 1)
    real = torch.tensor([-0.25, 0.0, 1.5, 1e-30]).reshape(1, 1, 2, 2, 1)
    for values in (signed.to(torch.int8), signed.float(), signed.to(torch.int8).mT, still, wide, real):
        seen = found(Spikes(values))
        assert torch.allclose(seen.amount, values.double().abs().sum((1, 4)), rtol=1e-14)
        assert torch.equal(seen.active, (values != 0).sum((1, 4)))


def test_a_fully_connected_layer_has_one_place_and_steps_are_joined(rng):
    counts = torch.randint(0, 2, (4, 7, 3, 3, 2), generator=rng, dtype=torch.uint8)
    whole = found(Spikes(counts), places=False)
    assert whole.active.tolist() == counts.sum((1, 2, 3, 4))[:, None, None].tolist()
    parts = joined_arrivals([found(Spikes(part), places=False) for part in counts.split(3)])
    assert torch.equal(parts.active, whole.active)
    assert torch.equal(parts.amount, whole.amount)


@each_row(
    "values, worth, whole",
    [
        ([0.5, 0.5], 1, False),
        ([1.5, 0.5], 1, False),
        ([0.37, 0.63], 1, False),
        ([0.99, 0.0], 1, False),
        ([torch.nan, 1.0], 1, False),
        ([torch.inf, 1.0], 1, False),
        ([1.0, -1.0], 1, True),
        ([0.0, 0.0], 1, True),
        ([0.5, 0.75], 0.25, True),
        ([1 / 3, 2 / 3], 1 / 9, True),
        ([0.5, 0.75], 1 / 3, False),
    ],
)
def test_sizes_tell_spikes_from_what_only_adds_up_like_them(values, worth, whole):
    """Sums of a half and a half, or of three halves and a half, are those of spikes; sizes are not."""
    assert found(Spikes(torch.tensor(values).reshape(1, 1, 1, 1, 2))).are_whole(worth) is whole


def test_sizes_of_parts_are_those_of_the_whole(rng):
    counts = torch.randint(0, 5, (4, 6, 2, 2, 3), generator=rng)
    parts = [found(Spikes(part.float() / 4)) for part in counts.split(1)]
    assert joined_arrivals(parts).sizes.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found(Spikes(counts.to(torch.uint8), 0.25, 4)).sizes.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found(Spikes(-counts.to(torch.int8))).sizes.tolist() == [1, 2, 3, 4]
    assert (parts[0] + found(Spikes(torch.full((1, 6, 2, 2, 3), 7.5)))).sizes[-1] == 7.5


def test_real_numbers_of_too_many_sizes_are_no_spikes(rng):
    many = found(Spikes(torch.rand(2, 5, 30, 30, 4, generator=rng)))
    assert many.sizes is None
    assert not many.are_whole(1)
    one = found(Spikes(torch.ones(2, 5, 30, 30, 4)))
    assert not (many + one).are_whole(1)
    assert not joined_arrivals([one, many]).are_whole(1)
    edge = torch.arange(1.0, MOST_SIZES + 2).reshape(1, 1, 1, 1, -1)
    assert found(Spikes(edge)).sizes is None
    assert found(Spikes(edge[..., 1:])).are_whole(1)
