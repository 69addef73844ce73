"""The exit of a run, alike or sample by sample: chosen on validation, measured on the split, refused before that."""

import dataclasses

import pytest
import torch

from bntt.analysis import LossBudgetError, evaluate, exit_step, gamma_profile
from bntt.analysis.exit import (
    EXIT,
    ExitArguments,
    ExitResult,
    early_exit,
    measure_exit,
    measure_sample_exit,
    threshold_text,
)
from bntt.analysis.exit.early_exit import CRITERIA
from bntt.analysis.measurement import ArgumentError, Facts, Progress
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests.trained import opened_run

FACTS = Facts("vgg9", "bntt", "poisson", 25, False, 5, True)


@pytest.fixture(scope="module")
def run():
    found = opened_run()
    found.__dict__["data"] = dataclasses.replace(
        found.data,
        test=found.data.test.select(torch.arange(30)),
        validation=found.data.validation.select(torch.arange(40)),
    )
    return found


def test_what_is_chosen_is_chosen_on_validation(run):
    progress = Progress()
    found = measure_exit(run, ExitArguments(loss=20, draws=2), progress)
    images = len(run.data.validation)
    assert (found.validation_images, found.test_images, found.draws) == (images, 30, 2)
    assert progress.done == progress.total == 2 * (images + 30)
    over_time = evaluate(run.model, run.loader("validation"), seed=run.seed, draws=2).accuracy.over_time
    assert [row.validation_accuracy for row in found.grid] == list(over_time)
    profile = gamma_profile(run.model.network)
    for stop in (found.chosen, found.truncation):
        assert stop.validation_accuracy == over_time[stop.steps - 1] >= over_time[-1] - 0.2
    assert exit_step(profile, found.chosen.threshold) == found.steps == found.chosen.steps
    assert exit_step(profile, float(threshold_text(found.threshold))) == found.steps
    assert found.paper_threshold.steps == exit_step(profile, 0.1)
    reported = evaluate(run.model, run.loader("test"), seed=run.seed, draws=2).accuracy.over_time
    assert [row.test_accuracy for row in found.grid] == list(reported)
    assert found.chosen.test_lost == reported[-1] - reported[found.steps - 1]


def test_a_stated_threshold_is_taken(run):
    found = measure_exit(run, ExitArguments(threshold=0.0, split="validation"), Progress())
    assert (found.chosen_on, found.steps) == ("stated", 3)
    assert not any("test" in key for key in found.to_json() | found.to_json()["chosen"])
    with pytest.warns(UserWarning, match="50"):
        assert measure_exit(run, ExitArguments(threshold=50.0), Progress()).steps == 1


def test_a_loss_that_no_threshold_keeps(run, monkeypatch):
    def refuse(*args):
        raise LossBudgetError("no threshold loses")

    monkeypatch.setattr(early_exit, "choose_exit", refuse)
    with pytest.raises(LossBudgetError):
        measure_exit(run, ExitArguments(split="validation"), Progress())
    stated = measure_exit(run, ExitArguments(split="validation", threshold=0.1), Progress())
    assert set(stated.by_reading.values()) == {None}


def test_a_run_without_a_gamma_for_each_step_measures_nothing(run):
    progress = Progress(lambda done, total: pytest.fail("it measured"))
    for options in ({"norm": "bn"}, {"fire": "before", "num_steps": 1}):
        net = mlp(in_features=784, **options)
        other = dataclasses.replace(run, model=SpikingClassifier(PoissonEncoder(net.num_steps), net))
        with pytest.raises(ArgumentError, match="--per-sample"):
            measure_exit(other, ExitArguments(), progress)


def test_a_run_by_every_criterion(run):
    progress = Progress()
    asked = ExitArguments(loss=10, split="validation", draws=1, per_sample=True)
    found = measure_sample_exit(run, asked, progress)
    images = len(run.data.validation)
    assert progress.done == progress.total == (1 + 2 + 2 * len(CRITERIA)) * images
    assert tuple(row.criterion for row in found.criteria) == CRITERIA
    for row in found.criteria:
        assert 0 <= row.validation_lost <= 0.1 + 1e-9
        assert row.validation_accuracy == pytest.approx(found.whole_accuracy - row.validation_lost)
        assert min(row.seconds, row.spikes_per_image) > 0
        assert 0 < row.additions_per_image <= found.whole_additions_per_image
        leave = found.leave_after_step[row.criterion]
        assert sum(leave) == pytest.approx(1)
        assert sum(t * share for t, share in enumerate(leave, 1)) == pytest.approx(row.mean_steps)
    assert not any("test" in key for key in found.rows()[0])


def test_files_are_those_of_one_choice_or_of_each_sample():
    assert EXIT.stem(ExitArguments(split="validation")) == "exit"
    assert EXIT.stem(ExitArguments(per_sample=True)) == "exit-per-sample"
    assert EXIT.record_in("exit") is EXIT.record_in("exit-validation") is ExitResult
    assert EXIT.record_in("exit-per-sample").__name__ == "SampleExitResult"


def test_a_norm_without_a_gamma_for_each_step_is_refused_but_for_each_sample_by_itself():
    alike, each = ExitArguments(), ExitArguments(per_sample=True)
    assert {EXIT.refusal(dataclasses.replace(FACTS, norm=norm), alike) for norm in ("bntt", "bntt-beta", "tab")} == {""}
    assert "--per-sample needs no γ either" in EXIT.refusal(dataclasses.replace(FACTS, norm="bn"), alike)
    assert EXIT.refusal(dataclasses.replace(FACTS, norm="bn"), each) == ""
    assert "no spikes" in EXIT.refusal(dataclasses.replace(FACTS, is_ann=True), each)
