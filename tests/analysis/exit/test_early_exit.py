"""γ over time, and when it says that a network may stop: the rule, its whole grid, and what is chosen on validation."""

import itertools
import math

import pytest
import torch

from bntt.analysis import (
    LossBudgetError,
    NoGammaError,
    choose_exit,
    choose_truncation,
    exit_step,
    threshold_ranges,
)
from bntt.analysis.exit.early_exit import GammaProfile, envelope, gamma_profile, gamma_spread
from bntt.models import mlp


def profile(**rows):
    rows = {name: torch.tensor(row) for name, row in rows.items()}
    return GammaProfile(rows, rows, {name: range(len(row)) for name, row in rows.items()}, rows, rows)


def by_hand(rows, threshold):
    """DESIGN's rule, read backwards in time."""
    steps = len(next(iter(rows.values())))
    for t in reversed(range(steps)):
        if max(row[t] for row in rows.values()) >= threshold:
            return t + 1
    return 1


ROWS = {"conv1": [0.9, 0.4, 0.2, 0.05, 0.02], "fc1": [0.1, 0.3, 0.8, 0.09, 0.03]}


def test_one_more_than_the_last_step_at_which_some_layer_reaches_the_threshold():
    rows = {name: torch.tensor(row).tolist() for name, row in ROWS.items()}
    for threshold in {0.0, 0.04, 0.1, *(value for row in rows.values() for value in row)}:
        assert exit_step(profile(**ROWS), threshold) == by_hand(rows, threshold), threshold


def test_a_dip_in_between_is_no_exit():
    assert exit_step(profile(fc1=[0.5, 0.01, 0.5, 0.01]), 0.1) == 3


def test_a_threshold_that_nothing_reaches_is_one_step_with_a_warning():
    with pytest.warns(UserWarning, match="2"):
        assert exit_step(profile(**ROWS), 2.0) == 1


def test_thresholds_that_are_none():
    for threshold in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="threshold"):
            exit_step(profile(**ROWS), threshold)


def test_the_readings_differ_where_signs_and_deviations_do():
    net = mlp(in_features=2, hidden=(2,), num_steps=3)
    norm = net.blocks["fc1"].norm
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, 1.0], [0.5, -0.5], [0.08, 0.08]]))
        norm.running_var.copy_(torch.tensor([[1.0], [1.0], [0.25]]).expand(3, 2))
    found = gamma_profile(net)
    assert [exit_step(found, 0.1, reading) for reading in ("magnitude", "signed", "relative")] == [2, 1, 3]


def test_the_grid_is_every_threshold(rng):
    for _ in range(50):
        rows = {name: torch.rand(7, generator=rng).tolist() for name in ("a", "b")}
        found = profile(**rows)
        grid = threshold_ranges(found)
        assert grid[0].above == 0
        assert grid[-1].to == math.inf
        for this, following in itertools.pairwise(grid):
            assert this.to == following.above
            assert this.steps > following.steps
        for stretch in grid:
            if stretch.to < math.inf:
                assert exit_step(found, stretch.to) == stretch.steps
            between = (stretch.above + min(stretch.to, 2.0)) / 2
            if between < 1:
                assert exit_step(found, between) == stretch.steps


def test_the_earliest_exit_that_keeps_the_loss():
    found, accuracy = profile(**ROWS), (0.1, 0.6, 0.795, 0.80, 0.80)
    choice = choose_exit(found, accuracy, 0.005)
    assert (choice.steps, choice.lost) == (3, pytest.approx(0.005))
    assert exit_step(found, choice.threshold) == 3
    assert choose_exit(found, accuracy, 0.0).steps == 4
    assert choose_truncation(accuracy, 0.005).steps == 3
    assert choose_truncation((0.1, 0.7, 0.6, 0.65), 0.0).steps == 2
    with pytest.raises(ValueError, match="5 steps"):
        choose_exit(found, accuracy[:3], 0.0)


def test_a_loss_that_no_threshold_keeps():
    """The signed mean of the last steps is below 0: no threshold waits for them."""
    found = profile(fc1=[0.5, 0.2, -0.3, -0.3])
    assert choose_exit(found, (0.5, 0.8, 0.8, 0.8), 0.0, "signed").steps == 2
    for row, over_time, loss in (
        ([0.5, 0.2, -0.3, -0.3], (0.5, 0.7, 0.8, 0.8), 0.05),
        ([-0.1, -0.2, -0.3], (0.1, 0.6, 0.8), 0.0),
        ([0.3, 0.2, -0.3], (0.1, 0.6, 0.8), 0.0),
    ):
        with pytest.raises(LossBudgetError, match=f"{100 * loss:g} points"):
            choose_exit(profile(fc1=row), over_time, loss, "signed")
    for share in (-0.01, math.nan, 1.5):  # 1.5 may be meant as points
        with pytest.raises(ValueError, match="loss"):
            choose_truncation((0.5, 0.6), share)


