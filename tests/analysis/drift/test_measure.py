"""The drift of a run: every image of the split, the layer that is drawn, and what is refused."""

import pytest
import torch

from bntt.analysis.drift.input_drift import input_drift, layer_inputs
from bntt.analysis.drift.measure import measure_drift
from bntt.analysis.drift.measurement import DriftArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import PartLoader, SampleLoader, stratified
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"), norm="bn")


def test_it_measures_the_split_and_draws_some_of_it(run):
    progress = Progress()
    found = measure_drift(run, DriftArguments(images=20), progress)
    held_out, seed = run.data.validation, run.recipe.seed
    assert progress.done == progress.total == len(held_out) + 20
    assert (found.images, found.distribution.images, found.norm) == (len(held_out), 20, "bn")
    theirs = input_drift(run.model, SampleLoader(held_out, run.recipe.evaluate.batch_size), seed=seed)
    assert all(layer.distance == theirs[name].distance.tolist() for name, layer in found.layers.items())
    few = PartLoader(held_out, stratified(held_out, 20, seed), 250)
    assert found.distribution.layer == "conv3"  # the middle one of five
    counts = torch.tensor(found.distribution.counts)
    assert torch.equal(counts, layer_inputs(run.model, few, "conv3", seed=seed).counts)
    other = measure_drift(run, DriftArguments(layer="fc1", split="test", images=5), Progress())
    assert (other.distribution.layer, other.split) == ("fc1", "test")


def test_a_layer_that_is_not_there_is_refused(run):
    with pytest.raises(ArgumentError, match="--layer conv9: choose one of conv1"):
        measure_drift(run, DriftArguments(layer="conv9"), Progress())
