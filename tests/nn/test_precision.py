"""Precisions below float32: how near they are, and where they are refused."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.kernels import BackendError
from bntt.nn import LIF
from tests.kernels import choose, needs_bf16, needs_kernels
from tests.nn.networks import backward, small, spikes_of

pytestmark = needs_kernels


@needs_bf16
class TestLowPrecision:
    def test_bf16_grad_fires_as_fp32_does_and_its_gradients_are_near(self, rng):
        nets, x = [small(4) for _ in range(2)], spikes_of(4, 6, rng).to(torch.int8)
        choose(nets[1], precision="bf16-grad")
        assert torch.equal(*(backward(net, x) for net in nets))
        for (name, p), q in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
            if not name.endswith("bias"):
                off = float((p.grad - q.grad).norm() / p.grad.norm())
                assert off < 2e-2, name
                assert off > 0 or "conv" not in name, name

    def test_bf16_flips_few_spikes(self, rng):
        nets, x = [small(4) for _ in range(2)], spikes_of(4, 20, rng).to(torch.int8)
        for net in nets:
            net(x)
        nets[1].load_state_dict(nets[0].state_dict())
        choose(nets[1], precision="bf16")
        fp32, bf16 = (net.trace(x) for net in nets)
        for name, limit in (("conv1", 0.02), ("conv2", 0.06), ("conv3", 0.12), ("fc1", 0.2)):  # flips add up in depth
            assert float((fp32.spikes[name] - bf16.spikes[name]).abs().sum() / fp32.spikes[name].sum()) < limit
        assert not torch.equal(fp32.logits, bf16.logits)
        backward(nets[1], x)
        assert all(torch.isfinite(p.grad).all() for p in nets[1].parameters())


@needs_bf16
def test_a_precision_without_kernels_is_refused(rng):
    """Nothing switches in silence: plain PyTorch has the precision of its weights."""
    net = small(3)
    choose(net, precision="bf16-grad")
    net.blocks["conv2"].lif = type("Own", (LIF,), {})(0.9)
    with pytest.raises(BackendError, match=r"'conv2'.*bf16-grad"):
        net(spikes_of(3, 4, rng))