def test_a_threshold_that_nothing_reaches_is_not_chosen():
    for row, steps in (([0.9, 0.2, 0.1], 1), ([0.1, 0.2, 0.9], 3)):
        choice = choose_exit(found := profile(fc1=row), (0.8, 0.8, 0.8), 0.0)
        assert (choice.steps, choice.threshold) == (steps, pytest.approx(0.9))
        assert exit_step(found, choice.threshold) == steps
    choice = choose_exit(found := profile(fc1=[0.0, 0.0, 0.0]), (0.5, 0.7, 0.8), 0.0)
    assert (choice.steps, choice.threshold, choice.lost) == (3, 0.0, 0.0), (
        "where every γ is 0, the last step is an exit"
    )
    assert exit_step(found, choice.threshold) == 3


def test_no_gamma_that_reaches_the_readout():
    rows, no = {"fc1": torch.tensor([0.5, 0.9])}, {}
    silent = GammaProfile(rows, no, {"fc1": range(1, 1)}, no, no)
    for found in (silent, *(gamma_profile(mlp(num_steps=2, norm=norm)) for norm in ("none", "layer", "tdbn", "bn"))):
        assert found is silent or not found.magnitude
        for ask in (envelope, threshold_ranges, exit_step, choose_exit):
            more = {exit_step: (0.1,), choose_exit: ((0.5, 0.6), 0.01)}.get(ask, ())
            with pytest.raises(NoGammaError, match="bntt"):
                ask(found, *more)


def test_gamma_without_a_path_to_the_readout_is_in_no_peak_and_no_exit():
    """In fire_before layer l of L is driven from step l - 1; what it says from T - 1 - (L - l) on is too late."""
    net = mlp(in_features=2, hidden=(2, 2), num_steps=5, fire="before")
    with torch.no_grad():
        net.blocks["fc1"].norm.gamma.copy_(torch.tensor([0.1, 0.2, 0.3, 8.0, 9.0])[:, None].expand(5, 2))
        net.blocks["fc2"].norm.gamma.copy_(torch.tensor([7.0, 0.1, 0.4, 0.05, 9.0])[:, None].expand(5, 2))
    profile = gamma_profile(net)
    assert profile.driven == {"fc1": range(0, 3), "fc2": range(1, 4)}
    assert (profile.peak("fc1"), profile.peak("fc2")) == (2, 2)
    assert envelope(profile).tolist() == pytest.approx([0.1, 0.2, 0.4, 0.05, -math.inf])
    assert exit_step(profile, 0.09) == 3
    assert gamma_profile(mlp(in_features=2, hidden=(2, 2), num_steps=2, fire="before")).peak("fc1") is None


def test_means_of_gamma_by_hand():
    net = mlp(in_features=2, hidden=(2,), num_steps=2)
    norm = net.blocks["fc1"].norm
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        norm.running_var.copy_(torch.tensor([[1.0, 4.0], [9.0, 4.0]]) - norm.eps)
    profile = gamma_profile(net)
    assert profile.magnitude["fc1"].tolist() == [1.5, 3.5]
    assert profile.signed["fc1"].tolist() == [-0.5, 3.5]
    assert profile.deviation["fc1"].tolist() == pytest.approx([1.5, 2.5])
    assert profile.relative["fc1"].tolist() == pytest.approx([(1 * 2 / 1 + 2) / 2, (3 * 2 / 3 + 4) / 2])


def test_the_spread_counts_every_channel_once():
    net = mlp(in_features=2, hidden=(4,), num_steps=2)
    with torch.no_grad():
        net.blocks["fc1"].norm.gamma.copy_(torch.tensor([[0.0, 0.1, 0.5, 1.0], [-1.0, -0.6, 0.2, 0.9]]))
    found = gamma_spread(net, bins=4)["fc1"]
    assert found.edges.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert found.counts.tolist() == [[0, 0, 2, 2], [2, 0, 1, 1]]
    for nearly in (1 - 6e-8, 1 - 1e-6, 1 + 1e-6):  # rounding: bins within it would have no width
        with torch.no_grad():
            net.blocks["fc1"].norm.gamma.fill_(1.0)[0, 0] = nearly
        edges = gamma_spread(net)["fc1"].edges
        assert float(edges[-1] - edges[0]) == pytest.approx(1.0, abs=1e-4)
    for range_ in (1.1e-5, 1e-4):
        with torch.no_grad():
            net.blocks["fc1"].norm.gamma.fill_(1.0)[0, 0] = 1 + range_
        assert (gamma_spread(net)["fc1"].edges.diff() > 0).all()


def test_a_factor_of_each_step_is_a_part_of_gamma():
    net = mlp(in_features=4, hidden=(8,), num_steps=4, norm="tab")
    with torch.no_grad():
        net.blocks["fc1"].norm.step_scale[1:] = 0.1
    found = gamma_profile(net)
    torch.testing.assert_close(found.magnitude["fc1"], torch.tensor([1.0, 0.01, 0.01, 0.01]))
    assert exit_step(found, 0.1) == 1
    assert float(gamma_spread(net)["fc1"].edges[0]) == pytest.approx(0.01)
