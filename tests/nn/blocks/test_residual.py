"""Residual addition in all its forms against their papers, written out step by step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

import bntt
from bntt.nn import SpikingNetwork
from tests.nn.networks import FORMS, backward, residual, spikes_of
from tests.rows import each_row


class ByHand(nn.Module):
    """One step of a block of :func:`residual` after the other, written out."""

    def __init__(self, net: SpikingNetwork, form: str) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x: Tensor) -> Tensor:
        net, total = self.net, 0
        membranes: dict[nn.Module, Tensor] = {}

        def fire(lif: nn.Module, z: Tensor) -> Tensor:
            neuron = lif.neuron
            m = neuron.leak * membranes.get(lif, torch.zeros_like(z)) + z
            o = bntt.ops.spike.fire(m, neuron.threshold, neuron.surrogate)
            membranes[lif] = m - neuron.threshold * o.detach()
            return o

        def normal(block: nn.Module, x: Tensor, t: int) -> Tensor:
            z, norm = block.synapse(x), block.norm
            mean, var = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, correction=0)
            return norm.gamma[t][:, None, None] * (z - mean) / (var + norm.eps).sqrt()

        for t, step in enumerate(x):
            b = net.blocks
            y = nn.functional.max_pool2d(fire(b["pooled"].lif, normal(b["pooled"], step, t)), 2)
            if self.form == "spikes":
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = fire(body["a"].lif, normal(body["a"], y, t))
                    z = fire(body["b"].lif, normal(body["b"], z, t))
                    y = z + (fire(short["c"].lif, normal(short["c"], y, t)) if len(short) else y)
                y = fire(b["last"].lif, normal(b["last"], y, t)).mean((2, 3))
            elif self.form == "currents":
                y = normal(b["stem"], y, t)
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, y), t)
                    z = normal(body["d"], fire(body["c"].lif, z), t)
                    y = z + (normal(short["e"], y, t) if len(short) else y)
                y = fire(b["last"].lif, y).mean((2, 3))
            else:
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, normal(body["a"], y, t)), t)
                    y = fire(b[name].after.lif, z + (normal(short["c"], y, t) if len(short) else y))
                y = y.mean((2, 3))
            total = total + net.readout.synapse(y)
        return total / len(x)


@each_row("form", FORMS)
def test_the_modules_are_what_their_papers_say(form, rng):
    """In float64, against the steps written out: logits and every gradient."""
    net = residual(form).double()
    other, x = ByHand(copy.deepcopy(net), form), spikes_of(5, 3, rng).double()
    assert torch.allclose(backward(net, x), backward(other, x), rtol=1e-10)
    for (name, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12), name
