"""One layer alone: shapes, layouts and gradients that a whole network would hide."""

from __future__ import annotations

import torch

from bntt.engine.compute import Compute
from bntt.engine.layer import Layer, density, normalisation
from bntt.engine.synapse import Geometry, Spikes
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels

pytestmark = needs_kernels


def flat_layer(weight: torch.Tensor, mean: torch.Tensor | None = None) -> Layer:
    gamma = torch.full((3, len(weight)), 2.0)
    return Layer(Geometry(), True, (1, 1), Neuron(), weight, None, gamma, None, mean, mean, 1e-4)


def test_flattening_keeps_the_order_of_nn_flatten_and_leaves_the_way_it_came(rng):
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)  # T, B, H, W, C in memory
    layer = flat_layer(torch.zeros(7, 120))
    entered = layer.enter(Spikes(x)).values
    assert torch.equal(entered[:, :, 0, 0], x.permute(0, 1, 4, 2, 3).flatten(2))
    assert layer.current_shape(Spikes(entered)) == (3, 2, 1, 1, 7)
    assert torch.equal(layer.leave(entered, x.shape), x)


def test_given_statistics_are_used_and_the_batchs_are_found(rng):
    current = torch.randn(3, 8, 1, 1, 7, generator=rng) + 5
    affine, inverse, found = normalisation(flat_layer(torch.zeros(7, 120)), current, 0, None)
    assert found is not None
    assert found.count == (8, 8, 8)
    assert torch.allclose(affine.scale, 2 * inverse)
    assert torch.allclose(found.mean, current.mean((1, 2, 3)), atol=1e-6)
    given = torch.full((3, 7), 4.0)
    affine, inverse, found = normalisation(flat_layer(torch.zeros(7, 120), given), current[:2], 1, None)
    assert found is None
    assert torch.equal(affine.mean, given[1:])
    assert torch.allclose(inverse, torch.full((2, 7), 4.0001).rsqrt())


def test_density_and_scale_of_what_a_layer_gives(rng):
    counts = torch.ones(3, 2, 4, 4, 5, dtype=torch.uint8)
    layer = Layer(Geometry(), False, (2, 2), Neuron(), torch.zeros(5, 2, 3, 3), None, *(torch.ones(3, 5),) * 4, 1e-4)
    given = layer.spikes(counts, density(Compute(), torch.full((3, 5), 32), counts))
    assert (given.scale, given.largest, given.density) == (0.25, 4, 1.0)
