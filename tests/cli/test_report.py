"""What measuring verbs share: a run with its data, and one way to tell."""

import json

import pytest

from bntt.cli import main as cli
from bntt.cli import report
from bntt.experiments.recipe import RecipeError
from tests.experiments.measured import small_run
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


def test_two_forms_are_refused_before_anything_is_opened(tmp_path):
    with pytest.raises(RecipeError, match="choose one"):
        report.opened(tmp_path / "none", "cpu", as_json=True, as_csv=True)


@pytest.fixture(scope="module")
def unheard(tmp_path_factory):
    """Five layers late by a step each, of three steps: no spike reaches the readout."""
    return small_run(tmp_path_factory.mktemp("unheard"), network={"fire": "before"}).path


@pytest.mark.parametrize("verb", ["activity", "drift", "equivalence"])
def test_of_a_network_whose_readout_hears_nothing(unheard, verb, capsys):
    """Numbers that there are none of are dashes, and pictures are drawn."""
    assert cli.main([verb, str(unheard)]) == 0
    said = capsys.readouterr().out
    assert "nan" not in said
    assert (" - " in said) == (verb != "drift"), "what enters a layer is there, whoever hears it"
    assert (unheard / f"{verb}.png").is_file()


def test_no_exit_where_no_gamma_is_heard(unheard, capsys):
    assert cli.main(["exit", str(unheard), "--threshold", "0.1"]) == 2
    assert "network.num_steps" in capsys.readouterr().err
    assert not (unheard / "exit.json").exists()
