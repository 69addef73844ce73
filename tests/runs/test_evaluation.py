"""A trained run is measured on every image, as what it was trained with; and at another number of steps."""

import copy
import dataclasses
import json
import shutil

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.accuracy import EvaluateArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import SampleLoader, stratified
from bntt.data.prepared import Manifest
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_json_lines
from bntt.nn import SpikingClassifier, retime
from bntt.runs.directory import RunDirectory, load_best
from bntt.runs.evaluation import _gamma_floor, evaluate_run, recalibrated, retimed, retiming_of
from bntt.runs.identity import weights_hash
from bntt.runs.measure import measure
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_encoder, build_model, training_loader
from bntt.runs.recipe.file import parse_recipe
from bntt.training import recalibrate
from bntt.training.schedule import Rates, floor_of_decay
from tests.rows import each_row
from tests.runs import tiny
from tests.runs.recipe.test_schema import changed


def test_the_evaluation_counts_every_test_image(run):
    recipe, data, folder, _ = run
    progress = Progress()
    result = evaluate_run(recipe, data, folder, progress=progress)
    assert progress.done == progress.total == 2 * 60
    assert not list(folder.path.glob("evaluation*")), "measuring writes nothing"
    assert (result.images, result.draws, result.weights) == (60, 2, "as trained")
    assert result.accuracy == result.accuracy_over_time[-1]
    assert result.gamma_magnitude.keys() == result.firing_rate.keys()
    assert "retimed" not in result.to_json()


def test_every_split_and_a_part_of_one_can_be_measured_as_it_is(run):
    recipe, data, folder, epochs = run
    held_out = evaluate_run(recipe, data, folder, split="validation", draws=1)
    assert held_out.images == len(data.validation)
    assert held_out.accuracy == max(epoch.validation_accuracy for epoch in epochs)
    seen = evaluate_run(recipe, data, folder, split="train", draws=1)
    loaded = load_run(folder.path)
    right = evaluate(loaded.model, SampleLoader(data.train, 250), seed=recipe.seed, draws=1).accuracy.mean
    assert (seen.split, seen.images, seen.accuracy) == ("train", len(data.train), right)
    part = evaluate_run(tiny.edited(recipe, evaluate={"images": 20}), data, folder)
    whole = evaluate(loaded.model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2).right
    places = stratified(data.test, 20, recipe.seed)
    assert part.accuracy_per_draw == pytest.approx(whole[:, places].double().mean(1).tolist()), "of the same noise"
    assert (part.images, part.images_of) == (20, 60)


def test_decay_alone_is_told_beside_gamma(run, tmp_path):
    recipe, data, folder, _ = run
    result = evaluate_run(recipe, data, folder, draws=1)
    assert result.gamma_floor == floor_of_decay(Rates(recipe.train, 3, 3), 3 * (result.epoch + 1)) < 1
    assert result.metrics()["gamma-floor"].read(result, None) == result.gamma_floor
    copy = RunDirectory(shutil.copytree(folder.path, tmp_path / "copy"))
    write_json_lines(copy.metrics, [{**row, "lr": 0.03} for row in copy.rows()])
    assert evaluate_run(recipe, data, copy, draws=1).gamma_floor is None, "epochs were added after it"
    grown = tiny.edited(recipe, train={"grow": ((1, 1),)})
    assert _gamma_floor(grown, {"epoch": 0}, folder.rows()) is None


def test_the_average_is_what_is_tested_and_direct_coding_once(tmp_path):
    recipe = tiny.recipe(train={"epochs": 1, "average": 0.9}, encoder={"name": "direct"})
    data = tiny.parts(recipe)
    folder, (epoch,) = tiny.trained(recipe, data, tmp_path)
    for draws in (None, 1):
        result = evaluate_run(recipe, data, folder, split="validation", draws=draws)
        assert (result.weights, result.accuracy) == ("moving average", epoch.validation_accuracy)
        assert (result.draws, result.is_random) == (1, False)
    with pytest.raises(ArgumentError, match="--draws 3"):
        evaluate_run(recipe, data, folder, draws=3)


def test_a_recipe_that_was_changed_or_other_data_are_not_measured(run):
    """Fault 35: prepared data, and built-in data that a new version changed."""
    recipe, data, folder, _ = run
    with pytest.raises(CheckpointError, match=r"network\.leak is 0\.5"):
        evaluate_run(tiny.edited(recipe, network={"leak": 0.5}), data, folder)
    changes = {"evaluate": {"draws": 1}, "compute": {"backend": "reference"}, "data": {"root": "/elsewhere"}}
    free = dataclasses.replace(tiny.edited(recipe, **changes), notes="measured again")
    assert evaluate_run(free, data, folder, split="validation").draws == 1
    prepared = Manifest("mnist", "/x", "unchecked", {}, [], [], {"train": "1", "test": "2"})
    changed_content = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    for manifest in (prepared, changed_content):
        with pytest.raises(CheckpointError, match="other data"):
            evaluate_run(recipe, dataclasses.replace(data, manifest=manifest), folder)


def best(run):
    recipe, data, folder, _ = run
    model = build_model(recipe, data)
    load_best(folder, recipe, model, needs=())
    return model


