"""The sequence network."""

import pytest

from bntt.models import mlp
from tests.rows import each_row


def test_the_papers_sequential_mnist_network():
    """FC(1,256)-FC(256,256)-FC(256,10), 784 steps: 401,408 γ."""
    net = mlp()
    assert sum(block.norm.gamma.numel() for block in net.blocks.values()) == 401_408
    weights = sum(p.numel() for p in net.parameters()) - 401_408
    assert weights == 256 + 256 * 256 + 256 * 10


@each_row("options", [{"in_features": 0}, {"hidden": ()}])
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="in_features must be 1 or more and hidden not empty"):
        mlp(num_steps=2, **options)
