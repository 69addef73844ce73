"""One layer's description: shapes, layouts and chunks that a whole network would hide."""

from __future__ import annotations

import torch

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Layer, chunks
from bntt.engine.synapse import Geometry, Spikes
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron


def flat_layer(weight: torch.Tensor, mean: torch.Tensor | None = None) -> Layer:
    gamma = torch.full((3, len(weight)), 2.0)
    return Layer(Geometry(), True, (1, 1), Neuron(), weight, None, gamma, None, mean, mean, 1e-4)


def test_flattening_keeps_the_order_of_nn_flatten_and_leaves_the_way_it_came(rng):
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)  # T, B, H, W, C in memory
    layer, lease = flat_layer(torch.zeros(7, 120)), Workspace().lease()
    for entered in (layer.enter(Spikes(x)).values, layer.enter(Spikes(x), lease).values):
        assert torch.equal(entered[:, :, 0, 0], x.permute(0, 1, 4, 2, 3).flatten(2))
        assert layer.current_shape(Spikes(entered)) == (3, 2, 1, 1, 7)
        assert torch.equal(layer.leave(entered, x.shape), x)
    assert lease.owns(entered)
    flat = Spikes(x[:, :, :1, :1])
    assert layer.enter(flat) is flat


def test_whose_statistics():
    layer = flat_layer(torch.zeros(7, 120))
    assert layer.batch_statistics
    assert not flat_layer(torch.zeros(7, 120), torch.zeros(3, 7)).batch_statistics


def test_a_gpu_takes_all_steps_at_once(monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 4 * 64 * 2)
    values = torch.zeros(6, 1, 1, 1, 64)
    assert list(chunks(Compute(), values)) == [(0, 2), (2, 4), (4, 6)]
    assert list(chunks(Compute("triton"), values)) == [(0, 6)]
