"""A run beside what it folds to: splits, numbers, rows, and what is refused."""

import dataclasses
import json

import pytest

from bntt.analysis import fold_equivalence
from bntt.data import PartLoader, stratified
from bntt.runs.measures.equivalence import as_json, as_rows, equivalence_run
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from bntt.models import mlp
from bntt.nn import SpikingClassifier
from tests.runs.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return load_run(trained(of, parts(of), tmp_path_factory.mktemp("runs"))[0].path)


@pytest.fixture(scope="module")
def result(loaded):
    return equivalence_run(loaded, images=20)


def test_some_images_of_each_class_with_their_own_noise(loaded, result):
    told = []
    test = equivalence_run(loaded, split="test", images=70, progress=told.append)
    assert told == [35, 35]
    assert (test.split, test.found.samples) == ("test", 70)
    assert (result.split, result.found.samples) == ("validation", 20)
    held_out, seed = loaded.data.validation, loaded.recipe.seed
    some = PartLoader(held_out, stratified(held_out, 20, seed), 50)
    expected = fold_equivalence(loaded.model, some, seed=seed)
    assert as_json(dataclasses.replace(result, found=expected)) == as_json(result)
    assert equivalence_run(loaded, images=10**6).found.samples == len(loaded.data.validation)


def test_numbers_and_rows_say_the_same(result):
    values, rows = json.loads(json.dumps(as_json(result))), as_rows(result)
    assert (values["split"], values["epoch"], values["images"]) == ("validation", 0, 20)
    assert values["heard_steps"]["conv1"] == [1, 2, 3]
    assert list(values["folds"]) == ["exact", "no mean", "no ratio", "Eq. 15"]
    assert (values["folds"]["no mean"]["keeps_mean"], values["folds"]["no mean"]["keeps_ratio"]) == (False, True)
    assert len(rows) == 4 * len(values["firing_rate"]) * 3
    for row in rows:
        fold, t = values["folds"][row["network"]], row["step"] - 1
        assert row["differing_true_spikes"] == fold["differing_true_spikes"][row["layer"]][t]
        assert row["differing_own_spikes"] == fold["differing_own_spikes"][row["layer"]][t]
        assert row["firing_rate"] == values["firing_rate"][row["layer"]][t]
        assert row["accuracy"] == fold["accuracy"]
        assert row["heard"] == 1


def test_what_cannot_be_compared_is_the_recipes_fault(loaded):
    with pytest.raises(RecipeError, match="images must be 1 or more, got 0"):
        equivalence_run(loaded, images=0)
    for norm, message in (("none", "there is nothing to fold"), ("layer", "there is nothing to fold")):
        bare = SpikingClassifier(loaded.model.encoder, mlp(in_features=784, norm=norm, num_steps=3))
        with pytest.raises(RecipeError, match=message):
            equivalence_run(dataclasses.replace(loaded, model=bare))
