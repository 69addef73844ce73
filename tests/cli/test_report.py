"""What measuring verbs share: a run with its data, and one way to tell."""

import json

import pytest

from bntt.cli import report
from bntt.experiments.recipe import RecipeError
from tests.experiments.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return trained(of, build(of), tmp_path_factory.mktemp("runs"))[0]


def build(of):
    data = parts(of)
    assert len(data.test) == 60
    return data


def test_an_untrained_network_is_told(run, monkeypatch, capsys):
    loaded = report.opened(run.path, "cpu")
    assert not capsys.readouterr().err
    assert len(loaded.images("validation")) < len(loaded.images("test"))
    monkeypatch.setattr("bntt.analysis.looks_untrained", lambda network: True)
    assert report.opened(run.path, "cpu").epoch == 0
    assert "hardly been trained" in capsys.readouterr().err


def test_numbers_are_told_one_way(capsys):
    values, rows = {"steps": 3}, [{"steps": 3, "share": 0.5}]
    assert report.told(values, rows)
    assert not capsys.readouterr().out
    assert not report.told(values, rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == values
    assert not report.told(values, rows, as_csv=True)
    assert capsys.readouterr().out == "steps,share\n3,0.5\n"
    with pytest.raises(RecipeError, match="choose one"):
        report.told(values, rows, as_json=True, as_csv=True)
