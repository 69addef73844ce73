"""Pictures of early exit can be drawn of one step and of many."""

import dataclasses

import pytest
import torch

from bntt.analysis import Accuracy, Choice, Operations, SampleChoice, SampleExits
from bntt.analysis.exit.gamma import GammaProfile
from bntt.runs.figures import exit_figure
from bntt.runs.figures.exit_figure import save_exit, save_sample_exit
from bntt.runs.measures.exits import Asked, ExitResult
from bntt.runs.measures.sample_exits import SampleExitResult


def accuracy(steps):
    return Accuracy(100, (tuple(10 + 80 * t // max(1, steps - 1) for t in range(steps)),))


def result(steps, driven):
    rows = {"conv1": torch.linspace(0.9, 0.05, steps), "fc1": torch.linspace(0.1, 0.3, steps)}
    profile = GammaProfile(rows, rows, dict.fromkeys(rows, driven), rows, rows)
    choice = Choice(steps, 0.1, 0.9, 0.0)
    choices = {"magnitude": choice, "signed": None, "relative": choice}
    shown = accuracy(steps)
    return ExitResult(Asked(), profile, shown, shown, "made $x$", choice, False, choices, choice, choice)


@pytest.mark.parametrize(("steps", "driven"), [(1, range(1)), (6, range(6)), (40, range(2, 30))])
def test_an_exit_is_drawn(steps, driven, tmp_path):
    save_exit(result(steps, driven), tmp_path / "exit.png")
    assert (tmp_path / "exit.png").read_bytes().startswith(b"\x89PNG")


def test_both_splits_are_within_the_picture(tmp_path, monkeypatch):
    """Validation may stand above the test images."""
    figures = []
    monkeypatch.setattr(exit_figure, "save_figure", lambda figure, path: figures.append(figure))
    found = result(6, range(6))
    higher = Accuracy(100, (tuple(20 + 75 * t // 5 for t in range(6)),))
    save_exit(dataclasses.replace(found, validation=higher), tmp_path / "exit.png")
    right = figures[0].axes[2]
    assert right.get_ylabel() == "accuracy when stopped after this step (%)"
    assert right.get_ylim()[1] > 95


def test_samples_that_leave_are_drawn(tmp_path):
    steps = torch.tensor([1, 3, 3, 4])
    exits = SampleExits(steps * 0, steps > 1, steps, torch.ones(4), 4)
    counted = Operations(accuracy(4), {}, constant_input=False)
    choice, alike = SampleChoice("margin", 0.5, 0.8, 0.0, 2.5), Choice(3, None, 0.8, 0.0)
    made = SampleExitResult(
        Asked(),
        "made",
        {"margin": choice},
        {"margin": exits},
        {"margin": 1.0},
        accuracy(4),
        2.0,
        {"margin": alike},
        {3: 1},
        {},
        counted,
    )
    save_sample_exit(made, tmp_path / "each.png")
    assert (tmp_path / "each.png").read_bytes().startswith(b"\x89PNG")
