"""A run that begins with an ANN: its files, what is kept of the thresholds, and which ANN it can be."""

import dataclasses
import json
import signal

import pytest
import torch

from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.io.checkpoint import CheckpointError, read_facts
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.runs.directory import RunDirectory, new_run_directory
from bntt.runs.evaluation import evaluate_run
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.runs.training.requests import Interrupted, Requests
from bntt.runs.training.start import open_ann, resumes_in
from bntt.runs.training.train import train_run
from bntt.training import StepRecord, balance, convert, thresholds_of
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
    if network is None:
        network = {}
    if train is None:
        train = {"epochs": 0}
    if convert is None:
        convert = {}
    return tiny.recipe(
        encoder={"name": "poisson"},
        network={"num_steps": 20, "norm": "none", "width": 0.25, "leak": 1.0, **network},
        convert={"ann": str(ann.path), "images": 30, "steps": 40, "grid_images": 30, **convert},
        train=train,
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


def test_the_directory_is_that_of_a_run(converted):
    recipe, _, run, told = converted
    assert not resumes_in(run, recipe), "the same conversion may be made again"
    with pytest.raises(CheckpointError, match=r"trained with another recipe .seed is 7"):
        resumes_in(run, dataclasses.replace(recipe, seed=7))
    assert all(isinstance(one, Notice) for one in told)
    assert {"recipe.toml", "environment.json", "metrics.jsonl"} <= {path.name for path in run.path.iterdir()}
    (row,) = run.rows()
    assert (row["epoch"], row["updates"]) == (0, 0)
    assert row["validation_accuracy"] == read_facts(run.best)["validation_accuracy"]
    assert row["firing_rate"].keys() >= {"conv1", "fc1"}


def test_it_is_what_the_library_makes_of_the_ann(converted, ann):
    recipe, data, run, _ = converted
    kept = read_facts(run.best)["conversion"]
    network = convert(load_run(ann.path).model.network)
    encoder = PoissonEncoder(40, mean=data.mean, std=data.std)
    images = some_of(data.train, 30, recipe.seed)
    found = balance(network, encoder, SampleLoader(images, 250), scale=kept["scale"], seed=recipe.seed)
    loaded = load_run(run.path)
    assert found == kept["thresholds"] == thresholds_of(loaded.model.network)
    assert len(set(found.values())) == len(found)
    weights = load_run(ann.path).model.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.model.network.state_dict().items())
    model = SpikingClassifier(PoissonEncoder(20, mean=data.mean, std=data.std), network)
    alone = evaluate(model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2)
    assert alone.accuracy.per_draw == evaluate_run(recipe, data, run).accuracy_per_draw


def test_the_scale_is_the_best_of_the_grid_on_validation(converted):
    kept = read_facts(converted[2].best)["conversion"]
    assert [scale for scale, _ in kept["tried"]] == [1.0, 0.5]
    best = max(accuracy for _, accuracy in kept["tried"])
    assert kept["scale"] == max(scale for scale, accuracy in kept["tried"] if accuracy == best)
    assert kept["tried_images"] == 30


def test_what_it_cost_stands_beside_the_accuracy(converted, ann):
    recipe, data, run, _ = converted
    told = evaluate_run(recipe, data, run).to_json()
    assert told["updates"] == 0
    assert told["seconds"] > 0
    assert told["conversion"]["ann"]["updates"] == 2 * 3
    assert told["conversion"]["ann"]["run"] == str(ann.path)
    assert json.dumps(told, allow_nan=False)
    assert told["images"] == told["images_of"] == 60


def test_some_images_are_measured_as_many_of_each_class(converted):
    recipe, data, run, _ = converted
    some = tiny.edited(recipe, evaluate={"images": 20})
    told = evaluate_run(some, data, run).to_json()
    assert (told["images"], told["images_of"]) == (20, 60)
    with pytest.raises(RecipeError, match=r"evaluate.images: 61 requested, but there are only 60 test images"):
        evaluate_run(tiny.edited(recipe, evaluate={"images": 61}), data, run)


