"""A variant that computes something else is not timed."""

import pytest
import torch

from benchmarks import parity
from benchmarks.baselines import PerStepLoop
from tests.kernels import needs_bf16, needs_kernels

pytestmark = needs_kernels


def test_our_variants_agree():
    found = parity.check_parity(["loop", "reference", "fused", "recompute", "dense limit", "snntorch"])
    assert [row["variant"] for row in found] == ["loop", "reference", "fused", "recompute"]
    assert all(row["logits"] < 1e-5 and row["gradients"] < 1e-4 for row in found)


@needs_bf16
def test_low_precision_gradients_are_let_through_and_other_spikes_are_not(monkeypatch):
    (found,) = parity.check_parity(["bf16-grad", "bf16"])
    assert found["variant"] == "bf16-grad"
    assert found["logits"] < 1e-5 < 1e-4 < found["gradients"]
    monkeypatch.setattr(parity, "BF16_TOLERANCE", 1e-4)
    with pytest.raises(parity.ParityError, match="bf16-grad differs"):
        parity.check_parity(["bf16-grad"])


@pytest.mark.parametrize("fault", ["nan", "gamma", "sign"])
def test_a_variant_that_is_wrong_is_named_and_nothing_is_timed(fault, monkeypatch):
    class Wrong(PerStepLoop):
        def forward(self, images):
            if fault == "gamma":
                self.norms[0][1].weight.data.mul_(1.01)
            logits = super().forward(images)
            return -logits if fault == "sign" else logits * torch.nan if fault == "nan" else logits

    monkeypatch.setitem(parity.BASELINES, "loop", Wrong)
    with pytest.raises(parity.ParityError, match="loop differs from the reference"):
        parity.check_parity(["loop"])
