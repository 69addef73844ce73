"""A run in one line: the best epoch's network, without its data and with it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.accuracy import EvaluateArguments
from bntt.analysis.measurement import Progress
from bntt.data import DataError, SampleLoader
from bntt.engine import kernels as backend
from bntt.engine.kernels import BackendError
from bntt.io.checkpoint import CheckpointError, read_checkpoint
from bntt.runs import directory
from bntt.runs import open_run as load
from bntt.runs.directory import RunDirectory, new_run_directory
from bntt.runs.evaluation import evaluate_run
from bntt.runs.identity import trained_on, weights_hash
from bntt.runs.open_run import load_run, open_recipe
from bntt.runs.recipe.build import DeviceError, build_data
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.train import train_run
from tests.rows import each_row
from tests.trained import trained_run

SMALL = ("network.width=0.125", "network.num_steps=3", "train.epochs=1", "train.batch_size=100", "evaluate.draws=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    recipe, root = load_recipe("demo", [*SMALL, "data.images=500"]), tmp_path_factory.mktemp("runs")
    data, run = build_data(recipe), new_run_directory("demo", root)
    list(train_run(recipe, data, run))
    return recipe, data, run


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained[2].path, tmp_path / "demo")
    return tmp_path / "demo"


def change(copy, key, value):
    """Another value in what its environment says of its data."""
    facts = json.loads((copy / "environment.json").read_text())
    facts["data"] |= {key: value}
    (copy / "environment.json").write_text(json.dumps(facts))


def test_the_exit_that_was_chosen_is_read(copy):
    run = load_run(copy)
    assert run.exit_steps() is None
    chosen = {"weights_sha256": weights_hash(RunDirectory(copy)), "data_sha256": trained_on(copy)["sha256"], "steps": 2}
    (copy / "exit.json").write_text(json.dumps(chosen))
    assert run.exit_steps() == 2


def test_a_run_is_what_evaluate_measures(trained):
    recipe, data, directory = trained
    run = load_run(str(directory.path))
    assert (run.path, run.recipe, run.epoch, run.image_shape) == (directory.path, recipe, 0, (1, 28, 28))
    assert run.classes == data.test.classes
    assert not any(module.training for module in run.model.modules())
    measured = evaluate_run(recipe, data, directory)
    again = evaluate(run.model, SampleLoader(run.data.test, 250), seed=recipe.seed, draws=1)
    assert again.accuracy.over_time == measured.accuracy_over_time
    assert run.model.encoder.mean.flatten().tolist() == pytest.approx(data.mean, rel=1e-6)
    assert run.model.encoder.std.flatten().tolist() == pytest.approx(data.std, rel=1e-6)


def test_a_run_on_some_images_says_how_many_and_goes_on_with_no_other_number(trained):
    recipe, data, directory = trained
    assert [row["updates"] for row in directory.rows()] == [5]
    result = evaluate_run(recipe, data, directory).to_json()
    assert (result["training_images"], result["training_images_of"]) == (500, 4500)
    assert result["dataset"] == "Fashion-MNIST (bundled part), trained on 500 of 4,500"
    other = load_recipe("demo", [*SMALL, "data.images=600"])
    for go_on in (
        lambda data: list(train_run(other, data, directory, resume=True)),
        lambda data: evaluate_run(other, data, directory),
    ):
        with pytest.raises(CheckpointError, match=r"data\.images is 600"):
            go_on(build_data(other))


def test_a_model_needs_no_data_and_data_is_opened_once(trained, copy, monkeypatch):
    opened = []

    def gone(recipe):
        opened.append(recipe)
        raise DataError("it is not here")

    monkeypatch.setattr(load, "build_data", gone)
    run = load_run(copy)
    assert run.model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert not opened
    with pytest.raises(DataError, match="it is not here"):
        _ = run.data
    moved = dataclasses.replace(run.recipe, data=dataclasses.replace(run.recipe.data, root="/nowhere"))
    with pytest.raises(DataError, match="it is not here") as told:
        _ = dataclasses.replace(run, recipe=moved).data
    assert "data.root" in told.value.__notes__[0]
    monkeypatch.undo()
    assert torch.equal(run.data.train.images, trained[1].train.images)
    assert run.data is run.data


def test_other_data_than_that_of_the_training_is_refused(copy):
    change(copy, "sha256", {"train": "0"})
    with pytest.raises(CheckpointError, match="other data"):
        _ = load_run(copy).data


def test_a_recipe_that_was_edited(copy):
    recipe = copy / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace("draws = 1", "draws = 7"))
    assert load_run(copy).recipe.evaluate.draws == 7
    recipe.write_text(text.replace("leak = 0.95", "leak = 0.9"))
    with pytest.raises(CheckpointError, match=r"network\.leak is 0\.9"):
        load_run(copy)


def test_options_are_overridden_to_measure_it_but_none_that_it_was_trained_with(copy, monkeypatch):
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('precision = "fp32"', 'precision = "bf16"'))
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match="fp32"):
        load_run(copy)
    run = load_run(copy, overrides=["compute.precision=fp32", "evaluate.batch_size=7", "data.root=/there"])
    assert (run.model.network.compute.precision, run.recipe.evaluate.batch_size) == ("fp32", 7)
    assert run.recipe.data.root == "/there"
    assert run.measured_with == {"compute.precision": "fp32", "evaluate.batch_size": 7}
    for wrong in ("network.leak=0.9", "data.images=7", "train.lr=3", "notes=mine", "evaluate.every=2"):
        with pytest.raises(RecipeError, match=f"-s {wrong.split('=')[0]}"):
            load_run(copy, overrides=[wrong])


def test_gradients_in_bfloat16_are_no_matter_where_there_are_none(copy, monkeypatch):
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('precision = "fp32"', 'precision = "bf16-grad"'))
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    for overrides in (), ("compute.precision=fp32",):
        run = load_run(copy, overrides=overrides)
        assert run.model.network.compute.precision == "fp32"
        assert not run.measured_with
    assert load_run(copy).recipe.compute.precision == "bf16-grad"


@each_row(
    ("key", "value"),
    [
        *(("shape", shape) for shape in ([28, 28], ["a", "b", "c"], [1, 28, -28], [1, 0, 0], [1, 28, 10**20], [], 3)),
        *(("shape", [1, 28.0, 28]), ("classes", []), ("classes", None), ("unknown", 1)),
        *(("images", {"train": count, "test": 9}) for count in (0, 10**20, float("inf"), "many")),
        *(("images", {}), ("images", {"train": 9, "test": 10**20})),
    ],
)
def test_an_environment_that_does_not_say_what_the_images_are_like(key, value, trained, tmp_path):
    copy = shutil.copytree(trained[2].path, tmp_path / "demo")  # one for every row: rows share a fixture
    change(copy, key, value)
    with pytest.raises(CheckpointError, match=r"(?s)environment\.json"):
        load_run(copy)


@each_row(("key", "value"), [("classes", ["a", "b"]), ("shape", [3, 28, 28])])
def test_a_checkpoint_that_does_not_fit_what_the_environment_says(key, value, trained, tmp_path):
    copy = shutil.copytree(trained[2].path, tmp_path / "demo")
    change(copy, key, value)
    with pytest.raises(CheckpointError, match=r"best\.safetensors"):
        load_run(copy)


def test_what_is_no_run_no_recipe_and_no_device(trained, tmp_path):
    found = open_recipe("demo", ["network.num_steps=2", "network.norm=bn"], folder=Path("x"))
    assert (found.path, found.device) == (Path("x"), "cpu")
    assert (found.facts.num_steps, found.facts.norm, found.facts.is_random) == (2, "bn", True)
    with pytest.raises(CheckpointError, match="is not a run directory"):
        load_run(tmp_path)
    with pytest.raises(RecipeError, match="demmo"):
        open_recipe("demmo", folder=Path("x"))
    for opened in (load_run, lambda path, **device: open_recipe("demo", folder=path, **device)):
        with pytest.raises(DeviceError, match="'tpu'"):
            opened(trained[2].path, device="tpu")


@pytest.mark.slow
def test_batches_are_counted_on_the_training_part(tmp_path):
    """Half of 5,000 images is held out, and 2,500 make one batch; 5,000 would make two of as many."""
    recipe = load_recipe("demo", [*SMALL, "data.validation=0.5", "train.batch_size=2500"])
    directory = new_run_directory("demo", tmp_path)
    data = build_data(recipe)
    list(train_run(recipe, data, directory))
    assert len(load._stand_in(directory.path, recipe).train) == len(data.train) == 2500


def test_an_evaluation_opens_the_weights_once(monkeypatch):
    loads, load_weights = [], directory.load_checkpoint
    monkeypatch.setattr(directory, "load_checkpoint", lambda *a, **b: (loads.append(a), load_weights(*a, **b))[1])
    found = load_run(trained_run().path).evaluate(EvaluateArguments(draws=1), Progress())
    assert (found.images, len(loads)) == (1000, 1)


def test_a_run_of_an_older_version_is_opened_and_goes_on(tmp_path):
    """Its files as they were before recipes were made of the library's own options."""
    run = RunDirectory(shutil.copytree(Path(__file__).parent / "old_run", tmp_path / "old"))
    opened = load_run(run.path)
    found = opened.evaluate(EvaluateArguments(images=50, draws=1), Progress())
    then = json.loads((run.path / "evaluation.json").read_text())
    assert found.accuracy == pytest.approx(then["accuracy"], abs=0.021), "one image of 50 may lie at a threshold"
    assert found.firing_rate.keys() == then["firing_rate"].keys() == {"fc1", "fc2"}
    for layer, rates in then["firing_rate"].items():
        assert found.firing_rate[layer] == pytest.approx(rates, abs=0.013), layer
        assert found.gamma_magnitude[layer] == pytest.approx(then["gamma_magnitude"][layer], abs=1e-6), layer
    kept = read_checkpoint(run.best).tensors
    assert all(torch.equal(kept[f"model.{name}"], value) for name, value in opened.model.state_dict().items())
    longer = load_recipe(run.recipe, ["train.epochs=2"], stored=True)
    told = [one for one in train_run(longer, opened.data, run, resume=True) if isinstance(one, EpochResult)]
    assert [one.epoch for one in told] == [1]
    assert [row["epoch"] for row in run.rows()] == [0, 1]
