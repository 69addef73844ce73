"""A norm of one's own takes three files, and works wherever a norm is named."""

from pathlib import Path

import pytest
import torch

from bntt.models import mlp
from bntt.nn import NORMS, norm_facts, retime
from bntt.nn.fuse import fused_norms
from tests.drills import everywhere


@pytest.fixture(autouse=True)
def StepRMS():
    """The class, as its module registers it; nobody else sees it."""
    from tests.drills.norm.root_mean_square import StepRMS

    if "rms" not in NORMS:  # a module registers once, when it is imported first
        NORMS("rms")(StepRMS)
    yield StepRMS
    NORMS.pop("rms")


def test_it_takes_three_files():
    files = {"root_mean_square.py", "README.md", "test_root_mean_square.py"}
    everywhere.takes(Path(__file__).parent, "rms", files)


def test_it_is_trained_by_name_and_measured(tmp_path, capsys, StepRMS):
    run = everywhere.trained_with(tmp_path, network={"norm": "rms"})
    assert isinstance(run.model.network.blocks["conv1"].norm, StepRMS)
    everywhere.measured_by_name(run, "norms", "rms", capsys)


def test_any_cut_and_hooks_and_another_number_of_steps(rng):
    net, x = mlp(in_features=5, hidden=(8, 6), num_steps=4, norm="rms"), torch.randn(4, 3, 5, generator=rng)
    everywhere.learns(net, x)
    everywhere.is_measured(net, 3 * x)
    assert retime(net, 6, "interpolate").blocks["fc1"].norm.gamma.shape == (6, 8)
    everywhere.every_cut_is_the_whole(net, x.double())


def test_its_facts_and_why_it_is_not_fused(StepRMS):
    assert norm_facts(StepRMS(2, 3)).step_gamma
    assert fused_norms()["rms"] == "plain PyTorch: its norm is StepRMS, which the kernels do not support"


def test_a_name_is_given_once(StepRMS):
    with pytest.raises(ValueError, match="there is a norm 'rms' already: choose another name"):
        NORMS("rms")(StepRMS)
    with pytest.raises(ValueError, match="the norm 'other' needs 'window', and is given channels, num_steps"):
        NORMS("other")(lambda channels, window: None)
