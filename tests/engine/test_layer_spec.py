"""What the kernels are told of a layer."""

import torch

from bntt.engine.layer_spec import surrogate_constants
from bntt.ops.lif import Neuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle


def test_the_constants_are_those_of_the_surrogate():
    """As the kernels compute it, from their number and two constants."""
    kernels = (
        lambda v, first, second: first * (1 - v.abs()).clamp(min=0),
        lambda v, first, second: first / (1 + second * v.abs()).square(),
        lambda v, first, second: first / (1 + (second * v).square()),
    )
    v = torch.linspace(-2, 2, 101, dtype=torch.float64)
    for surrogate in (Triangle(0.4), FastSigmoid(3.0, 0.7), ArcTan(1.5)):
        kind, first, second = surrogate_constants(Neuron(surrogate=surrogate))
        assert torch.allclose(kernels[kind](v, first, second), surrogate(v), atol=1e-12)
