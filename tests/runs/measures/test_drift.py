"""A run's drift: every image of the split, the layer that is drawn, rows and JSON of the same numbers."""

import json

import pytest
import torch

from bntt.analysis.drift.input_drift import drift, layer_inputs
from bntt.data import PartLoader, SampleLoader, stratified
from bntt.runs.measures.drift import drift_json, drift_rows, drift_run, images_in_all
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from tests.runs.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    def one(**network):
        of = recipe(train={"epochs": 1}, network=network)
        return load_run(trained(of, parts(of), tmp_path_factory.mktemp("runs"))[0].path)

    return one


@pytest.fixture(scope="module")
def run(loaded):
    return loaded(norm="bn")


def test_it_measures_the_split_and_draws_some_of_it(run):
    told = []
    found = drift_run(run, images=20, progress=told.append)
    held_out = run.data.validation
    assert sum(told) == images_in_all(run, "validation", 20) == len(held_out) + 20
    assert (found.images, found.inputs_images, found.split, found.norm) == (len(held_out), 20, "validation", "bn")
    theirs = drift(run.model, SampleLoader(held_out, run.recipe.evaluate.batch_size), seed=run.recipe.seed)
    assert all(torch.equal(layer.distance, theirs[name].distance) for name, layer in found.layers.items())
    few = PartLoader(held_out, stratified(held_out, 20, run.recipe.seed), 250)
    assert found.inputs.layer == "conv3"  # the middle one of five
    assert torch.equal(found.inputs.counts, layer_inputs(run.model, few, "conv3", seed=run.recipe.seed).counts)
    assert drift_run(run, layer="fc1", split="test", images=5).inputs.layer == "fc1"


def test_rows_and_json_say_the_same(run):
    found = drift_run(run, images=20)
    values, rows = drift_json(found), drift_rows(found)
    assert json.loads(json.dumps(values)) == values
    assert len(rows) == 5 * 3
    assert (rows[4]["layer"], rows[4]["step"], rows[4]["driven"]) == ("conv2", 2, True)
    layer = values["layers"]["conv2"]
    for key in ("distance", "distance_if_shared", "divergence_nats", "deviation_ratio"):
        assert rows[4][key] == layer[key][1]
    assert layer["driven"] == [1, 3]
    assert sum(values["distribution"]["counts"][0]) == 20 * 14 * 14 * run.model.network.layers["conv3"].norm.channels


@pytest.mark.parametrize(
    ("options", "message"),
    [({"layer": "conv9"}, "--layer conv9: choose one of conv1"), ({"images": 0}, "--images must be 1 or more, got 0")],
)
def test_refusals(options, message, run):
    with pytest.raises(RecipeError, match=message):
        drift_run(run, **options)


def test_a_run_that_holds_nothing_is_refused(loaded):
    with pytest.raises(RecipeError, match="no layer of this network holds statistics"):
        drift_run(loaded(norm="none"))
