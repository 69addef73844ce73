"""A trained run is measured on every image, as what it was trained with."""

import dataclasses

import pytest

from bntt.analysis import evaluate
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import SampleLoader, stratified
from bntt.data.prepared import Manifest
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_json_lines
from bntt.runs.evaluation import _gamma_floor, evaluate_run
from bntt.runs.open_run import load_run
from bntt.training.schedule import Rates, floor_of_decay
from tests.runs import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = tiny.recipe(train={"epochs": 1})
    data = tiny.parts(recipe)
    return recipe, data, *tiny.trained(recipe, data, tmp_path_factory.mktemp("runs"))


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


def test_every_split_can_be_measured_as_it_is(run):
    recipe, data, folder, epochs = run
    held_out = evaluate_run(recipe, data, folder, split="validation", draws=1)
    assert held_out.images == len(data.validation)
    assert held_out.accuracy == max(epoch.validation_accuracy for epoch in epochs)
    seen = evaluate_run(recipe, data, folder, split="train", draws=1)
    loaded = load_run(folder.path)
    right = evaluate(loaded.model, SampleLoader(data.train, 250), seed=recipe.seed, draws=1).accuracy.mean
    assert (seen.split, seen.images, seen.accuracy) == ("train", len(data.train), right)


def test_decay_alone_is_told_beside_gamma(run, tmp_path):
    recipe, data, folder, _ = run
    result = evaluate_run(recipe, data, folder, draws=1)
    rates = Rates(recipe.train, 1, result.updates)
    assert result.gamma_floor == floor_of_decay(rates, result.updates) < 1
    assert result.metrics()["gamma-floor"].read(result, None) == result.gamma_floor
    longer = tiny.recipe(train={"epochs": 3})
    stopped = tiny.stopped(longer, data, tmp_path)
    found = evaluate_run(longer, data, stopped, draws=1)
    assert found.gamma_floor == floor_of_decay(Rates(longer.train, 3, 3), 3), "of the one epoch that is done"
    write_json_lines(stopped.metrics, [{**stopped.rows()[0], "lr": 0.03}])
    assert evaluate_run(longer, data, stopped, draws=1).gamma_floor is None, "epochs were added after it"
    grown = tiny.edited(recipe, train={"epochs": 2, "grow": ((1, 1),)})
    assert _gamma_floor(grown, {"epoch": 0}, folder.rows()) is None


def test_a_part_of_a_split_is_measured_as_it_is_within_the_whole(run):
    """The same images have the same noise."""
    recipe, data, folder, _ = run
    part = evaluate_run(tiny.edited(recipe, evaluate={"images": 20}), data, folder)
    loaded = load_run(folder.path)
    whole = evaluate(loaded.model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2).right
    places = stratified(data.test, 20, recipe.seed)
    assert part.accuracy_per_draw == pytest.approx(whole[:, places].double().mean(1).tolist())
    assert (part.images, part.images_of) == (20, 60)


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
