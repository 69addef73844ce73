"""What goes to the compiled kernels must lie as they expect: they are given addresses alone."""

import pytest
import torch

from bntt.engine.door import KernelInputError
from bntt.engine.layer_spec import Affine
from bntt.engine.scan import moments, scan
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels

pytestmark = needs_kernels


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
