"""Any measurement on any run."""

import dataclasses

import pytest
import torch

from bntt.analysis.drift import DRIFT, DriftArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.runs.measure import get_measurement, measure, run_measurement
from bntt.runs.open_run import load_run
from tests.rows import each_row
from tests.runs.tiny import opened_run
from tests.trained import copied_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


@each_row("runs", [0, 2])
def test_one_run_is_measured_at_a_time(runs, run):
    with pytest.raises(ArgumentError, match="name one run, got"):
        run_measurement(DRIFT, [run] * runs, DriftArguments(), Progress())


def test_several_are_asked_for_where_several_are_compared():
    several = dataclasses.replace(DRIFT, several=True)
    with pytest.raises(ArgumentError, match="or several to be compared"):
        run_measurement(several, [], DriftArguments(), Progress())


def test_what_was_kept_is_not_reported_as_work():
    """The time left is by the pace of what is done."""
    told = []
    progress = Progress(lambda done, total: told.append((done, total)))
    progress.expect(100)
    progress.skip(90)
    progress(5)
    assert told == [(0, 10), (5, 10)]
    assert (progress.done, progress.total) == (95, 100)


def test_a_run_without_such_numbers_is_refused(tmp_path):
    layer = opened_run(tmp_path, norm="layer")
    with pytest.raises(ArgumentError, match=r"its norm holds no statistics: drift has nothing"):
        measure("drift", layer)


def test_flags_are_checked_by_their_declaration(run):
    for arguments, message in (
        ({"images": 0}, "--images must be 1 or more, got 0"),
        ({"image": 3}, "there is no --image"),
        ({"split": "all"}, "--split: .*got 'all'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            measure("drift", run, **arguments)
    with pytest.raises(ArgumentError, match="no measurement 'drifts'"):
        get_measurement("drifts")


def test_a_model_that_was_changed_is_not_the_runs(tmp_path):
    opened = load_run(copied_run(tmp_path).path)
    assert measure("drift", opened, images=50, folder=str(tmp_path / "out")).images == 50
    with torch.no_grad():
        next(opened.model.parameters()).mul_(0.5)
    with pytest.raises(ArgumentError, match="its model was changed after load_run, and what is saved here counts as"):
        measure("drift", opened, images=50, folder=tmp_path / "out")
    hooked = load_run(opened.path)
    hooked.model.network.blocks["conv1"].lif.register_forward_hook(lambda lif, args, out: (0 * out[0], out[1]))
    with pytest.raises(ArgumentError, match="its model was changed after load_run"):
        measure("drift", hooked, images=50, folder=tmp_path / "out")
