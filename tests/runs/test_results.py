"""Results as files, those that they replace, and numbers that are not those of the run's own recipe."""

import dataclasses
import json
import shutil

import pytest

from bntt.analysis.activity import ACTIVITY, ActivityArguments, ActivityResult
from bntt.analysis.drift import DRIFT, DriftArguments
from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import result_from
from bntt.io.files import write_json
from bntt.runs.measure import describe_replaced, measure, save_result
from tests.analysis.activity.test_result import VALUES
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def replaced(measurement, arguments, folder, opened=()):
    """What the result that lies there was measured with that is other now."""
    return describe_replaced(measurement, arguments, folder, opened).partition("measured with ")[2][:-1]


def test_the_note_on_what_is_replaced_names_the_flags_that_differ(run, tmp_path):
    """The same arguments are no news, tuples among them, which JSON reads as lists; nor is a flag that is no more."""
    robust = MEASUREMENTS["robust"]
    kept = {"sigmas": [0.1, 0.2], "draws": None, "unclipped": True, "gone": 1}
    write_json(run.path / "robust.json", {"arguments": kept})
    same, other = robust.arguments((0.1, 0.2), unclipped=True), robust.arguments((0.3,), draws=2)
    assert replaced(robust, same, run.path) == ""
    assert replaced(robust, other, run.path) == "sigmas = [0.1, 0.2], draws = None, unclipped = True"
    assert replaced(robust, other, tmp_path) == ""


def test_results_of_other_weights_of_a_run_of_that_name_are_told_and_without_a_name_unknown(run):
    file, same = run.path / "drift.json", DriftArguments()
    for measured_on, said in (({run.path.name: "06"}, True), ({"one": "06", "two": "07"}, True), (None, False)):
        write_json(file, {"arguments": dataclasses.asdict(same), "measured_on": measured_on})
        assert replaced(DRIFT, same, run.path, [run]) == "other runs or weights" * said


def test_pictures_lie_beside_the_file(tmp_path):
    found = result_from(ActivityResult, VALUES)
    written = save_result(ACTIVITY, found, ActivityArguments(split="validation"), tmp_path / "new")
    assert [path.name.removeprefix("activity-validation") for path in written] == [
        ".json", ".png", "-gamma.png",
    ]  # fmt: skip


def test_two_runs_of_one_name_are_both_told_by_a_result_written_elsewhere(run, tmp_path):
    other = dataclasses.replace(run, path=shutil.copytree(run.path, tmp_path / run.path.name))
    found = result_from(ActivityResult, VALUES)
    written, *_ = save_result(ACTIVITY, found, ActivityArguments(), tmp_path / "there", opened=[run, other])
    assert json.loads(written.read_text())["measured_on"].keys() == {str(run.path), str(other.path)}


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
