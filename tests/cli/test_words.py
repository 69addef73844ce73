"""Words on the screen: what a person is told, and what to do next."""

from __future__ import annotations

import re
import shlex

import pytest

import bntt
from bntt.analysis.measurement import ArgumentError
from bntt.cli.main import main
from bntt.io.checkpoint import CheckpointError
from bntt.runs.identity import check_same_recipe
from bntt.runs.measure import measure
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import load_recipe
from tests.trained import copied_demo


@pytest.fixture
def run(tmp_path):
    copied_demo(tmp_path)
    return tmp_path / "demo"


def test_a_run_is_no_recipe_and_both_ways_on_are_named(run, capsys):
    assert main(["train", str(run)]) == 2
    said = capsys.readouterr().err
    assert f"{run} is a run: bntt train {run} --resume resumes it" in said
    assert f"bntt train {run}/recipe.toml --name NAME" in said


def test_notes_are_of_the_recipes_own_data():
    assert "CIFAR-10" in load_recipe("cifar10-small", ["train.lr=0.1"]).notes
    for override in ("data.name=synthetic", "data.root=elsewhere"):
        assert load_recipe("cifar10-small", [override]).notes == "The recipe cifar10-small on other data."
    assert load_recipe("cifar10-small", ["data.name=synthetic", "notes=mine"]).notes == "mine"


def test_the_advice_of_a_refused_resume_begins_what_was_asked(run):
    overrides = ["network.norm=bn", "train.lr_drops=[10]", "seed=3"]
    asked = load_recipe(run / "recipe.toml", overrides)
    kept = {"recipe": (run / "recipe.toml").read_text(encoding="utf-8")}
    with pytest.raises(CheckpointError) as refused:
        check_same_recipe(asked, kept, run / "checkpoints" / "best.safetensors", ())
    flags = shlex.split(str(refused.value).partition("--name NAME ")[2])
    again = load_recipe(run / "recipe.toml", [flag for flag in flags if flag != "-s"])
    assert again == asked


def test_an_evaluation_of_fewer_draws_says_what_it_replaces(run, capsys):
    assert main(["evaluate", str(run), "--draws", "2", "--images", "50"]) == 0
    assert "replaces" not in capsys.readouterr().err
    assert main(["evaluate", str(run), "--draws", "1", "--images", "50", "--format", "svg", "--csv"]) == 0
    assert re.search(
        r"note: replaces .*evaluation-50-images.json \(it was measured with draws = 2\)\n", capsys.readouterr().err
    )
    assert (run / "evaluation-50-images.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_predict_prints_rows(tmp_path, capsys):
    from PIL import Image

    Image.new("L", (28, 28), 90).save(tmp_path / "grey.png")
    assert main(["predict", str(tmp_path / "grey.png"), "--csv"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("file,step,confidence T-shirt/top,")
    assert [row.split(",")[1] for row in rows] == [str(step) for step in range(1, len(rows) + 1)]
    assert main(["predict", str(tmp_path / "grey.png"), "--csv", "--json"]) == 2


def test_a_keyword_that_does_not_exist_names_the_nearest(run):
    for call, near in (
        (lambda: bntt.models.vgg9(num_classes=10, num_step=3), "num_steps"),
        (lambda: bntt.models.mlp(in_features=4, num_steps=3, nuron="lif"), "neuron"),
    ):
        with pytest.raises(TypeError, match=f"did you mean '{near}'"):
            call()
    with pytest.raises(ArgumentError, match="there is no --imags: did you mean --images"):
        measure("drift", load_run(run), imags=3)
