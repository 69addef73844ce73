"""How much γ and σ̄ change from step to step, by numbers made by hand."""

import pytest
import torch

from bntt.analysis.activity.step_changes import step_changes
from bntt.models import mlp


def test_changes_and_ratios_by_hand():
    net = mlp(in_features=2, hidden=(2,), num_steps=3)
    norm = net.blocks["fc1"].norm
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, -2.0], [2.0, -1.0], [2.0, 1.0]]))
        norm.running_var.copy_(torch.tensor([[1.0, 1.0], [4.0, 1.0], [4.0, 1.0]]) - norm.eps)
    found = step_changes(net)["fc1"]
    assert found.gamma.tolist() == pytest.approx([(1 + 1) / (1 + 2), (0 + 2) / (2 + 1)])
    assert found.deviation.tolist() == pytest.approx([(1 + 0) / (1 + 1), 0])
    ratios = [[1 / 1, -2 / -1], [1 / 1, -1 / 1]]
    for row, wanted in zip(found.ratio, ratios, strict=True):
        low, middle, high = row.tolist()
        assert (low, middle, high) == pytest.approx(
            tuple(min(wanted) + q * (max(wanted) - min(wanted)) for q in (0.1, 0.5, 0.9)), abs=1e-6
        )


def test_steps_without_a_path_are_marked():
    net = mlp(in_features=2, hidden=(2, 2), num_steps=5, fire="before")
    found = step_changes(net)
    assert torch.isnan(found["fc1"].gamma).tolist() == [False, False, True, True]
    assert torch.isnan(found["fc2"].ratio[:, 1]).tolist() == [True, False, False, True]


def test_one_step_has_no_neighbour():
    assert step_changes(mlp(hidden=(2,), num_steps=1))["fc1"].ratio.shape == (0, 3)
