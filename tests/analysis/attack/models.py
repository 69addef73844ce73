"""Models that are attacked: a small convolutional one, one with a provable adversarial example, one that hides."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import bntt
from bntt.nn import BNTT, LIF, DirectEncoder, NoNorm, PoissonEncoder, Readout, SpikingBlock, SpikingClassifier
from bntt.nn import SpikingNetwork as Network
from tests.nn.networks import conv, linear

MEAN, STD = 0.4, 0.25


def conv_model(norm=BNTT, steps: int = 4, dtype=torch.float64, encoder=None, backend="reference") -> SpikingClassifier:
    """3x5x5 images, 4 classes; statistics and γ of every step and channel differ."""
    rng = torch.Generator().manual_seed(5)
    first, second = conv(3, 8, 3, padding=1, bias=False), conv(8, 6, 3, bias=False)
    flat = nn.Flatten()
    blocks = {
        "conv1": SpikingBlock(first, norm(8, num_steps=steps) if norm is not NoNorm else NoNorm(), LIF(0.9)),
        "conv2": SpikingBlock(second, norm(6, num_steps=steps) if norm is not NoNorm else NoNorm(), LIF(0.9), flat),
    }
    net = Network(blocks, Readout(linear(54, 4)), compute=bntt.Compute(backend))
    with torch.no_grad():
        for name, value in [*net.named_parameters(), *net.named_buffers()]:
            if name.endswith("weight"):
                value.copy_(torch.randn(value.shape, generator=rng) * 0.3)
            elif name.endswith(("gamma", "running_var")):
                value.copy_(0.3 + torch.rand(value.shape, generator=rng))
            elif name.endswith("running_mean"):
                value.copy_(0.2 * torch.randn(value.shape, generator=rng))
    encoder = encoder or PoissonEncoder(steps, mean=3 * [MEAN], std=3 * [STD])
    return SpikingClassifier(encoder, net).to(dtype).eval()


def some(count: int = 6, dtype=torch.float64, shape=(3, 5, 5), classes: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels, and the places that they have in their set."""
    rng = torch.Generator().manual_seed(9)
    images = torch.rand(count, *shape, generator=rng, dtype=torch.float64).to(dtype)
    return images, torch.arange(count) % classes, torch.arange(100, 100 + count)


class Linear(nn.Module):
    """Logits ``x·(-w), x·w`` minus an offset, at every step: the sign of w moves the margin the most."""

    def __init__(self, weights: Tensor, offset: float) -> None:
        super().__init__()
        self.weights, self.offset = nn.Parameter(weights), offset

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weights - self.offset
        return torch.stack([-score, score], 1)


def linear_model(steps: int = 2) -> SpikingClassifier:
    """1x4x4 images, direct-coded; without hidden neurons, so that nothing is between pixels and margin but w."""
    weights = torch.linspace(-1, 1, 16, dtype=torch.float64) + 0.05
    net = Network({}, Readout(Linear(weights, float(weights.sum()) / 2)), compute=bntt.Compute("reference"))
    return SpikingClassifier(DirectEncoder(steps), net).double().eval()


class Hidden(nn.Module):
    """Spikes as the released encoder makes them: their gradient is there, and zero everywhere."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.num_steps = steps

    def forward(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
        wanted = range(self.num_steps) if steps is None else steps
        normal = (x - MEAN) / STD
        grid = (torch.arange(normal[0].numel(), dtype=x.dtype).reshape(x.shape[1:]) * 0.618 + 0.37 * draw) % 1
        return torch.stack([(2 * ((grid + 0.29 * t) % 1) <= normal.abs()).to(x.dtype) * normal.sign() for t in wanted])


class Cut(Hidden):
    """The same without any gradient at all."""

    def forward(self, x, **options):
        return super().forward(x.detach(), **options)
