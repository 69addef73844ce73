"""A run at another number of steps: each way against what it says, and what is kept and refused."""

import dataclasses
import json

import pytest
import torch
from bntt.runs.measures.evaluate import as_json, evaluate_run, write_result
from bntt.runs.measures.retiming import Retiming, retimed, retiming_of

from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.io.checkpoint import read_checkpoint
from bntt.nn import SpikingClassifier, retime
from bntt.runs.recipe.build import build_encoder, build_model, training_loader
from bntt.runs.recipe.file import RecipeError, parse_recipe
from bntt.runs.training.ann_thresholds import load_best
from bntt.training import recalibrate
from tests.runs import tiny
from tests.runs.recipe.test_schema import changed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    recipe = tiny.recipe()
    data = tiny.parts(recipe)
    run, _ = tiny.trained(recipe, data, tmp_path_factory.mktemp("runs"))
    return recipe, data, run


def measured(model, recipe, data, steps=None):
    return evaluate(model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2, steps=steps).accuracy


def best(trained):
    recipe, data, run = trained
    model = build_model(recipe, data)
    load_best(run, recipe, model, needs=())
    return model


def test_truncated_is_stopping_on_purpose(trained):
    recipe, data, run = trained
    result = evaluate_run(recipe, data, run, steps=retiming_of(recipe, 2, None))
    assert result.evaluation.accuracy == measured(best(trained), recipe, data, 2)
    assert (result.stopped, result.retiming.how, result.stem) == (False, "truncate", "evaluation-2-steps-truncate")


@pytest.mark.parametrize("how", ["hold", "interpolate", "re-estimate"])
def test_longer_is_the_network_of_its_name(trained, how):
    recipe, data, run = trained
    result = evaluate_run(recipe, data, run, steps=retiming_of(recipe, 7, how))
    network = retime(best(trained).network, 7, "interpolate" if how == "interpolate" else "hold")
    model, seen = SpikingClassifier(build_encoder(recipe, data, 7), network), 0
    if how == "re-estimate":
        seen = recalibrate(model, training_loader(recipe, data), seed=recipe.seed, draw=recipe.train.epochs)
        assert seen == 60
    assert result.evaluation.accuracy == measured(model.eval(), recipe, data)
    assert result.retiming == Retiming(3, 7, how, seen)
    assert torch.equal(result.gamma.magnitude["conv1"], network.blocks["conv1"].norm.gamma.abs().mean(1).double())
    told = as_json(result)
    assert told["steps"] == 7
    assert json.loads(json.dumps(told["retimed"])) == {
        "trained_steps": 3, "steps": 7, "how": how, "samples": seen, "warning": "",
    }  # fmt: skip


def test_its_files_are_its_own_and_the_checkpoint_stays(trained):
    recipe, data, run = trained
    before = read_checkpoint(run.best)
    for split, steps, name in (
        ("test", None, "evaluation"),
        ("test", retiming_of(recipe, 5, "hold"), "evaluation-5-steps-hold"),
        ("validation", retiming_of(recipe, 2, None), "evaluation-validation-2-steps-truncate"),
    ):
        write_result(run, evaluate_run(recipe, data, run, split=split, draws=1, steps=steps))
        kept = json.loads((run.path / f"{name}.json").read_text())
        assert ("retimed" in kept) == (steps is not None)
    after = read_checkpoint(run.best)
    assert all(torch.equal(value, after.tensors[name]) for name, value in before.tensors.items())


def test_a_last_gamma_near_zero_is_told(trained):
    recipe, data, _ = trained
    model = best(trained)
    with torch.no_grad():
        model.network.blocks["fc1"].norm.gamma[-1] = 0.01
    for how, near in (("hold", True), ("re-estimate", True), ("interpolate", False)):
        _, done = retimed(model, recipe, data, retiming_of(recipe, 5, how), "cpu")
        assert ("near 0, 0.01 in fc1: these steps are all but silent" in done.warning) == near


@pytest.mark.parametrize(
    ("steps", "longer", "message"),
    [
        (3, None, "--num-steps 3: another number than the 3 of its training"),
        (0, None, "--num-steps 0: .* 1 or more"),
        (2, "hold", "--longer hold adds steps, --num-steps 2 is fewer than 3: leave it away"),
        (5, None, "more than the 3 .* --longer hold, or --longer interpolate, or --longer re-estimate"),
    ],
)
def test_what_is_not_said_or_cannot_be(trained, steps, longer, message):
    with pytest.raises(RecipeError, match=message):
        retiming_of(trained[0], steps, longer)


def test_sequences_have_no_more_steps():
    rows = changed(data={"order": "rows"}, encoder={"name": "sequence"}, network={"name": "mlp", "num_steps": 28})
    assert retiming_of(parse_recipe(rows), 14, None).how == "truncate"
    with pytest.raises(RecipeError, match=r"--num-steps 30: the sequences have 28 steps \(data.order\), and no more"):
        retiming_of(parse_recipe(rows), 30, "hold")


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_without_statistics_there_is_nothing_to_take_anew(norm):
    recipe = tiny.recipe(network={"norm": norm})
    data = tiny.parts(recipe)
    model = build_model(recipe, data)
    assert retimed(model, recipe, data, retiming_of(recipe, 6, "hold"), "cpu")[0].encoder.num_steps == 6
    with pytest.raises(RecipeError, match=r"--longer re-estimate: network.norm = .* has no statistics"):
        retimed(model, recipe, data, retiming_of(recipe, 6, "re-estimate"), "cpu")


def test_a_line_says_what_was_done():
    done = Retiming(8, 11, "re-estimate", 900)
    assert done.text == "trained with 8 steps, measured with 11: re-estimate from 900 training samples"
    assert dataclasses.replace(done, how="hold", samples=0).text == "trained with 8 steps, measured with 11: hold"


@pytest.mark.parametrize("longer", [None, "hold", "interpolate", "re-estimate"])
def test_recordings_have_no_more_frames(longer):
    recipe = parse_recipe(changed(data={"name": "n-mnist"}, encoder={"name": "frames"}, network={"num_steps": 4}))
    assert retiming_of(recipe, 2, None).how == "truncate"
    with pytest.raises(RecipeError, match=r"--num-steps 6: each recording is 4 frames \(network.num_steps\), no more"):
        retiming_of(recipe, 6, longer)
