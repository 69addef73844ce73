"""What follows a normalisation: neurons and what they give on; a current without neurons, against autograd."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.compute import Compute
from bntt.engine.graph.fire import DriveReverse, Firing, density, drive, fired
from bntt.engine.graph.node import How
from bntt.engine.graph.recording import Measure, Seen
from bntt.engine.layer_spec import Affine, SpikeGrad
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels


def test_density_and_scale_of_what_neurons_give():
    how = How(Compute(), Workspace().lease())
    firing = Firing.begin(Neuron(), (2, 2), how, torch.empty(3, 2, 8, 8, 5), None, 0)
    firing.counts.fill_(1)
    given = firing.spikes(torch.full((3, 5), 32))
    assert (given.scale, given.largest, given.density, given.values.shape) == (0.25, 4, 1.0, (3, 2, 4, 4, 5))
    assert density(Compute("triton"), torch.empty(3, 5, device="meta"), firing.counts) == 1.0


def test_parts_without_neurons_have_no_spikes():
    one, two = (torch.ones(steps, 2, dtype=torch.int64) for steps in (1, 2))
    assert torch.equal(fired([Seen(one), Seen(), Seen(two)]), torch.ones(3, 2))


@needs_kernels
def test_the_membrane_moves_on_and_the_callers_is_left(rng):
    current, start = torch.randn(4, 2, 4, 4, 5, generator=rng), torch.randn(2, 4, 4, 5, generator=rng)
    before, how = start.clone(), How(Compute(), Workspace().lease())
    whole, parts = (Firing.begin(Neuron(), (2, 2), how, current, start, 0) for _ in range(2))
    affine = Affine.identity(4, 5, torch.device("cpu"))
    seen = whole.chunk(current, affine, 0, Measure(places=True, samples=True))
    halves = [parts.chunk(current[t : t + 2], affine.steps(t, t + 2), t, Measure()) for t in (0, 2)]
    assert torch.equal(seen.spikes, fired(halves))
    assert torch.equal(whole.counts, parts.counts)
    assert torch.equal(whole.membrane, parts.membrane)
    assert torch.equal(start, before)
    assert torch.equal(seen.places.sum((1, 2)), seen.spikes)
    assert torch.equal(seen.samples.sum(1), seen.spikes.sum(1))
    assert torch.equal(seen.spikes.sum(), whole.counts.sum())


@pytest.mark.parametrize(("shared", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_way_there_and_back(shared, dtype, rng):
    current = torch.randn(3, 4, 5, 2, 7, generator=rng).to(dtype)
    mean, scale, shift, inverse = (torch.rand(3, 7, generator=rng) + 0.5 for _ in range(4))
    z = torch.empty(current.shape)
    drive(current, Affine(mean, scale, shift), z)
    x = current.double().requires_grad_()
    tables = [rows.double()[:, None, None, None].requires_grad_() for rows in (mean, scale, shift)]
    exact = (x - tables[0]) * tables[1] + tables[2]
    assert torch.allclose(z.double(), exact, atol=1e-6)
    grad = SpikeGrad(torch.randn(1 if shared else 3, 4, 5, 2, 7, generator=rng), 0.5)
    full = (0.5 * grad.values).expand_as(z)
    exact.backward(full.double())
    reverse = DriveReverse(current, Affine(mean, scale, shift), inverse, grad)
    sums = reverse.sums()
    assert torch.allclose(sums[0], tables[2].grad[:, 0, 0, 0], rtol=1e-5)
    by_gamma = tables[1].grad[:, 0, 0, 0] * inverse
    assert torch.allclose(sums[1], by_gamma, rtol=1e-4, atol=1e-4)
    offset, slope = torch.randn(3, 7, generator=rng), torch.randn(3, 7, generator=rng)
    expected = x.grad - offset[:, None, None, None] - slope[:, None, None, None] * (x - tables[0])
    reverse.into_current(offset, slope, current)
    assert torch.allclose(current.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.05)
