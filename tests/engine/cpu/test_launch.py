"""What goes to the compiled kernels must lie as they expect; their rate coding is the equations', to the bit."""

import pytest
import torch

from bntt.engine.cpu.launch import poisson_bytes
from bntt.engine.door import KernelInputError
from bntt.engine.layer_spec import Affine
from bntt.engine.scan import moments, scan
from bntt.ops.lif import Neuron
from bntt.ops.poisson import signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, step_keys, uniform
from tests.kernels import needs_kernels, variant

pytestmark = needs_kernels
_ = variant


def test_a_tensor_that_lies_otherwise_is_refused():
    with pytest.raises(KernelInputError):
        moments(torch.zeros(2, 3, 4, 4, 8).transpose(2, 3))
    current, rows = torch.zeros(2, 3, 1, 1, 8), torch.zeros(2, 8)
    with pytest.raises(KernelInputError):
        scan(
            current,
            Affine(rows, rows, rows),
            Neuron(),
            (1, 1),
            torch.empty(2, 3, 1, 1, 16, dtype=torch.uint8)[..., ::2],
        )
    with pytest.raises(KernelInputError):
        scan(
            current.to("meta"),
            Affine(rows, rows, rows),
            Neuron(),
            (1, 1),
            torch.empty(2, 3, 1, 1, 8, dtype=torch.uint8),
        )


@pytest.mark.parametrize("signed", [True, False])
def test_every_spike_is_that_of_the_equation(signed, variant, rng):
    x = torch.rand(3, 2, 5, 7, generator=rng) * (4 if signed else 1) - (2 if signed else 0)
    keys = step_keys(sample_keys(9, Purpose.SPIKES, 4, torch.tensor([5, 1, 7])), torch.arange(6))
    spikes = poisson_bytes(x, keys, signed=signed)
    rate = signed_rate if signed else unsigned_rate
    assert torch.equal(spikes.float(), rate(x, uniform(keys, 2, 5, 7)))
