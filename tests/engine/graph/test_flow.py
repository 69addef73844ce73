"""How values live between nodes, and gradients towards one value add up."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from bntt.engine.graph import stack as flow
from bntt.engine.graph.node import Carry, How, Node, Passed, Size, Start, Towards
from bntt.engine.graph.weightless import Sum
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Workspace

BIG = (1, 1, 200, 200, 1)


@dataclass(frozen=True)
class Double(Node):
    """A node of y = 2 x, that keeps what it read."""

    reads: tuple[int, ...] = (-1,)

    def size(self, inputs):
        return Size(inputs[0], 1, 0)

    def forward(self, how, inputs, first, start, known=None):
        out = how.lease.take(*inputs[0].values.shape)
        return Passed(Spikes(out.copy_(inputs[0].values).mul_(2)), None, (True,))

    def backward(self, how, done, towards, learned, call):
        held = how.lease.take(*towards.grad.values.shape)
        return [Towards(SpikeGrad(held.copy_(towards.grad.values).mul_(2), towards.grad.scale), held)]


@dataclass(frozen=True)
class SumOf(Sum):
    def forward(self, how, inputs, first, start, known=None):
        out = how.lease.take(*inputs[0].values.shape)
        return Passed(Spikes(torch.add(inputs[0].values, inputs[1].values, out=out)), None, (False, False))

    def backward(self, how, done, towards, learned, call):
        return [towards, Towards(SpikeGrad(towards.grad.values.clone(), towards.grad.scale))]


def test_who_reads_what():
    nodes = [Double(), Double((-2,)), Sum((-1, -2)), Sum((-1, -4))]
    assert flow.readers_of(nodes) == [3, 1, 1, 1, 1]


@pytest.mark.parametrize("keep", [0, 2, None])
def test_a_value_goes_back_when_nobody_needs_it(keep):
    """y = 2 (2 x) + 2 x: buffers out are those that a backward pass reads, and what the caller got."""
    lease = Workspace().lease()
    how = How(lease=lease)
    nodes = [Double(), Double(), SumOf((-1, -2))]
    went = flow.forward(nodes, how, Spikes(torch.ones(BIG)), 0, [Start()] * 3, keep=keep)
    assert went.out.values.unique().item() == 6
    assert len(lease._out) == 1 + (keep == 0)  # the first node's, which the second one's way back reads
    towards = Towards(SpikeGrad(torch.ones(BIG), 0.5))
    if keep is None:
        return
    lease.give(went.out.values)
    carries, last = [Carry(None)] * 3, -1 if keep == 0 else keep
    twice = [
        flow.backward(nodes, how, went, towards, [([], None)] * 3, carries, keep=again, last=last)
        for again in (True, False)
    ]
    if keep == 0:
        for found in twice:
            assert (found.grad.values * found.grad.scale).unique().item() == 3
        lease.give(*(found.held for found in twice))
    else:
        assert twice == [None, None]
    assert not lease._out
    assert went.saved == went.values == []


def test_a_pass_is_forgotten_with_all_that_it_keeps():
    lease = Workspace().lease()
    nodes, how = [Double()] * 3, How(lease=lease)
    went = flow.forward(nodes, how, Spikes(torch.ones(BIG)), 0, [Start()] * 3, keep=0)
    flow.forget(went, lease)
    assert len(lease._out) == 1  # what the caller got


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("steps", "held"), [((3, 3), (True, True)), ((1, 3), (False, True)), ((1, 1), (False, False))])
def test_gradients_of_several_readers_add_up(steps, held, order, rng):
    lease = Workspace().lease()
    values = [torch.randn(s, 2, 200, 100, 1, generator=rng) for s in steps]
    expected, sums = 0.5 * values[0] + 2 * values[1], []
    for one, scale, ours in zip(values, (0.5, 2.0), held, strict=True):
        buffer = lease.take(*one.shape).copy_(one) if ours else None
        sums.append(Towards(SpikeGrad(one.clone() if buffer is None else buffer, scale), buffer))
    given = [towards.grad.values.clone() for towards in sums]
    total = flow._added(*sums[::order], lease)
    assert torch.allclose(total.grad.values * total.grad.scale, expected, atol=1e-6)
    assert len(lease._out) == 1
    for towards, before in zip(sums, given, strict=True):
        if towards.held is None:
            assert torch.equal(towards.grad.values, before)  # somebody else's
