"""Eq. 8 and its two companions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bntt.ops.spike import ArcTan, FastSigmoid, Triangle, fire
from tests.rows import each_row


def slope(membrane: torch.Tensor, threshold: float = 1.0, surrogate=Triangle()) -> torch.Tensor:
    membrane = membrane.clone().requires_grad_()
    return torch.autograd.grad(fire(membrane, threshold, surrogate).sum(), membrane)[0]


def test_surrogate_is_eq_8_on_a_grid_exactly():
    """N4: 100,001 points and the special ones, equal to the bit."""
    grid = np.concatenate([np.linspace(-3, 3, 100_001), [0.0, 1.0, -1.0, math.nan, math.inf, -math.inf]])
    expected = 0.3 * np.maximum(0, 1 - np.abs(grid))
    found = Triangle()(torch.from_numpy(grid)).numpy()
    assert np.array_equal(found, expected, equal_nan=True)


@each_row("threshold", [0.5, 1.0, 2.0])
def test_gradient_is_the_surrogate_of_the_normalised_distance(threshold):
    """u/θ - 1 inside, and no further 1/θ outside."""
    membrane = torch.linspace(-1, 4, 101, dtype=torch.float64)
    expected = 0.3 * (1 - (membrane / threshold - 1).abs()).clamp(min=0)
    assert torch.equal(slope(membrane, threshold), expected)


def test_fires_strictly_above_the_threshold():
    below, above = np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0)
    membrane = torch.tensor([below, 1.0, above, math.nan, -math.inf, math.inf], dtype=torch.float64)
    assert fire(membrane).tolist() == [0, 0, 1, 0, 0, 1]
    assert all(fire(membrane.to(dtype)).dtype == dtype for dtype in (torch.float32, torch.float64, torch.bfloat16))


@given(st.floats(-5, 5), st.floats(0.1, 20), st.floats(0.1, 5))
def test_other_surrogates_match_their_formulas(v, slope_, alpha):
    x = torch.tensor(v, dtype=torch.float64)
    assert float(FastSigmoid(slope_)(x)) == pytest.approx(1 / (1 + slope_ * abs(v)) ** 2)
    assert float(ArcTan(alpha)(x)) == pytest.approx(alpha / 2 / (1 + (math.pi / 2 * alpha * v) ** 2))
