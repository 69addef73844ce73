"""What the kernels are told of a layer."""

import torch

from bntt.engine.layer_spec import Affine, surrogate_constants
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


def test_steps_of_a_normalisation_are_its_rows():
    table = torch.arange(6.0).reshape(3, 2)
    part = Affine(table, table + 10, table + 20).steps(1, 3)
    assert [rows[0, 0].item() for rows in (part.mean, part.scale, part.shift)] == [2, 12, 22]
