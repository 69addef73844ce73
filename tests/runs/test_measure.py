"""Any measurement on any run, its results as files, and those that they replace."""

import dataclasses
import json
import shutil

import pytest
import torch

from bntt.analysis.activity import ACTIVITY, ActivityArguments, ActivityResult
from bntt.analysis.drift import DRIFT, DriftArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import result_from
from bntt.io.files import write_json
from bntt.runs.measure import describe_replaced, get_measurement, measure, run_measurement, save_result
from bntt.runs.open_run import load_run
from tests.analysis.activity.test_result import VALUES
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


def replaced(measurement, arguments, folder, opened=()):
    """What the result that lies there was measured with that is other now."""
    return describe_replaced(measurement, arguments, folder, opened).partition("measured with ")[2][:-1]


def test_the_note_on_what_is_replaced_names_what_differs(run, tmp_path):
    """The same arguments are no news, tuples among them, which JSON reads as lists; nor is a flag that is no more."""
    robust, file, drift = MEASUREMENTS["robust"], run.path / "drift.json", DriftArguments()
    kept = {"sigmas": [0.1, 0.2], "draws": None, "unclipped": True, "gone": 1}
    write_json(run.path / "robust.json", {"arguments": kept})
    same, other = robust.arguments((0.1, 0.2), unclipped=True), robust.arguments((0.3,), draws=2)
    assert replaced(robust, same, run.path) == replaced(robust, other, tmp_path) == ""
    assert replaced(robust, other, run.path) == "sigmas = [0.1, 0.2], draws = None, unclipped = True"
    for measured_on, said in (({run.path.name: "06"}, True), ({"one": "06", "two": "07"}, True), (None, False)):
        write_json(file, {"arguments": dataclasses.asdict(drift), "measured_on": measured_on})
        assert replaced(DRIFT, drift, run.path, [run]) == "other runs or weights" * said


def test_pictures_lie_beside_the_file_which_tells_two_runs_of_one_name(run, tmp_path):
    found = result_from(ActivityResult, VALUES)
    other = dataclasses.replace(run, path=shutil.copytree(run.path, tmp_path / run.path.name))
    asked = ActivityArguments(split="validation")
    written = save_result(ACTIVITY, found, asked, tmp_path / "new", opened=[run, other])
    ends = [path.name.removeprefix("activity-validation") for path in written]
    assert ends == [".json", ".png", "-gamma.png"]
    assert json.loads(written[0].read_text())["measured_on"].keys() == {str(run.path), str(other.path)}


def test_numbers_of_overridden_options_go_to_a_folder_of_their_own_and_say_so(run, tmp_path):
    plain = dataclasses.replace(run, measured_with={"compute.backend": "reference"})
    for folder in (None, shutil.copytree(run.path, tmp_path / "copy")):
        with pytest.raises(ArgumentError, match=r"-s compute\.backend=reference"):
            measure("drift", plain, images=50, folder=folder)
    there = tmp_path / "there"
    measure("drift", plain, images=50, folder=there)
    told = json.loads((there / "drift.json").read_text())
    assert told["measured_with"] == {run.path.name: {"compute.backend": "reference"}}
    asked = DriftArguments(images=50)
    assert replaced(DRIFT, asked, there, [plain]) == ""
    assert replaced(DRIFT, asked, there, [run]) == "other values of -s"
    measure("drift", run, images=50, folder=there)
    assert "measured_with" not in json.loads((there / "drift.json").read_text())
    assert replaced(DRIFT, asked, there, [plain]) == "other values of -s"
