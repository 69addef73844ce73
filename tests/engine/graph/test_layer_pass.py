"""One layer's pass alone: what it gives on, and what it asks of the device."""

from __future__ import annotations

from dataclasses import replace

import torch

from bntt.engine.compute import Compute
from bntt.engine.graph.layer import density
from bntt.engine.graph.node import PassContext, Start
from bntt.engine.synapse import Geometry, Spikes, Synapse, goes_by_events
from bntt.engine.workspace import Workspace
from tests.engine.graph.test_layer import flat_layer
from tests.kernels import needs_kernels

pytestmark = needs_kernels


def test_a_gpu_goes_dense_and_is_asked_for_no_number():
    cpu, gpu = Compute(events="fixed"), Compute("triton", events="fixed")
    counts, fired = torch.zeros(6, 1, 1, 1, 64, dtype=torch.uint8), torch.full((6, 64), 2)
    synapse, x = Synapse(torch.zeros(64, 64), None, Geometry()), Spikes(counts, density=0.01)
    assert (goes_by_events(synapse, x, cpu)[0], goes_by_events(synapse, x, gpu)) == (True, (False, False))
    assert (density(cpu, fired, counts), density(gpu, fired.to("meta"), counts)) == (2.0, 1.0)


def test_an_input_that_is_flattened_is_moved_and_else_it_is_kept_as_it_is(rng):
    lease, weight = Workspace().lease(), torch.randn(7, 120, generator=rng)
    how = PassContext(lease=lease)
    one = flat_layer(weight)
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)
    flat = x.permute(0, 1, 4, 2, 3).reshape(3, 2, 1, 1, 120).contiguous()
    image, row = (one.forward(how, [Spikes(values)], 0, Start()) for values in (x, flat))
    assert torch.equal(image.out.values, row.out.values)
    assert (image.keeps, row.keeps) == ((False,), (True,))
    assert lease.owns(image.saved.moved)
    assert row.saved.moved is None
    for passed in (image, row):
        lease.give(*passed.buffers, passed.end.membrane, passed.out.values)


def test_a_layer_without_neurons_gives_its_normalised_current(rng):
    lease, weight = Workspace().lease(), torch.randn(7, 5, generator=rng)
    layer = replace(flat_layer(weight), neuron=None, flatten=False)
    x = torch.randn(3, 40, 1, 1, 5, generator=rng)
    passed = layer.forward(PassContext(lease=lease), [Spikes(x)], 0, Start())
    current = x.flatten(2) @ weight.T
    var, mean = torch.var_mean(current, 1, correction=0, keepdim=True)
    expected = 2 * (current - mean) / (var + 1e-4).sqrt()
    torch.testing.assert_close(passed.out.values.flatten(2), expected)
    assert passed.end.membrane is None
    assert passed.seen.spikes is None
