"""Rates by hand: two presentations, four neurons."""

import pytest
import torch

from bntt.analysis import Activity


def test_by_hand():
    a = Activity(
        2,
        {"conv1": torch.tensor([[3.0, 1.0], [0.0, 2.0]]), "fc1": torch.tensor([[1.0], [0.0]])},
        {"conv1": 4, "fc1": 1},
    )
    assert a.rate("conv1").tolist() == [0.5, 0.25]
    assert a.rate("fc1").tolist() == [0.5, 0.0]
    assert a.spike_rate("conv1") == pytest.approx(6 / 8)
    assert a.spikes_per_sample() == pytest.approx(3.5)
