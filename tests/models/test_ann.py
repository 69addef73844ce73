"""The ReLU networks have the spiking ones' weights."""

import pytest
import torch

from bntt.models import mlp, mlp_ann, vgg6, vgg6_ann, vgg9, vgg9_ann, vgg11, vgg11_ann
from tests.oracle import weight_of

PAIRS = [
    (vgg6, vgg6_ann, {"width": 0.25}, (1, 28, 28)),
    (vgg9, vgg9_ann, {"width": 0.125}, (3, 32, 32)),
    (vgg11, vgg11_ann, {"width": 0.125, "image_size": 64}, (3, 64, 64)),
    (mlp, mlp_ann, {"in_features": 5, "hidden": (7, 6)}, (5,)),
]


@pytest.mark.parametrize(("spiking", "ann", "options", "shape"), PAIRS)
def test_layers_correspond_by_name_and_shape(spiking, ann, options, shape):
    net, relu = spiking(num_steps=1, **options), ann(**options)
    for name, block in net.blocks.items():
        assert weight_of(block.synapse).shape == weight_of(relu.get_submodule(name)).shape
    assert net.readout.synapse.weight.shape == relu.readout.weight.shape
    weights = sum(weight_of(b.synapse).numel() for b in net.blocks.values()) + net.readout.synapse.weight.numel()
    assert sum(p.numel() for p in relu.parameters()) == weights
    logits = relu(torch.ones(2, *shape))
    assert logits.shape == (2, net.readout.synapse.weight.shape[0])
    logits.sum().backward()
    assert all(p.grad.abs().max() > 0 for p in relu.parameters())
