"""What is measured of a pass, against plain PyTorch in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import LayerMeasures, Measure, histogram, join_steps
from bntt.engine.graph.stack import StackOutput, run_stack
from bntt.engine.layer_spec import Affine
from bntt.engine.synapse import Spikes
from bntt.ops.lif import lif_sequence
from bntt.ops.norm import Moments, normalize, step_moments
from tests.engine.graph.test_stack import layer
from tests.grids import all_pairs
from tests.kernels import needs_kernels
from tests.rows import each_row

EDGES = (-1.5, -0.5, 0.0, 0.7, 2.0)
EVERYTHING = Measure(True, True, True, EDGES, True, True, arrivals=True)
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


class Plain(NamedTuple):
    """Of one layer, channels before space: ``[S, B, C, H, W]``."""

    arriving: Tensor
    current: Tensor
    z: Tensor
    spikes: Tensor


def plain(made: list[Layer], x: Tensor) -> tuple[Tensor, list[Plain]]:
    """The layers in plain PyTorch, and what happened in each."""
    found = []
    for one in made:
        images = x.flatten(0, 1).permute(0, 3, 1, 2)
        weight = one.weight.double()
        flat = (
            F.linear(images.flatten(1), weight)[..., None, None] if one.flatten else F.conv2d(images, weight, padding=1)
        )
        current = flat.unflatten(0, x.shape[:2])
        current.retain_grad()
        own = step_moments(current) if one.mean is None else Moments(one.mean.double(), one.var.double(), ())
        z = normalize(current, own.mean, own.var, one.gamma.double(), None, one.eps)
        spikes, _ = lif_sequence(z, None, one.neuron)
        found.append(Plain(images.unflatten(0, x.shape[:2]), current, z, spikes))
        x = F.avg_pool2d(spikes.flatten(0, 1), one.window).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
    return x, found


def layers(statistics: str, rng: torch.Generator) -> list[Layer]:
    """Windows do not tile the images of 7 by 7 and 3 by 3."""
    made = [layer(rng, 3, 10, STEPS), layer(rng, 10, 9, STEPS), layer(rng, 9, 5, STEPS, flatten=True)]
    if statistics == "batch":
        return made
    rows = [torch.rand(one.gamma.shape, generator=rng) * 0.2 for one in made]
    return [replace(one, mean=some, var=some + 0.2) for one, some in zip(made, rows, strict=True)]


def check(ran: StackOutput, expected: list[Plain]) -> None:
    for seen, one in zip(ran.seen, expected, strict=True):
        assert torch.equal(seen.spikes, one.spikes.sum((1, 3, 4)).long())
        assert torch.equal(seen.places, one.spikes.sum(1).permute(0, 2, 3, 1).long())
        assert torch.equal(seen.samples, one.spikes.sum((2, 3, 4)).long())
        edges = torch.tensor([-math.inf, *EDGES, math.inf], dtype=torch.float64)
        rows = [[((low <= z) & (z < high)).sum() for low, high in pairwise(edges)] for z in one.z]
        assert torch.equal(seen.current.histogram, torch.tensor(rows))
        assert torch.allclose(seen.current.maximum.double(), one.z.flatten(1).amax(1), atol=1e-5)
        around = (1, 2, 3, 4) if one.current.shape[3:] == (1, 1) else (1, 2)
        assert torch.equal(seen.arrivals.active, (one.arriving != 0).sum(around).reshape(seen.arrivals.active.shape))
        amount = one.arriving.detach().abs().sum(around).reshape(seen.arrivals.amount.shape)
        assert torch.allclose(seen.arrivals.amount, amount)
        own = step_moments(one.current)
        assert seen.moments.count == own.count
        for ours, theirs in ((seen.moments.mean, own.mean), (seen.moments.var, own.var)):
            assert torch.allclose(ours.double(), theirs.detach(), atol=1e-6)


@needs_kernels
@pytest.mark.parametrize(
    ("statistics", "recompute", "chunk"), all_pairs(["batch", "given"], ["never", 2], [1, 30_000, 16 << 20])
)
def test_everything_at_once_is_what_plain_pytorch_finds(statistics, recompute, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    x, made = torch.randn(STEPS, 4, 7, 7, 3, generator=rng), layers(statistics, rng)
    out, expected = plain(made, x.double().requires_grad_())
    weights = torch.randn(out.shape, generator=rng)
    (out * weights).sum().backward()
    how = PassContext(Compute(events="fixed", recompute=recompute), EVERYTHING)
    ran = run_stack(made, Spikes(x), how, mean_over_time=False)
    assert torch.allclose(ran.out.double(), out.detach())
    check(ran, expected)
    assert all(seen.gradient.isnan().all() for seen in ran.seen)
    for keep in (True, False):  # the second one writes the same
        for seen in ran.seen:
            seen.gradient.fill_(torch.nan)
        (ran.out * weights).sum().backward(retain_graph=keep)
        for seen, one in zip(ran.seen, expected, strict=True):
            norms = one.current.grad.flatten(1).norm(dim=1)
            assert torch.allclose(seen.gradient, norms, rtol=1e-4, atol=1e-5 * float(norms.max()))
    with torch.no_grad():
        alone = run_stack(made, Spikes(x), how, mean_over_time=True)
    check(alone, expected)
    assert torch.allclose(alone.out, ran.out.mean(0))
    assert all(seen.gradient.isnan().all() for seen in alone.seen)


@needs_kernels
def test_one_at_a_time_and_a_plain_pass_sees_the_spikes_alone(rng):
    x, made = Spikes(torch.randn(STEPS, 4, 7, 7, 3, generator=rng)), layers("batch", rng)
    without = run_stack(made, x, PassContext(), mean_over_time=False)
    for name in ("places", "samples", "moments", "gradient", "current", "arrivals"):
        one = replace(Measure(), **{name: EDGES if name == "current" else True})
        ran = run_stack(made, x, PassContext(measure=one), mean_over_time=False)
        assert torch.equal(ran.out, without.out), name
        for seen, bare in zip(ran.seen, without.seen, strict=True):
            assert {key for key, value in vars(bare).items() if value is not None} == {"neurons", "spikes"}
            assert {key for key, value in vars(seen).items() if value is not None} == {"neurons", "spikes", name}
            assert torch.equal(seen.spikes, bare.spikes), name
