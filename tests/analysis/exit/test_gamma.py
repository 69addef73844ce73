"""Mean γ, its magnitude, and which layers have one for each step."""

import pytest
import torch

from bntt.analysis import gamma_profile, looks_untrained
from bntt.analysis.exit.gamma import gamma_spread
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


def test_gamma_without_a_path_to_the_readout_is_in_no_peak():
    """In fire_before layer l of L is driven from step l - 1; what it says from T - 1 - (L - l) on is too late."""
    net = mlp(in_features=2, hidden=(2, 2), num_steps=5, fire="before")
    with torch.no_grad():
        net.blocks["fc1"].norm.gamma.copy_(torch.tensor([0.1, 0.2, 0.3, 8.0, 9.0])[:, None].expand(5, 2))
        net.blocks["fc2"].norm.gamma.copy_(torch.tensor([7.0, 0.1, 0.4, 0.3, 9.0])[:, None].expand(5, 2))
    profile = gamma_profile(net)
    assert profile.driven == {"fc1": range(0, 3), "fc2": range(1, 4)}
    assert (profile.peak("fc1"), profile.peak("fc2")) == (2, 2)


def test_no_step_reaches_the_readout_where_there_are_too_few():
    profile = gamma_profile(mlp(in_features=2, hidden=(2, 2), num_steps=2, fire="before"))
    assert profile.peak("fc1") is None


def test_relative_is_what_multiplies_the_current_in_the_unit_of_gamma():
    net = mlp(in_features=2, hidden=(2,), num_steps=2)
    norm = net.blocks["fc1"].norm
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        norm.running_var.copy_(torch.tensor([[1.0, 4.0], [9.0, 4.0]]) - norm.eps)
    profile = gamma_profile(net)
    assert profile.deviation["fc1"].tolist() == pytest.approx([1.5, 2.5])
    assert profile.relative["fc1"].tolist() == pytest.approx([(1 * 2 / 1 + 2) / 2, (3 * 2 / 3 + 4) / 2])


def test_a_network_looks_untrained_until_some_gamma_has_moved():
    net = mlp(in_features=2, hidden=(2, 2), num_steps=2)
    assert looks_untrained(net)
    with torch.no_grad():
        net.blocks["fc2"].norm.gamma[1, 0] = 0.99
    assert not looks_untrained(net)


def test_the_spread_counts_every_channel_once():
    net = mlp(in_features=2, hidden=(4,), num_steps=2)
    with torch.no_grad():
        net.blocks["fc1"].norm.gamma.copy_(torch.tensor([[0.0, 0.1, 0.5, 1.0], [-1.0, -0.6, 0.2, 0.9]]))
    found = gamma_spread(net, bins=4)["fc1"]
    assert found.edges.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert found.counts.tolist() == [[0, 0, 2, 2], [2, 0, 1, 1]]
    assert (found.smallest.tolist(), found.largest.tolist()) == (
        pytest.approx([0.0, -1.0]),
        pytest.approx([1.0, 0.9]),
    )
