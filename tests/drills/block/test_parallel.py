"""A block of one's own takes three files, and its network works wherever a network is named."""

from pathlib import Path

import pytest
import torch

from bntt.models import MODELS
from bntt.nn import NORMS
from tests.drills import everywhere


@pytest.fixture(autouse=True)
def parallel_mlp():
    """The builder, as its module registers it; nobody else sees it."""
    from tests.drills.block.parallel import parallel_mlp

    if "parallel_mlp" not in MODELS:  # a module registers once, when it is imported first
        MODELS.add("parallel_mlp", parallel_mlp)
    yield parallel_mlp
    MODELS.pop("parallel_mlp")


def test_it_takes_three_files():
    everywhere.takes(Path(__file__).parent, "parallel_mlp", {"parallel.py", "README.md", "test_parallel.py"})


def test_it_is_trained_by_name_and_measured(tmp_path, capsys):
    run = everywhere.trained_with(tmp_path, network={"name": "parallel_mlp", "width": 1.0})
    assert list(run.model.network.layers) == ["both.left", "both.right", "fc2"]
    everywhere.measured_by_name(run, "models", "parallel_mlp", capsys)


@pytest.mark.parametrize("norm", [name for name in NORMS if name in ("bntt", "tab", "layer")])
def test_any_cut_and_hooks(norm, rng, parallel_mlp):
    net, x = parallel_mlp(in_features=5, norm=norm), torch.randn(4, 6, 5, generator=rng)
    everywhere.learns(net, x)
    everywhere.is_measured(net, 3 * x)
    everywhere.every_cut_is_the_whole(net, x.double())


def test_it_says_why_it_is_not_fused(parallel_mlp):
    net = parallel_mlp(in_features=5)
    assert net.plan((4, 2, 5)).reason == "it is Parallel, which the kernels do not support"
    assert net.blocks["both"].left.name == "block 'both.left'"
