"""Widths, and plans that cannot be."""

import math

import pytest

from bntt.models import vgg6
from bntt.models.spiking import scaled
from tests.rows import each_row


@each_row("channels, width, expected", [(64, 1.0, 64), (64, 0.25, 16), (10, 0.25, 2), (3, 0.1, 1)])
def test_scaled(channels, width, expected):
    assert scaled(channels, width) == expected


@each_row("width", [0.0, -1.0, math.inf, math.nan])
def test_width_out_of_range(width):
    with pytest.raises(ValueError, match="width must be a number above 0"):
        scaled(64, width)


def test_no_input_channel():
    with pytest.raises(ValueError, match="in_channels must be 1 or more"):
        vgg6(in_channels=0)
