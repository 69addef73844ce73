"""What measuring verbs share: a run with its data, and one way to tell."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from bntt.cli import main as cli
from bntt.cli import opening
from bntt.runs.recipe.file import RecipeError
from tests.runs.measured import small_run
from tests.runs.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return trained(of, build(of), tmp_path_factory.mktemp("runs"))[0]


@pytest.fixture(scope="module")
def ann(tmp_path_factory):
    root = tmp_path_factory.mktemp("ann")
    flags = ["network.width=0.125", "train.epochs=1", "train.batch_size=900", "data.name=fashion-mnist-bundled"]
    options = [part for option in flags for part in ("-s", option)]
    assert cli.main(["train", "fashion-mnist-ann", *options, "--root", str(root)]) == 0
    return root / "fashion-mnist-ann"


def build(of):
    data = parts(of)
    assert len(data.test) == 60
    return data


def test_an_untrained_network_is_told(run, monkeypatch, capsys):
    loaded = opening.opened(run.path, "cpu")
    assert not capsys.readouterr().err
    assert len(loaded.data.validation) < len(loaded.data.test)
    monkeypatch.setattr("bntt.analysis.looks_untrained", lambda network: True)
    assert opening.opened(run.path, "cpu").epoch == 0
    assert "hardly been trained" in capsys.readouterr().err


def test_numbers_are_told_one_way(capsys):
    values, rows = {"steps": 3}, [{"steps": 3, "share": 0.5}]
    assert opening.told(values, rows)
    assert not capsys.readouterr().out
    assert not opening.told(values, rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == values
    assert not opening.told(values, rows, as_csv=True)
    assert capsys.readouterr().out == "steps,share\n3,0.5\n"


def test_two_forms_are_refused_before_anything_is_opened(tmp_path):
    with pytest.raises(RecipeError, match="choose one"):
        opening.opened(tmp_path / "none", "cpu", as_json=True, as_csv=True)


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
    assert bool(re.search(" [-–] ", said)) == (verb != "drift"), "what enters a layer is there, whoever hears it"
    assert (unheard / f"{verb}.png").is_file()


def test_no_exit_where_no_gamma_is_heard(unheard, capsys):
    assert cli.main(["exit", str(unheard), "--threshold", "0.1"]) == 2
    assert "network.num_steps" in capsys.readouterr().err
    assert not (unheard / "exit.json").exists()


@pytest.mark.parametrize("verb", ["exit", "activity", "neuron"])
def test_verbs_of_spikes_refuse_an_ann_in_one_line(ann, verb, capsys):
    assert cli.main([verb, str(ann)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search("an ANN .*one step and no spikes", line)


@pytest.mark.parametrize("flags", [["--exit"], ["--num-steps", "2", "--longer", "hold"]])
def test_an_ann_has_no_other_number_of_steps(ann, flags, capsys):
    assert cli.main(["evaluate", str(ann), *flags]) == 2
    assert "is an ANN: its one step is all there is" in capsys.readouterr().err


def test_other_verbs_take_an_ann(ann, tmp_path, capsys):
    assert cli.main(["evaluate", str(ann), "--split", "validation"]) == 0
    assert "an ANN: nothing in it spikes" in capsys.readouterr().out
    assert cli.main(["energy", str(ann), "--split", "validation"]) == 0
    out = capsys.readouterr().out
    assert "this network is an ANN: its own multiply-accumulates" in out
    assert "neuromorphic" not in out
    kept = json.loads((ann / "energy-validation.json").read_text())
    assert kept["is_ann"]
    assert kept["neurobench"]["1"]["activation_sparsity"] is None
    assert {layer["input"] for layer in kept["layers"]} == {"analog"}
    assert (ann / "energy-validation.png").exists()
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(picture)
    assert cli.main(["predict", str(picture), "--run", str(ann)]) == 0


def test_a_conversion_is_a_run_to_every_verb(ann, tmp_path, capsys):
    flags = [f"convert.ann={ann}", "network.num_steps=30", "network.width=0.125", "evaluate.images=50"]
    flags += ["convert.images=50", "convert.steps=30", "convert.grid_images=20", "convert.grid=[0.5, 1.0]"]
    options = [part for option in (*flags, "data.name=fashion-mnist-bundled") for part in ("-s", option)]
    assert cli.main(["train", "fashion-mnist-conversion", *options, "--root", str(tmp_path), "--name", "made"]) == 0
    out, run = capsys.readouterr().out, tmp_path / "made"
    assert "from the ANN" in out
    assert "not trained" in out
    assert "layer fc1: the largest weighted input is" in out
    assert "50 of the 1,000 images" in out
    assert "before that, the ANN: 5 updates" in out
    kept = json.loads((run / "evaluation.json").read_text())
    assert (kept["images"], kept["images_of"], kept["steps"], kept["updates"]) == (50, 1000, 30, 0)
    assert kept["conversion"]["thresholds"].keys() == {"conv1", "conv2", "conv3", "conv4", "fc1"}
    assert cli.main(["evaluate", str(run), "--images", "20"]) == 0
    assert json.loads((run / "evaluation-20-images.json").read_text())["images"] == 20
    assert json.loads((run / "evaluation.json").read_text()) == kept
    assert cli.main(["evaluate", str(run), "--images", "0"]) == 2
    assert cli.main(["evaluate", str(run), "--images", "1001"]) == 2
    assert "1,001 of the 1,000 test images" in capsys.readouterr().err
    for verb in ("activity", "energy"):
        assert cli.main([verb, str(run)]) == 0
    assert cli.main(["exit", str(run)]) == 2
    assert "no layer has a γ" in capsys.readouterr().err


def test_a_missing_ann_leaves_no_run_directory(tmp_path, capsys):
    options = ["-s", f"convert.ann={tmp_path}/none", "-s", "data.name=fashion-mnist-bundled"]
    assert cli.main(["train", "fashion-mnist-hybrid", *options, "--root", str(tmp_path / "runs")]) == 2
    assert "is not a run directory: train the ANN first" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
