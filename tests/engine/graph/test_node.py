"""Every kind of node and its pass is what the protocols say."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.compute import Compute
from bntt.engine.graph.node import How, Node, NodePass
from bntt.engine.graph.stack import PASSES
from bntt.engine.graph.weightless import Fire, Mask, MaxPool, Sum
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.engine.graph.test_layer import flat_layer

NODES = [
    flat_layer(torch.zeros(7, 120)),
    Fire(Neuron(), (2, 2)),
    Sum((-1, -2)),
    MaxPool((2, 2)),
    Mask(lambda: torch.ones(1), 0.5),
]


def test_each_kind_is_here():
    assert {type(node) for node in NODES} == set(PASSES)


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_nodes_and_passes(node):
    assert isinstance(node, Node)
    one = PASSES[type(node)](node, How(Compute(), Workspace().lease()))
    assert isinstance(one, NodePass)
    assert one.node is node
    assert not one.waits
    assert one.zero([False] * len(node.learned)) == [None] * len(node.learned)
    found = one.zero([True] * len(node.learned))
    assert [None if zero is None else zero.shape for zero in found] == [getattr(t, "shape", None) for t in node.learned]
    x = Spikes(torch.empty(1, 2, 4, 5, 6, dtype=torch.uint8, device="meta"))
    size = node.size([x] * len(node.reads))
    assert size.out.values.shape[:2] == (1, 2)
    assert size.floats + size.bytes > 0
