"""A trained run is measured on every image, as what it was trained with, and written whole."""

import dataclasses
import json

import pytest
import torch
from bntt.runs.measures.evaluate import draws_of, evaluate_run, write_result

from bntt.data import stratified
from bntt.data.prepared.prepared_set import Manifest
from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.file import RecipeError
from tests.runs import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = tiny.recipe(train={"epochs": 1})
    data = tiny.parts(recipe)
    return recipe, data, *tiny.trained(recipe, data, tmp_path_factory.mktemp("runs"))


def test_the_evaluation_counts_every_test_image(run):
    recipe, data, folder, _ = run
    result = evaluate_run(recipe, data, folder)
    assert not (folder.path / "evaluation.json").exists(), "measuring writes nothing"
    write_result(folder, result)
    written = json.loads((folder.path / "evaluation.json").read_text())
    assert written["images"] == result.evaluation.accuracy.samples == 60
    assert (written["draws"], written["weights"]) == (2, "as trained")
    assert written["accuracy"] == written["accuracy_over_time"][-1]
    assert written["gamma_magnitude"].keys() == written["firing_rate"].keys()


def test_the_validation_part_can_be_measured_too(run):
    recipe, data, folder, epochs = run
    result = evaluate_run(recipe, data, folder, split="validation", draws=1)
    assert result.evaluation.accuracy.samples == len(data.validation)
    assert result.evaluation.accuracy.mean == max(epoch.validation_accuracy for epoch in epochs)
    write_result(folder, result)
    assert (folder.path / "evaluation-validation.json").exists()


def test_a_part_of_a_split_is_measured_as_it_is_within_the_whole(run):
    """The same images have the same noise."""
    recipe, data, folder, _ = run
    whole, part = (
        evaluate_run(tiny.edited(recipe, evaluate={"images": count}), data, folder, split="test") for count in (0, 20)
    )
    places = stratified(data.test, 20, recipe.seed)
    assert torch.equal(part.evaluation.right, whole.evaluation.right[:, places])
    assert (part.evaluation.accuracy.samples, part.of, part.stem) == (20, 60, "evaluation-20-images")


def test_the_average_is_what_is_tested(tmp_path):
    recipe = tiny.recipe(train={"epochs": 1, "average": 0.9})
    data = tiny.parts(recipe)
    folder, (epoch,) = tiny.trained(recipe, data, tmp_path)
    result = evaluate_run(recipe, data, folder, split="validation", draws=1)
    assert result.averaged
    assert result.evaluation.accuracy.mean == epoch.validation_accuracy


def test_direct_coding_is_measured_once_and_more_is_refused(tmp_path):
    recipe = tiny.recipe(train={"epochs": 1}, encoder={"name": "direct"})
    data = tiny.parts(recipe)
    folder, _ = tiny.trained(recipe, data, tmp_path)
    for draws in (None, 1):
        assert len(evaluate_run(recipe, data, folder, draws=draws).evaluation.accuracy.correct) == 1
    with pytest.raises(RecipeError, match="--draws 3: direct coding draws nothing"):
        evaluate_run(recipe, data, folder, draws=3)
    poisson = tiny.recipe()
    assert (draws_of(poisson), draws_of(poisson, 7)) == (2, 7)


def test_a_recipe_that_was_changed_is_not_measured(run):
    recipe, data, folder, _ = run
    with pytest.raises(CheckpointError, match=r"network.leak is 0.5, it was trained with 0.95"):
        evaluate_run(tiny.edited(recipe, network={"leak": 0.5}), data, folder)
    with pytest.raises(CheckpointError, match=r"seed is 3, it was trained with 0"):
        evaluate_run(recipe.model_copy(update={"seed": 3}), data, folder)
    changes = {"evaluate": {"draws": 1}, "compute": {"backend": "reference"}, "data": {"root": "/elsewhere"}}
    free = tiny.edited(recipe, **changes).model_copy(update={"notes": "measured again"})
    assert len(evaluate_run(free, data, folder, split="validation").evaluation.accuracy.correct) == 1


def test_other_data_than_before_is_refused(run):
    """Fault 35: prepared data, and built-in data that a new version changed."""
    recipe, data, folder, _ = run
    prepared = Manifest("mnist", "/x", "unchecked", {}, [], [], {"train": "1", "test": "2"})
    changed_content = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    for manifest in (prepared, changed_content):
        other = dataclasses.replace(data, manifest=manifest)
        with pytest.raises(CheckpointError, match=f"other data than this: fashion.*; now it is {manifest.name}"):
            evaluate_run(recipe, other, folder)
