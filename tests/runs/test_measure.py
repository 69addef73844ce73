"""Any measurement on any run."""

import dataclasses

import pytest
import torch

from bntt.analysis.drift import DRIFT, DriftArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.runs.measure import get_measurement, measure, run_measurement
from bntt.runs.open_run import load_run
from tests.runs.tiny import opened_run
from tests.trained import copied_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def test_what_cannot_be_measured_is_refused(run, tmp_path):
    for number in (0, 2):
        with pytest.raises(ArgumentError, match="drift: name one run"):
            run_measurement(DRIFT, [run] * number, DriftArguments(), Progress())
    with pytest.raises(ArgumentError, match="several"):
        run_measurement(dataclasses.replace(DRIFT, several=True), [], DriftArguments(), Progress())
    with pytest.raises(ArgumentError, match="drift"):
        measure("drift", opened_run(tmp_path, norm="layer"))
    for named, arguments in (("--images", {"images": 0}), ("--image", {"image": 3}), ("--split", {"split": "all"})):
        with pytest.raises(ArgumentError, match=rf"{named}\b"):
            measure("drift", run, **arguments)
    with pytest.raises(ArgumentError, match="'drifts'"):
        get_measurement("drifts")


def test_what_was_kept_is_not_reported_as_work():
    """The time left is by the pace of what is done."""
    told = []
    progress = Progress(lambda done, total: told.append((done, total)))
    progress.expect(100)
    progress.skip(90)
    progress(5)
    assert told == [(0, 10), (5, 10)]
    assert (progress.done, progress.total) == (95, 100)


def test_a_model_that_was_changed_is_not_the_runs(tmp_path):
    opened = load_run(copied_run(tmp_path).path)
    assert measure("drift", opened, images=50, folder=str(tmp_path / "out")).images == 50
    with torch.no_grad():
        next(opened.model.parameters()).mul_(0.5)
    with pytest.raises(ArgumentError, match="model was changed"):
        measure("drift", opened, images=50, folder=tmp_path / "out")
    hooked = load_run(opened.path)
    hooked.model.network.blocks["conv1"].lif.register_forward_hook(lambda lif, args, out: (0 * out[0], out[1]))
    with pytest.raises(ArgumentError, match="model was changed"):
        measure("drift", hooked, images=50, folder=tmp_path / "out")
