"""Root-mean-square normalisation with a scale for each step: a norm of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bntt.nn import NORMS, Call, NormFacts


@NORMS("rms")
class StepRMS(nn.Module):
    """``y_t = γ_t x_t / √(mean(x_t²) + ε)``, the mean over channels and space of each sample."""

    facts = NormFacts(step_gamma=True, operations=(2, 1))

    def __init__(self, channels: int, num_steps: int, *, eps: float = 1e-4) -> None:
        super().__init__()
        self.num_steps, self.eps = num_steps, eps
        self.gamma = nn.Parameter(torch.ones(num_steps, channels))

    def forward(self, x: Tensor, call: Call = Call(), state: None = None) -> tuple[Tensor, None]:
        size = (x.square().mean(tuple(range(2, x.ndim)), keepdim=True) + self.eps).sqrt()
        gamma = self.gamma[call.steps(x)].reshape(len(x), 1, -1, *[1] * (x.ndim - 3))
        return gamma * x / size, None

    def step_tables(self) -> Iterator[tuple[str, Tensor]]:
        yield "gamma", self.gamma
