"""The drill: a measurement in one folder of the tests is a verb, file, picture, section, metric, study and function."""

import json

import pytest

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS, register
from bntt.analysis.result import Result, at_path
from bntt.cli import main as cli
from bntt.runs.measure import measure
from bntt.studies.measures import metric_of
from bntt.studies.plan import plan_study
from bntt.studies.report import sections_of
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import StartResult
from tests.analysis.drill.measurement import DRILL
from tests.runs.tiny import opened_run

ASKING = {
    "title": "t",
    "about": "a",
    "settings": {"small": {"recipe": "demo", "seeds": [0]}},
    "measures": {"mine": {"kind": "drill", "power": 2}},
    "runs": [{"name": "a", "measures": ["mine"]}],
    "table": [{"key": "largest", "metric": "drill", "measure": "mine"}],
}
"""A study of it."""


@pytest.fixture
def drill(monkeypatch):
    monkeypatch.setitem(MEASUREMENTS, DRILL.name, DRILL)
    return DRILL


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def test_it_is_a_verb_with_its_flags(drill, run, capsys):
    assert cli.main(["drill", str(run.path), "--power", "2"]) == 0
    out = capsys.readouterr().out
    assert "largest weights" in out
    assert "written: " in out
    assert cli.main(["drill", str(run.path), "--power", "0"]) == 2
    assert "--power must be 1 or more, got 0" in capsys.readouterr().err
    assert cli.main(["drill", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arguments"] == {"power": 1, "split": "test"}
    assert cli.main(["drill", str(run.path), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("layer,largest\n")


def test_it_leaves_a_file_and_a_picture(drill, run):
    found = measure("drill", run, power=3, split="validation")
    assert json.loads((run.path / "drill-validation.json").read_text()) == found.to_json()
    assert (run.path / "drill-validation.png").stat().st_size > 1000


def test_it_is_a_function_and_its_numbers_have_paths(drill, run):
    found = measure("drill", run, power=2)
    named = found.metrics()["drill"].read(found, None)
    assert at_path(found.to_json(), "largest.conv1") == found.largest["conv1"] == named


def test_a_study_may_ask_for_it_and_a_report_shows_it(drill, run):
    (only,) = plan_study(parse_study(ASKING, "mine"), "small")
    measure("drill", run, power=2)
    kept = json.loads((run.path / "drill.json").read_text())
    found = StartResult(only.starts[0], "done", numbers={"mine": kept})
    assert found.record("mine").largest == kept["largest"]
    assert metric_of("drill")[1].read(found.record("mine"), None) == kept["largest"]["conv1"]
    assert "Drill" in [section.title for section in sections_of(run.path)]


def test_names_are_taken_once():
    with pytest.raises(ValueError, match="there is a measurement 'drift' already"):
        register(MEASUREMENTS["drift"].__class__("drift", "", object, Result, object))
    with pytest.raises(ArgumentError, match="no measurement 'dirft': choose one of"):
        measure("dirft", "nowhere")
