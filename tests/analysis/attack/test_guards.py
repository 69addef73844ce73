"""What makes a number worth nothing, each on both sides of its bound; the paired interval against its counts."""

import math

import pytest
import torch

from bntt.analysis.accuracy.paired import paired
from bntt.analysis.attack.guards import (
    search_does_better,
    still_right,
    weaker_than_one_step,
    zero_gradients,
)


def pairs(both: int, first: int, second: int, neither: int):
    """Two rows of so many images that both, only the first, only the second and neither had right."""
    one = torch.tensor([1] * both + [1] * first + [0] * second + [0] * neither).bool()
    other = torch.tensor([1] * both + [0] * first + [1] * second + [0] * neither).bool()
    return one[None], other[None]


def paired_interval(one, other):
    found = paired(one, other)
    return (found.difference, *found.interval)


def test_the_interval_is_agresti_and_mins():
    """Their cells with ½ more each: ``(b* - c*)/n* ± z √(((b* + c*) - (b* - c*)²/n*) / n*²)``."""
    one, other = pairs(40, 12, 3, 45)
    b, c, n = 12.5, 3.5, 102.0
    half = 1.959964 * math.sqrt((b + c) - (b - c) ** 2 / n) / n
    assert paired_interval(one, other) == pytest.approx((0.09, (b - c) / n - half, (b - c) / n + half))
    assert paired_interval(other, one)[0] == pytest.approx(-0.09)


def test_draws_of_one_image_are_no_more_images():
    one, other = pairs(40, 12, 3, 45)
    many = paired_interval(one.repeat(5, 1), other.repeat(5, 1))
    assert many == pytest.approx(paired_interval(one, other))


def test_zero_gradients():
    assert zero_gradients(torch.arange(100) < 1) == ""
    assert "2.0% of the images" in zero_gradients(torch.arange(100) < 2)


def test_above_chance():
    assert still_right(torch.arange(100)[None] < 10, 10) == ""
    assert "leaves 11.0% right, above chance (10.0%)" in still_right(torch.arange(100)[None] < 11, 10)
    assert still_right(torch.arange(100)[None] < 11, 4) == ""


@pytest.mark.parametrize(("first", "second", "said"), [(30, 2, True), (6, 4, False), (2, 30, False), (0, 0, False)])
def test_several_steps_against_one(first, second, said):
    several, one = pairs(40, first, second, 20)
    assert bool(weaker_than_one_step(several, one)) == said


@pytest.mark.parametrize(("first", "second", "said"), [(30, 2, True), (6, 4, False), (2, 30, False)])
def test_a_search_against_gradients(first, second, said):
    along, search = pairs(40, first, second, 20)
    assert bool(search_does_better(along, search)) == said


def test_a_search_may_do_better_by_a_fifth_of_a_point():
    along, search = pairs(9000, 18, 0, 982)
    assert paired_interval(along, search)[1] > 0
    assert search_does_better(along, search) == ""
    along, search = pairs(9000, 30, 0, 970)
    assert "0.3 points fewer" in search_does_better(along, search)
