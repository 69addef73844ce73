"""Neurons on their way through a pass: what they give on."""

from __future__ import annotations

from dataclasses import replace

import torch

from bntt.engine.compute import Compute
from bntt.engine.graph.layer import Firing, density
from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import LayerMeasures, Measure, join_steps
from bntt.engine.layer_spec import Affine
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels


def test_density_and_scale_of_what_neurons_give():
    how = PassContext(lease=Workspace().lease())
    firing = Firing(Neuron(), (2, 2), how, torch.empty(3, 2, 8, 8, 5), None, 0)
    firing.counts.fill_(1)
    given = firing.spikes(LayerMeasures(spikes=torch.full((3, 5), 32)))
    assert (given.scale, given.largest, given.density, given.values.shape) == (0.25, 4, 1.0, (3, 2, 4, 4, 5))
    assert density(Compute("triton"), torch.empty(3, 5, device="meta"), firing.counts) == 1.0


@needs_kernels
def test_the_membrane_moves_on_and_the_callers_is_left(rng):
    current, start = torch.randn(4, 2, 4, 4, 5, generator=rng), torch.randn(2, 4, 4, 5, generator=rng)
    before, how = start.clone(), PassContext(lease=Workspace().lease())
    whole, parts = (Firing(Neuron(), (2, 2), how, current, start, 0) for _ in range(2))
    affine = Affine.identity(4, 5, torch.device("cpu"))
    seen = whole.chunk(current, affine, 0, Measure(places=True, samples=True))
    halves = [parts.chunk(current[t : t + 2], affine.steps(t, t + 2), t, Measure()) for t in (0, 2)]
    assert torch.equal(seen.spikes, join_steps(halves).spikes)
    assert torch.equal(whole.counts, parts.counts)
    assert torch.equal(whole.membrane, parts.membrane)
    assert torch.equal(start, before)
    assert torch.equal(seen.places.sum((1, 2)), seen.spikes)
    assert torch.equal(seen.samples.sum(1), seen.spikes.sum(1))
    assert torch.equal(seen.spikes.sum(), whole.counts.sum())
    own = how.lease.take(*start.shape)
    for in_place, given, same in ((True, own, True), (True, start, False), (False, own, False)):
        moves = Firing(Neuron(), (2, 2), replace(how, in_place=in_place), current, given, 0)
        assert (moves.membrane is given) == same
