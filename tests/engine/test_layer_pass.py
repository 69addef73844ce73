"""One layer's pass alone: what it gives on, and what it asks of the device."""

from __future__ import annotations

import torch

from bntt.engine.compute import Compute
from bntt.engine.crossover import goes_by_events
from bntt.engine.layer import Layer, Start
from bntt.engine.layer_pass import LayerPass, density
from bntt.engine.synapse import Geometry, Spikes, Synapse
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.engine.test_layer import flat_layer
from tests.kernels import needs_kernels

pytestmark = needs_kernels


def test_density_and_scale_of_what_a_layer_gives():
    counts = torch.ones(3, 2, 4, 4, 5, dtype=torch.uint8)
    layer = Layer(Geometry(), False, (2, 2), Neuron(), torch.zeros(5, 2, 3, 3), None, *(torch.ones(3, 5),) * 4, 1e-4)
    given = layer.spikes(counts, density(Compute(), torch.full((3, 5), 32), counts))
    assert (given.scale, given.largest, given.density) == (0.25, 4, 1.0)


def test_a_gpu_goes_dense_and_is_asked_for_no_number():
    cpu, gpu = Compute(events="fixed"), Compute("triton", events="fixed")
    counts, fired = torch.zeros(6, 1, 1, 1, 64, dtype=torch.uint8), torch.full((6, 64), 2)
    synapse, x = Synapse(torch.zeros(64, 64), None, Geometry()), Spikes(counts, density=0.01)
    assert (goes_by_events(synapse, x, cpu)[0], goes_by_events(synapse, x, gpu)) == (True, (False, False))
    assert (density(cpu, fired, counts), density(gpu, fired.to("meta"), counts)) == (2.0, 1.0)


def test_an_input_of_the_lease_is_the_layers_and_a_callers_is_left_alone(rng):
    lease, weight = Workspace().lease(), torch.randn(7, 120, generator=rng)
    one = LayerPass(flat_layer(weight), Synapse(weight, None, Geometry()), Compute(), lease)
    own = torch.randn(3, 2, 4, 5, 6, generator=rng)
    leased = lease.take(*own.shape).copy_(own)
    found = [one.forward(Spikes(values), 0, Start()) for values in (own, leased)]
    assert torch.equal(*(passed.spikes.values for passed in found))
    assert not lease.owns(leased)
    for passed in found:  # moved for the layer, so that the copy is its
        assert passed.saved.held is not None
        lease.give(passed.saved.held, passed.saved.current, passed.end.membrane, passed.spikes.values)
