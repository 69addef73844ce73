"""Neurons of one's own take three files, and work wherever neurons are named."""

from pathlib import Path

import pytest
import torch

from bntt.models import mlp, resnet20
from bntt.nn import NEURONS
from bntt.nn.fuse import fused_parts
from tests.drills import everywhere


@pytest.fixture(autouse=True)
def Adaptive():
    """The class, as its module registers it; nobody else sees it."""
    from tests.drills.neuron.adaptive import Adaptive

    if "adaptive" not in NEURONS:  # a module registers once, when it is imported first
        NEURONS("adaptive")(Adaptive)
    yield Adaptive
    NEURONS.pop("adaptive")


def test_they_take_three_files():
    everywhere.takes(Path(__file__).parent, "adaptive", {"adaptive.py", "README.md", "test_adaptive.py"})


def test_they_are_trained_by_name_and_measured(tmp_path, capsys):
    run = everywhere.trained_with(tmp_path, network={"neuron": "adaptive", "leak": 0.8})
    assert run.model.network.blocks["conv1"].lif.neuron.leak == 0.8
    everywhere.measured_by_name(run, "neurons", "adaptive", capsys)


@pytest.mark.parametrize("residual", ["", "ms"])
def test_any_cut_and_hooks(residual, rng):
    if residual:
        net = resnet20(num_steps=4, width=0.125, neuron="adaptive", residual="ms", in_channels=2)
        x = 2 * torch.randn(4, 3, 2, 8, 8, generator=rng)
    else:
        net, x = mlp(in_features=5, hidden=(8, 6), num_steps=4, neuron="adaptive"), torch.randn(4, 3, 5, generator=rng)
        everywhere.is_measured(net, 3 * x)
    everywhere.learns(net, x)
    everywhere.every_cut_is_the_whole(net, x.double())
    _, state = net.eval().advance(x.double())
    assert state.rows(torch.tensor([0, 2])).detach().batch == 2


def test_what_they_do_not_take_and_why_they_are_not_fused(Adaptive):
    with pytest.raises(ValueError, match="learn_leak=True: neurons 'adaptive' have none"):
        mlp(neuron="adaptive", learn_leak=True)
    assert fused_parts()["adaptive"] == "plain PyTorch: its neurons are Adaptive, which the kernels do not support"