@each_row("steps, how", [(2, "truncate"), (7, "hold"), (7, "interpolate"), (7, "re-estimate")])
def test_another_number_of_steps_is_stopping_on_purpose_or_the_network_of_its_name(run, steps, how):
    recipe, data, folder, _ = run
    result = evaluate_run(recipe, data, folder, steps=retiming_of(recipe, steps, None if how == "truncate" else how))
    model, seen = best(run), 0
    if how != "truncate":
        network = retime(model.network, steps, "interpolate" if how == "interpolate" else "hold")
        model = SpikingClassifier(build_encoder(recipe, data, steps), network)
        assert result.gamma_magnitude["conv1"] == network.blocks["conv1"].norm.gamma.abs().mean(1).tolist()
    if how == "re-estimate":
        seen = recalibrate(model, training_loader(recipe, data), seed=recipe.seed, draw=recipe.train.epochs)
        assert seen == 60
    own = evaluate(
        model.eval(), SampleLoader(data.test, 250), seed=recipe.seed, draws=2, steps=min(steps, model.network.num_steps)
    )
    assert result.accuracy_over_time == own.accuracy.over_time
    told = {"samples": 0, "warning": ""} | result.to_json()["retimed"]
    assert told == {"trained_steps": 3, "steps": steps, "how": how, "samples": seen, "warning": ""}


@pytest.mark.slow
def test_its_files_are_its_own_and_the_checkpoint_stays(run, tmp_path):
    folder = shutil.copytree(run[2].path, tmp_path / "copy")
    before = weights_hash(run[2])
    for asked, name in (
        ({}, "evaluation"),
        ({"num_steps": 5, "longer": "hold"}, "evaluation-5-steps-hold"),
        ({"num_steps": 2, "split": "validation"}, "evaluation-validation-2-steps-truncate"),
    ):
        measure("evaluate", folder, draws=1, **asked)
        kept = json.loads((folder / f"{name}.json").read_text())
        assert (folder / f"{name}.png").exists()
        assert ("retimed" in kept) == ("num_steps" in asked)
        assert kept["steps"] == asked.get("num_steps", 3)
    assert weights_hash(RunDirectory(folder)) == before


@each_row("norm", ["bntt", "bn"])
def test_recalibrated_it_is_measured_with_statistics_of_training_batches(norm, run, tmp_path):
    recipe = tiny.edited(run[0], network={"norm": norm}, train={"epochs": 1})
    data = tiny.parts(recipe)
    folder, _ = tiny.trained(recipe, data, tmp_path)
    loaded = load_run(folder.path)
    kept = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    found = loaded.evaluate(EvaluateArguments(recalibrate=True, draws=2), Progress())
    assert all(torch.equal(value, kept[name]) for name, value in loaded.model.state_dict().items())
    model = copy.deepcopy(loaded.model)
    how = {"seed": recipe.seed, "draw": 1, "per_step": True}
    assert found.recalibrated_on == recalibrate(model, training_loader(recipe, loaded.data), batches=40, **how)
    assert len(model.network.blocks["conv1"].norm.running_mean) == recipe.network.num_steps
    own = evaluate(model, SampleLoader(loaded.data.test, 250), seed=recipe.seed, draws=2)
    assert found.accuracy_over_time == own.accuracy.over_time
    assert found.spikes_per_image == own.activity.spikes_per_sample()


def test_a_last_gamma_near_zero_is_told(run):
    recipe, data, *_ = run
    model = best(run)
    with torch.no_grad():
        model.network.blocks["fc1"].norm.gamma[-1] = 0.01
    for how, near in (("hold", True), ("re-estimate", True), ("interpolate", False)):
        _, done = retimed(model, recipe, data, retiming_of(recipe, 5, how), "cpu")
        assert ("0.01 in fc1" in done.warning) == near


ROWS = {"data": {"order": "rows"}, "encoder": {"name": "sequence"}, "network": {"name": "mlp", "num_steps": 28}}
FRAMES = {"data": {"name": "n-mnist"}, "encoder": {"name": "frames"}, "network": {"num_steps": 4}}


@each_row(
    ("tables", "steps", "longer", "named"),
    [
        ({}, 4, None, "--num-steps 4"),
        ({}, 0, None, "--num-steps 0"),
        ({}, 2, "hold", "--longer hold"),
        ({}, 5, None, "--num-steps 5"),
        *((ROWS, 30, longer, "--num-steps 30") for longer in (None, "hold")),  # each sample has its own steps
        *((FRAMES, 6, longer, "--num-steps 6") for longer in (None, "interpolate", "re-estimate")),
    ],
)
def test_what_is_not_said_or_cannot_be(tables, steps, longer, named):
    recipe = parse_recipe(changed(**tables))
    assert retiming_of(recipe, 3, None).how == "truncate"
    with pytest.raises(ArgumentError, match=named):
        retiming_of(recipe, steps, longer)


@each_row("norm", ["none", "layer"])
def test_without_statistics_there_is_nothing_to_take_anew(norm, run):
    recipe, data = tiny.edited(run[0], network={"norm": norm}), run[1]
    model = build_model(recipe, data)
    assert retimed(model, recipe, data, retiming_of(recipe, 6, "hold"), "cpu")[0].encoder.num_steps == 6
    with pytest.raises(ArgumentError, match=r"--longer re-estimate: network\.norm"):
        retimed(model, recipe, data, retiming_of(recipe, 6, "re-estimate"), "cpu")
    with pytest.raises(ArgumentError, match=r"--recalibrate: network\.norm"):
        recalibrated(model, recipe, data)


def test_a_part_whose_steps_are_not_known_is_named(run):
    recipe, data, *_ = run
    model = best(run)
    model.network.blocks["conv1"].lif.num_steps = 3  # as of a part of yours without step_tables
    with pytest.raises(ArgumentError, match=r"--num-steps 7: .*conv1\.lif"):
        retimed(model, recipe, data, retiming_of(recipe, 7, "hold"), "cpu")
