"""Every kind of node is what its base says."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.compute import Compute
from bntt.engine.graph.layer import Fire, Mask, MaxPool, Sum
from bntt.engine.graph.node import Node
from bntt.engine.synapse import Spikes
from bntt.ops.lif import Neuron
from tests.engine.graph.test_layer import flat_layer

NODES = [
    flat_layer(torch.zeros(7, 120)),
    Fire(Neuron(), (2, 2)),
    Sum((-1, -2)),
    MaxPool((2, 2)),
    Mask(lambda: torch.ones(1), 0.5),
]


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_nodes(node):
    assert isinstance(node, Node)
    assert not node.waits(Compute())
    assert node.zeros([False] * len(node.learned)) == [None] * len(node.learned)
    found = node.zeros([True] * len(node.learned))
    assert [None if zero is None else zero.shape for zero in found] == [getattr(t, "shape", None) for t in node.learned]
    x = Spikes(torch.empty(1, 2, 4, 5, 6, dtype=torch.uint8, device="meta"))
    size = node.size([x] * len(node.reads))
    assert size.out.values.shape[:2] == (1, 2)
    assert size.floats + size.bytes > 0
