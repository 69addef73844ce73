"""How values live between nodes, and gradients towards one value add up."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from bntt.engine.graph import stack as flow
from bntt.engine.graph.layer import Sum
from bntt.engine.graph.node import GradState, Node, PassContext, Passed, Size, Start
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

    def backward(self, how, done, grad, learned, **_):
        held = how.lease.take(*grad.values.shape)
        return [SpikeGrad(held.copy_(grad.values).mul_(2), grad.scale, held)]


@dataclass(frozen=True)
class SumOf(Sum):
    def forward(self, how, inputs, first, start, known=None):
        out = how.lease.take(*inputs[0].values.shape)
        return Passed(Spikes(torch.add(inputs[0].values, inputs[1].values, out=out)), None, (False, False))

    def backward(self, how, done, grad, learned, **_):
        return [grad, SpikeGrad(grad.values.clone(), grad.scale)]


@pytest.mark.parametrize("keep", [0, 2, None])
def test_a_value_goes_back_when_nobody_needs_it(keep):
    """y = 2 (2 x) + 2 x: buffers out are those that a backward pass reads, and what the caller got."""
    lease = Workspace().lease()
    how = PassContext(lease=lease)
    nodes = [Double(), Double(), SumOf((-1, -2))]
    span, out, _ = flow.forward(nodes, how, Spikes(torch.ones(BIG)), 0, [Start()] * 3, keep=keep)
    assert out.values.unique().item() == 6
    assert len(lease._out) == 1 + (keep == 0)  # the first node's, which the second one's way back reads
    if keep is None:
        return
    lease.give(out.values)
    carries, last, grad = [GradState(None)] * 3, -1 if keep == 0 else keep, SpikeGrad(torch.ones(BIG), 0.5)
    found = flow.backward(nodes, how, span, grad, [([], None)] * 3, carries, last=last)
    assert (found is None) == (keep == 2)
    if found is not None:
        assert (found.values * found.scale).unique().item() == 3
        lease.give(found.held)
    assert not lease._out
    assert span.saved == span.values == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("steps", "held"), [((3, 3), (True, True)), ((1, 3), (False, True)), ((1, 1), (False, False))])
def test_gradients_of_several_readers_add_up(steps, held, order, rng):
    lease = Workspace().lease()
    values = [torch.randn(s, 2, 200, 100, 1, generator=rng) for s in steps]
    expected, sums = 0.5 * values[0] + 2 * values[1], []
    for one, scale, ours in zip(values, (0.5, 2.0), held, strict=True):
        buffer = lease.take(*one.shape).copy_(one) if ours else None
        sums.append(SpikeGrad(one.clone() if buffer is None else buffer, scale, buffer))
    given = [grad.values.clone() for grad in sums]
    total = flow._added(*sums[::order], lease)
    assert torch.allclose(total.values * total.scale, expected, atol=1e-6)
    assert len(lease._out) == 1
    for grad, before in zip(sums, given, strict=True):
        if grad.held is None:
            assert torch.equal(grad.values, before)  # somebody else's
