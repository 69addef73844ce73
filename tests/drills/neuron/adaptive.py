"""Neurons whose threshold rises with every spike: neurons of one's own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bntt.nn import NEURONS, Call, NeuronFacts, Triangle
from bntt.ops.lif import Neuron
from bntt.ops.spike import Surrogate

PAPERS = Triangle()


class Adapted(NamedTuple):
    """What they carry: the membrane, and how far the threshold has risen."""

    membrane: Tensor
    risen: Tensor


@NEURONS("adaptive")
class Adaptive(nn.Module):
    """``m = λu + y``, a spike where ``m - a > θ``; then ``u = m - θ o`` and ``a ← 0.9 a + 0.2 o``."""

    facts = NeuronFacts(waits=False, operations=(2, 4, 2))

    def __init__(self, leak: float = 0.95, threshold: float = 1.0, surrogate: Surrogate = PAPERS) -> None:
        super().__init__()
        self.neuron = Neuron(leak, threshold, surrogate=surrogate)

    def forward(self, current: Tensor, call: Call = Call(), state: Adapted | None = None) -> tuple[Tensor, Adapted]:
        u, risen = state or Adapted(torch.zeros_like(current[0]), torch.zeros_like(current[0]))
        fired = []
        for y in current:
            m = self.neuron.leak * u + y
            o = self.neuron.fire(m - risen)
            u, risen = self.neuron.after(m, o), 0.9 * risen + 0.2 * o.detach()
            fired.append(o)
        return torch.stack(fired), Adapted(u, risen)
