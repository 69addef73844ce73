"""A run that begins with an ANN: its files, what is kept of the thresholds, and which ANN it can be."""

import dataclasses
import signal
from pathlib import Path

import pytest
import torch

from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.io.checkpoint import CheckpointError, read_facts
from bntt.models import mlp
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier
from bntt.runs.directory import new_run_directory, restore_thresholds
from bntt.runs.evaluation import evaluate_run
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from bntt.runs.training.epoch_log import Notice
from bntt.runs.training.requests import Interrupted, Requests
from bntt.runs.training.start import open_ann, resumes_in
from bntt.runs.training.train import train_run
from bntt.training import balance, convert, thresholds_of
from tests.checking import THREADS
from tests.rows import each_row
from tests.runs import tiny

ANN = {
    "encoder": {"name": "expected"},
    "network": {"neuron": "relu", "num_steps": 1, "norm": "none", "width": 0.25},
    "train": {"epochs": 2, "lr": 0.05},
}


def becoming(ann, *, convert=None, train=None, network=None, **tables):
    """The recipe of a network that begins with this run."""
    return tiny.recipe(
        encoder={"name": "poisson"},
        network={"num_steps": 20, "norm": "none", "width": 0.25, "leak": 1.0, **(network or {})},
        convert={"ann": str(ann.path), "images": 30, "steps": 40, "grid_images": 30, **(convert or {})},
        train=train or {"epochs": 0},
        **tables,
    )


@pytest.fixture(scope="module")
def ann(tmp_path_factory):
    recipe = tiny.recipe(**ANN)
    return tiny.trained(recipe, tiny.parts(recipe), tmp_path_factory.mktemp("ann"))[0]


@pytest.fixture(scope="module")
def converted(ann, tmp_path_factory):
    recipe = becoming(ann, convert={"scale": "validation", "grid": [0.5, 1.0]})
    data, run = tiny.parts(recipe), new_run_directory("tiny", tmp_path_factory.mktemp("converted"))
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    return recipe, data, run, list(train_run(recipe, data, run))


def test_it_is_what_the_library_makes_of_the_ann(converted, ann):
    recipe, data, run, told = converted
    assert all(isinstance(one, Notice) for one in told)
    kept = read_facts(run.best)["conversion"]
    network = convert(load_run(ann.path).model.network)
    encoder = PoissonEncoder(40, mean=data.mean, std=data.std)
    images = SampleLoader(some_of(data.train, 30, recipe.seed), 250)
    found = balance(network, encoder, images, scale=kept["scale"], seed=recipe.seed)
    loaded = load_run(run.path)
    assert found == kept["thresholds"] == thresholds_of(loaded.model.network)
    assert len(set(found.values())) == len(found)
    weights = load_run(ann.path).model.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.model.network.state_dict().items())
    model = SpikingClassifier(PoissonEncoder(20, mean=data.mean, std=data.std), network)
    alone = evaluate(model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2)
    result = evaluate_run(recipe, data, run)
    assert alone.accuracy.per_draw == result.accuracy_per_draw
    assert (result.updates, result.conversion.ann.updates, result.conversion.ann.run) == (0, 2 * 3, str(ann.path))
    assert [scale for scale, _ in kept["tried"]] == [1.0, 0.5]
    best = max(accuracy for _, accuracy in kept["tried"])
    assert kept["scale"] == max(scale for scale, accuracy in kept["tried"] if accuracy == best)


def test_the_directory_is_that_of_a_run(converted, ann):
    recipe, data, run, _ = converted
    assert not resumes_in(run, recipe), "the same conversion may be made again"
    with pytest.raises(CheckpointError, match="seed is 7"):
        resumes_in(run, dataclasses.replace(recipe, seed=7))
    (row,) = run.rows()
    assert (row["epoch"], row["updates"]) == (0, 0)
    assert row["validation_accuracy"] == read_facts(run.best)["validation_accuracy"]
    assert row["firing_rate"].keys() >= {"conv1", "fc1"}
    assert ann.rows()[0]["firing_rate"] == ann.rows()[0]["gamma"] == {}
    with pytest.raises(RecipeError, match=r"evaluate\.images"):
        evaluate_run(tiny.edited(recipe, evaluate={"images": 61}), data, run)


