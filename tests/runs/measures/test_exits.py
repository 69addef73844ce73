"""An exit is chosen on validation, kept with its run, and refused where it belongs to something else."""

import dataclasses
import json

import pytest
import torch

from bntt.analysis import NoGammaError, exit_step
from bntt.runs.directory import RunDirectory
from bntt.runs.measures.exits import Asked, exit_json, exit_rows, exit_run, kept_exit, threshold_told
from bntt.runs.open_run import load_run
from bntt.io.checkpoint import CheckpointError
from tests.runs.measured import copy_of, small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def loaded(run):
    found = load_run(run.path)
    data = found.data
    smaller = dataclasses.replace(data, test=data.test.select(torch.arange(40)))
    found.__dict__["data"] = smaller  # a cached property
    return found


def test_what_is_chosen_is_chosen_on_validation(loaded):
    result = exit_run(loaded, Asked(loss=0.2, draws=2))
    validation = result.validation.over_time
    assert result.validation.samples == len(loaded.data.validation)
    assert result.reported.samples == 40
    assert validation[result.chosen.steps - 1] >= validation[-1] - 0.2
    assert result.chosen.accuracy == validation[result.chosen.steps - 1]
    assert exit_step(result.profile, result.chosen.threshold) == result.chosen.steps
    assert validation[result.truncation.steps - 1] >= validation[-1] - 0.2
    assert result.paper.steps == exit_step(result.profile, 0.1)


def test_a_stated_threshold_is_taken(loaded):
    result = exit_run(loaded, Asked(split="validation"), threshold=0.0)
    assert result.stated
    assert result.chosen.steps == 3
    with pytest.warns(UserWarning, match="no mean γ reaches"):
        assert exit_run(loaded, Asked(), threshold=50.0).chosen.steps == 1


def test_the_numbers_with_their_names(loaded):
    result = exit_run(loaded, Asked(draws=2))
    values = json.loads(json.dumps(exit_json(result, loaded), allow_nan=False))
    rows = exit_rows(result)
    assert [row["steps"] for row in rows] == [1, 2, 3]
    assert rows[2]["test_accuracy"] == result.reported.mean
    assert values["grid"] == json.loads(json.dumps(rows))
    assert values["chosen"]["test_lost"] == result.reported.mean - result.reported.over_time[values["steps"] - 1]


@pytest.fixture
def kept(run, loaded, tmp_path):
    found = RunDirectory(copy_of(run, tmp_path))
    found.keep("exit", exit_json(exit_run(loaded, Asked()), loaded))
    return found


def test_what_is_kept_says_where_to_stop(kept, loaded):
    assert kept_exit(kept, 3) == exit_run(loaded, Asked()).chosen.steps


def test_an_exit_of_other_weights_or_other_data(kept):
    path = kept.path / "exit.json"
    values = json.loads(path.read_text())
    for key, what in (("weights_sha256", "weights"), ("data_sha256", "data")):
        path.write_text(json.dumps({**values, key: "0"}))
        with pytest.raises(CheckpointError, match=f"was chosen for other {what}"):
            kept_exit(kept, 3)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"steps": 0}', '{"steps": 4, "num_steps": 9, "weights_sha256": "", "data_sha256": ""}', "\xff"],
)
def test_a_damaged_exit(kept, text):
    (kept.path / "exit.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match="cannot be used"):
        kept_exit(kept, 3)


def test_no_exit_was_chosen(run):
    with pytest.raises(CheckpointError, match="keeps no exit"):
        kept_exit(run, 3)


def test_a_run_without_a_gamma_for_each_step_measures_nothing(tmp_path):
    found = load_run(small_run(tmp_path, network={"norm": "bn"}).path)
    with pytest.raises(NoGammaError):
        exit_run(found, Asked(), progress=lambda images: pytest.fail("it measured"))


@pytest.mark.parametrize("threshold", [0.50651639, 0.999999, 0.1, 1.2345678e-5, 3.0])
def test_a_threshold_as_it_is_told_stops_no_earlier(threshold):
    told = float(threshold_told(threshold))
    assert 0.999 * threshold < told <= threshold
    assert threshold_told(threshold, stated=True) == f"{threshold:g}"


def test_too_few_steps_for_any_gamma_to_be_heard(tmp_path):
    found = load_run(small_run(tmp_path, network={"fire": "before"}).path)
    with pytest.raises(NoGammaError, match="none whose γ has a path"):
        exit_run(found, Asked(), progress=lambda images: pytest.fail("measured"))