@pytest.mark.slow
def test_a_hybrid_is_trained_from_there_and_goes_on_after_a_stop(ann, tmp_path):
    recipe = becoming(
        ann,
        network={"num_steps": 4, "leak": 0.9},
        convert={"scale": 0.7},
        train={"epochs": 2, "optimizer": "adam", "lr": 1e-3, "average": 0.5},
    )
    data = tiny.parts(recipe)
    whole, epochs = tiny.trained(recipe, data, tmp_path / "whole")
    assert [epoch.updates for epoch in epochs] == [3, 6]
    loaded, kept = load_run(whole.path), read_facts(whole.best)["conversion"]
    assert thresholds_of(loaded.model.network) == kept["thresholds"]
    assert loaded.model.network.blocks["conv1"].lif.neuron.leak == 0.9
    weights = load_run(ann.path).model.network.blocks["conv1"].synapse.weight
    moved = (loaded.model.network.blocks["conv1"].synapse.weight - weights).abs().max()
    assert 0 < moved < 0.05
    halted = tiny.stopped(recipe, data, tmp_path)
    list(train_run(recipe, data, halted, resume=True))
    one, other = (run.checkpoints.latest().checkpoint for run in (whole, halted))
    assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    assert other.facts["conversion"]["thresholds"] == kept["thresholds"]
    assert evaluate_run(recipe, data, halted).conversion.scale == 0.7


def test_its_first_validation_is_that_of_the_converted_network(ann, tmp_path):
    """Untrained, at rate 0, the hybrid is the conversion."""
    hybrid = becoming(ann, train={"epochs": 1, "lr": 0.0, "optimizer": "sgd"})
    data = tiny.parts(hybrid)
    _, (epoch,) = tiny.trained(hybrid, data, tmp_path)
    run = new_run_directory("alone", tmp_path)
    list(train_run(becoming(ann), data, run))
    assert epoch.validation_accuracy == run.rows()[0]["validation_accuracy"]


def test_a_wish_to_stop_ends_it_between_two_batches(ann, tmp_path):
    recipe, run = becoming(ann), new_run_directory("stopped", tmp_path)
    with pytest.raises(Interrupted, match="kept nothing yet"):
        list(train_run(recipe, tiny.parts(recipe), run, requests=Requests(stop=signal.SIGTERM)))
    assert not run.best.exists()


@each_row(
    ("tables", "message"),
    [
        ({"convert": {"ann": "nowhere"}}, "nowhere is not a run directory: train the ANN first"),
        ({"network": {"width": 0.5}}, r"has network\.width = 0.25, which must be 0.5"),
        ({"network": {"name": "mlp"}}, r"has network\.name = 'vgg6', which must be 'mlp'"),
        ({"seed": 1}, "has seed = 0, which must be 1"),
        ({"data": {"validation": 0.2}}, r"has data.validation = 0.01, which must be 0.2"),
        ({"data": {"images": 30}}, r"has data.images = None, which must be 30"),
        ({"encoder": {"name": "direct"}}, "has encoder.name = 'expected', which must be 'direct'"),
    ],
)
def test_an_ann_that_does_not_fit_is_refused(ann, tables, message):
    recipe = becoming(ann)
    flat = {"seed": tables.pop("seed")} if "seed" in tables else {}
    with pytest.raises(RecipeError, match=message):
        open_ann(dataclasses.replace(tiny.edited(recipe, **tables), **flat))


def test_a_spiking_network_is_no_ann(converted):
    with pytest.raises(RecipeError, match=r"has network\.neuron = 'lif', which must be 'relu'"):
        open_ann(becoming(converted[2]))


def test_a_dead_layer_is_told_as_the_recipes_fault(ann, tmp_path):
    recipe = becoming(ann, convert={"steps": 1, "images": 1})
    run = new_run_directory("dead", tmp_path)
    with pytest.raises(
        RecipeError, match=r"convert: the largest weighted input of layer '\w+' is .*: the ANN's layer is dead"
    ):
        list(train_run(recipe, tiny.parts(recipe), run))


def test_an_ann_trains_as_any_network(ann):
    (first, *_) = ann.rows()
    assert first["firing_rate"] == first["gamma"] == {}
    assert RunDirectory(ann.path).training_cost()["updates"] == 6


def test_steps_and_epochs_are_told_of_the_hybrid(ann, tmp_path):
    recipe = becoming(ann, train={"epochs": 1})
    told = list(train_run(recipe, tiny.parts(recipe), new_run_directory("told", tmp_path)))
    assert sum(isinstance(one, StepRecord) for one in told) == 3
    assert dataclasses.asdict(next(one for one in told if isinstance(one, EpochResult)))["updates"] == 3
