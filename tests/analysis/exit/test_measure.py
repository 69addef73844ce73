"""The exit of a run: chosen on validation, measured on the split, and refused before anything is measured."""

import dataclasses

import pytest
import torch

from bntt.analysis import LossBudgetError, exit_step, gamma_profile
from bntt.analysis.exit import measure
from bntt.analysis.exit.measure import accuracy_of, measure_exit
from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.exit.result import threshold_text
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    found = load_run(small_run(tmp_path_factory.mktemp("runs")).path)
    found.__dict__["data"] = dataclasses.replace(found.data, test=found.data.test.select(torch.arange(40)))
    return found


def test_what_is_chosen_is_chosen_on_validation(run):
    progress = Progress()
    found = measure_exit(run, ExitArguments(loss=20, draws=2), progress)
    images = len(run.data.validation)
    assert (found.validation_images, found.test_images, found.draws) == (images, 40, 2)
    assert progress.done == progress.total == 2 * (images + 40)
    over_time = accuracy_of(run, "validation", 2, Progress()).over_time
    assert [row.validation_accuracy for row in found.grid] == list(over_time)
    profile = gamma_profile(run.model.network)
    for stop in (found.chosen, found.truncation):
        assert stop.validation_accuracy == over_time[stop.steps - 1] >= over_time[-1] - 0.2
    assert exit_step(profile, found.chosen.threshold) == found.steps == found.chosen.steps
    assert exit_step(profile, float(threshold_text(found.threshold))) == found.steps
    assert found.paper_threshold.steps == exit_step(profile, 0.1)
    reported = accuracy_of(run, "test", 2, Progress()).over_time
    assert [row.test_accuracy for row in found.grid] == list(reported)
    assert found.chosen.test_lost == reported[-1] - reported[found.steps - 1]


def test_a_stated_threshold_is_taken(run):
    found = measure_exit(run, ExitArguments(threshold=0.0, split="validation"), Progress())
    assert (found.chosen_on, found.steps) == ("stated", 3)
    assert not any("test" in key for key in found.to_json() | found.to_json()["chosen"])
    with pytest.warns(UserWarning, match="no mean γ reaches"):
        assert measure_exit(run, ExitArguments(threshold=50.0), Progress()).steps == 1


def test_a_loss_that_no_threshold_keeps(run, monkeypatch):
    def refuse(*args):
        raise LossBudgetError("no threshold loses")

    monkeypatch.setattr(measure, "choose_exit", refuse)
    with pytest.raises(LossBudgetError):
        measure_exit(run, ExitArguments(split="validation"), Progress())
    stated = measure_exit(run, ExitArguments(split="validation", threshold=0.1), Progress())
    assert set(stated.by_reading.values()) == {None}


@pytest.mark.parametrize(("network", "words"), [({"norm": "bn"}, "bntt"), ({"fire": "before"}, "whose γ has a path")])
def test_a_run_without_a_gamma_for_each_step_measures_nothing(network, words, tmp_path):
    progress = Progress(lambda done, total: pytest.fail("it measured"))
    with pytest.raises(ArgumentError, match=f"{words}.*--per-sample needs no γ either"):
        measure_exit(opened_run(tmp_path, **network), ExitArguments(), progress)
