"""Mean γ, its magnitude, and which layers have one for each step."""

import pytest
import torch

from bntt.analysis import gamma_profile
from bntt.models import mlp


def test_magnitude_and_signed_mean():
    net = mlp(in_features=2, hidden=(2, 2), num_steps=2)
    with torch.no_grad():
        net.blocks["fc1"].norm.gamma.copy_(torch.tensor([[1.0, -3.0], [0.5, 0.5]]))
    profile = gamma_profile(net)
    assert profile.magnitude["fc1"].tolist() == [2.0, 0.5]
    assert profile.signed["fc1"].tolist() == [-1.0, 0.5]
    assert profile.magnitude["fc2"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("norm", ["none", "layer", "tdbn", "bn"])
def test_norms_without_a_gamma_for_each_step_are_left_out(norm):
    assert not gamma_profile(mlp(num_steps=2, norm=norm)).magnitude
