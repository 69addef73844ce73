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
from bntt.runs import open_run as load
from bntt.runs.directory import RunDirectory
from bntt.runs.evaluation import evaluate_run
from bntt.runs.open_run import load_run, open_recipe
from bntt.runs.recipe.build import DeviceError, build_data
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.train import train_run


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run[2].path, tmp_path / "copy")


def change(copy, key, value):
    """Another value in what its environment says of its data."""
    facts = json.loads((copy / "environment.json").read_text())
    facts["data"] |= {key: value}
    (copy / "environment.json").write_text(json.dumps(facts))


def test_a_run_is_what_evaluate_measures(run):
    recipe, data, directory, _ = run
    opened, measured = load_run(str(directory.path)), evaluate_run(recipe, data, directory)
    assert (opened.path, opened.recipe, opened.epoch) == (directory.path, recipe, measured.epoch)
    assert (opened.image_shape, opened.classes) == ((1, 28, 28), data.test.classes)
    assert not any(module.training for module in opened.model.modules())
    again = evaluate(opened.model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2)
    assert again.accuracy.over_time == measured.accuracy_over_time
    assert opened.model.encoder.mean.flatten().tolist() == pytest.approx(data.mean, rel=1e-6)
    assert opened.model.encoder.std.flatten().tolist() == pytest.approx(data.std, rel=1e-6)
    assert opened.exit_steps() is None


def test_a_model_needs_no_data_and_data_is_opened_once(copy, monkeypatch):
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
    assert torch.equal(run.data.train.images, build_data(run.recipe).train.images)
    assert run.data is run.data
    change(copy, "sha256", {"train": "0"})
    with pytest.raises(CheckpointError, match="other data"):
        _ = load_run(copy).data


def test_a_recipe_that_was_edited(copy):
    recipe = copy / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace("draws = 2", "draws = 7"))
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
        opened = load_run(copy, overrides=overrides)
        assert (opened.model.network.compute.precision, opened.measured_with) == ("fp32", {})
    assert load_run(copy).recipe.compute.precision == "bf16-grad"


SHAPES = ([28, 28], ["a", "b", "c"], [1, 28, -28], [1, 0, 0], [1, 28, 10**20], [], 3, [1, 28.0, 28])
COUNTS = (
    {},
    *({"train": count, "test": 9} for count in (0, 10**20, float("inf"), "many")),
    {"train": 9, "test": 10**20},
)
DAMAGED = [("shape", shape) for shape in SHAPES] + [("images", count) for count in COUNTS]
DAMAGED += [("classes", []), ("classes", None), ("unknown", 1)]


def test_an_environment_that_does_not_say_what_the_images_are_like_or_says_what_does_not_fit(copy):
    sound = (copy / "environment.json").read_text()
    other = [("classes", ["a", "b"]), ("shape", [3, 28, 28])]
    for row in (*DAMAGED, *other):
        change(copy, *row)
        with pytest.raises(CheckpointError, match=r"best\.safetensors" if row in other else r"(?s)environment\.json"):
            load_run(copy)
        (copy / "environment.json").write_text(sound)


def test_what_is_no_run_no_recipe_and_no_device(run, tmp_path):
    found = open_recipe("demo", ["network.num_steps=2", "network.norm=bn"], folder=Path("x"))
    assert (found.path, found.device) == (Path("x"), "cpu")
    assert (found.facts.num_steps, found.facts.norm, found.facts.is_random) == (2, "bn", True)
    with pytest.raises(CheckpointError, match="is not a run directory"):
        load_run(tmp_path)
    with pytest.raises(RecipeError, match="demmo"):
        open_recipe("demmo", folder=Path("x"))
    for opened in (load_run, lambda path, **device: open_recipe("demo", folder=path, **device)):
        with pytest.raises(DeviceError, match="'tpu'"):
            opened(run[2].path, device="tpu")


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
