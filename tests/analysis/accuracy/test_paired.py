"""Differences on the same images: the published interval, its sign, draws, and how often it holds the truth."""

import math

import pytest
import torch

from bntt.analysis import paired


def answers(both, one, other, neither):
    """Two networks' answers to so many images, one draw each."""
    ours = [True] * (both + one) + [False] * (other + neither)
    theirs = [True] * both + [False] * one + [True] * other + [False] * neither
    return torch.tensor([ours]), torch.tensor([theirs])


def test_the_published_example():
    """R's PropCIs, diffpropci.mp(b = 40, c = 20, n = 160), prints this interval of c - b."""
    found = paired(*answers(50, 20, 40, 50))
    assert found.interval == pytest.approx((-0.21601726, -0.03089632), abs=1e-7)
    assert found.difference == pytest.approx(-20 / 160)
    assert found.decided


def test_it_turns_with_its_sides():
    ours, theirs = answers(10, 7, 3, 5)
    one, other = paired(ours, theirs), paired(theirs, ours)
    assert one.difference == -other.difference == pytest.approx(4 / 25)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


def test_draws_are_averaged_image_by_image():
    ours = torch.tensor([[True, False, True], [True, True, True]])
    theirs = torch.tensor([[False, False, True]])
    d = torch.tensor([1.0, 0.5, 0.0]).double()
    middle = float(d.sum()) / 5
    half = 1.959964 * math.sqrt(((float(d @ d) + 1) / 5 - middle**2) / 5)
    found = paired(ours, theirs)
    assert found.difference == pytest.approx(0.5)
    assert found.interval == pytest.approx((middle - half, min(1, middle + half)))
    assert not found.decided


def test_two_that_always_agree_are_not_known_to_be_alike():
    right = torch.ones(3, 100, dtype=torch.bool)
    low, high = paired(right, right).interval
    assert low == -high
    assert 0 < high < 0.05


def test_the_largest_difference_stays_within_what_there_is():
    found = paired(torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 5, dtype=torch.bool))
    assert found.difference == found.interval[1] == 1


@pytest.mark.parametrize("cells", [(0.8, 0.08, 0.04, 0.08), (0.96, 0.02, 0.01, 0.01)])
def test_it_holds_the_truth_in_95_of_100(cells, rng):
    """Two thousand sets of 200 images; the paper of the rule says 95 % or a little more."""
    drawn = torch.multinomial(torch.tensor(cells), 200 * 2000, replacement=True, generator=rng).view(2000, 1, 200)
    held = 0
    for cell in drawn:
        low, high = paired((cell == 0) | (cell == 1), (cell == 0) | (cell == 2)).interval
        held += low <= cells[1] - cells[2] <= high
    assert 0.935 <= held / 2000 <= 0.985


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="the same images, got 3 and 4"):
        paired(torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))
