"""The gate opens for what is equal and stays shut for what is not."""

import pytest
import torch

from bntt.bench import parity
from tests.kernels import needs_kernels

pytestmark = needs_kernels


def test_our_variants_agree():
    found = parity.check_parity(["loop", "reference", "fused", "dense limit", "snntorch"])
    assert [row.variant for row in found] == ["loop", "reference", "fused"]
    assert all(row.logits < 1e-5 and row.gradients < 1e-4 for row in found)


@pytest.mark.parametrize("fault", ["sign", "nan", "gamma"])
def test_a_variant_that_is_wrong_is_named_and_nothing_is_timed(fault, monkeypatch):
    real = parity.PerStepLoop

    class Wrong(real):
        def forward(self, images):
            if fault == "gamma":
                self.norms[0][1].weight.data.mul_(1.01)
            logits = super().forward(images)
            return -logits if fault == "sign" else logits * torch.nan if fault == "nan" else logits

    monkeypatch.setattr(parity, "PerStepLoop", Wrong)
    with pytest.raises(parity.ParityError, match="loop differs from the reference"):
        parity.check_parity(["loop"])
