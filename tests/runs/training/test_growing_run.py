"""A run whose T grows: what is told, what may be the best, and the same bits after a stop wherever it was."""

import pytest

from bntt.runs.open_run import load_run
from bntt.runs.training.train import train_run
from tests.rows import each_row
from tests.runs import tiny


def recipe(**train):
    return tiny.recipe(train={"epochs": 4, "grow": [[1, 1], [2, 1]], **train}, network={"width": 0.125, "num_steps": 3})


def test_epochs_have_their_steps_and_only_whole_ones_are_the_best(tmp_path):
    of = recipe()
    run, epochs = tiny.trained(of, tiny.parts(of), tmp_path)
    assert [epoch.steps for epoch in epochs] == [1, 2, 3, 3]
    assert [epoch.best for epoch in epochs[:3]] == [False, False, True]
    assert load_run(run.path).epoch >= 2


@pytest.mark.slow
@each_row("records", [1, 3, 4, 5, 7, 8, 9])
def test_a_stop_anywhere_changes_no_bit(records, tmp_path):
    """Three updates and a record in an epoch: in the first, at its end, in the second, at its end, and after."""
    of = recipe(average=0.5)
    data = tiny.parts(of)
    straight, _ = tiny.trained(of, data, tmp_path / "a")
    halted = tiny.stopped(of, data, tmp_path / "b", records=records)
    list(train_run(of, data, halted, resume=True))
    tiny.assert_same(halted, straight)