@pytest.mark.slow
def test_a_hybrid_is_trained_from_there_and_goes_on_after_a_stop(ann, tmp_path):
    train = {"epochs": 2, "optimizer": "adam", "lr": 1e-3, "average": 0.5}
    recipe = becoming(ann, network={"num_steps": 4, "leak": 0.9}, convert={"scale": 0.7}, train=train)
    data = tiny.parts(recipe)
    whole, epochs = tiny.trained(recipe, data, tmp_path / "whole")
    assert [epoch.updates for epoch in epochs] == [3, 6]
    loaded, kept = load_run(whole.path), read_facts(whole.best)["conversion"]
    assert thresholds_of(loaded.model.network) == kept["thresholds"]
    weights = load_run(ann.path).model.network.blocks["conv1"].synapse.weight
    assert 0 < (loaded.model.network.blocks["conv1"].synapse.weight - weights).abs().max() < 0.05
    halted = tiny.stopped(recipe, data, tmp_path)
    list(train_run(recipe, data, halted, resume=True))
    one, other = (run.checkpoints.latest().checkpoint for run in (whole, halted))
    assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    assert other.facts["conversion"]["thresholds"] == kept["thresholds"]
    assert evaluate_run(recipe, data, halted).conversion.scale == 0.7


def test_the_first_validation_of_a_hybrid_is_that_of_the_converted_network(ann, tmp_path):
    """Untrained, at rate 0, the hybrid is the conversion; a wish to stop one ends it between two batches."""
    hybrid = becoming(ann, train={"epochs": 1, "lr": 0.0, "optimizer": "sgd"})
    data, run = tiny.parts(hybrid), new_run_directory("alone", tmp_path)
    _, (epoch,) = tiny.trained(hybrid, data, tmp_path)
    with pytest.raises(Interrupted, match="SIGTERM"):
        list(train_run(becoming(ann), data, run, requests=Requests(stop=signal.SIGTERM)))
    assert not run.best.exists()
    list(train_run(becoming(ann), data, run))
    assert epoch.validation_accuracy == run.rows()[0]["validation_accuracy"]


@each_row(
    ("tables", "named"),
    [
        ({"convert": {"ann": "nowhere"}}, r"convert\.ann: nowhere"),
        ({"network": {"width": 0.5}}, r"network\.width"),
        ({"network": {"name": "mlp"}}, r"network\.name"),
        ({"seed": 1}, "seed"),
        ({"data": {"validation": 0.2}}, r"data\.validation"),
        ({"data": {"images": 30}}, r"data\.images"),
        ({"encoder": {"name": "direct"}}, r"encoder\.name"),
    ],
)
def test_an_ann_that_does_not_fit_is_refused(tables, named, ann):
    seed = tables.get("seed", 0)
    of = tiny.edited(becoming(ann), **({} if seed else tables))
    with pytest.raises(RecipeError, match=named):
        open_ann(dataclasses.replace(of, seed=seed))


def test_a_spiking_network_is_no_ann_and_a_dead_layer_is_told_as_the_recipes_fault(ann, converted, tmp_path):
    with pytest.raises(RecipeError, match=r"network\.neuron"):
        open_ann(becoming(converted[2]))
    recipe = becoming(ann, convert={"steps": 1, "images": 1})
    with pytest.raises(RecipeError, match=r"convert: .* layer '\w+'"):
        list(train_run(recipe, tiny.parts(recipe), new_run_directory("dead", tmp_path)))


def test_thresholds_come_back_with_the_weights_or_it_is_an_error():
    def model():
        return SpikingClassifier(DirectEncoder(2), mlp(in_features=4, hidden=(3, 3), num_steps=2, norm="none"))

    of = tiny.recipe(network={"norm": "none", "leak": 1.0}, convert={"ann": "there"})
    facts = {"conversion": {"thresholds": {"fc1": 2.0, "fc2": 3.0}}}
    for recipe, expected in ((of, {"fc1": 2.0, "fc2": 3.0}), (tiny.recipe(), {"fc1": 1.0, "fc2": 1.0})):
        restore_thresholds(made := model(), recipe, facts, Path("best"))
        assert thresholds_of(made.network) == expected
    for damaged in ({}, {"conversion": {}}, {"conversion": {"thresholds": {"fc1": 2.0}}}, {"conversion": None}):
        with pytest.raises(CheckpointError, match="best cannot be used"):
            restore_thresholds(model(), of, damaged, Path("best"))
