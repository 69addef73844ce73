"""A whole run at the smallest size: files, best epoch, the test split, and resumable tensors."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from bntt.data.prepared import Manifest
from bntt.experiments.build import build_data, build_model
from bntt.experiments.recipe import RecipeError, load_recipe, parse_recipe
from bntt.experiments.run import EpochResult, draws_of, evaluate_run, find_run, new_run_directory, train_run
from bntt.training import StepRecord
from bntt.training.checkpoint import CheckpointError, load_checkpoint
from tests.experiments.test_recipe import changed


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = parse_recipe(
        changed(
            data={"validation": 0.01},
            network={"width": 0.125, "num_steps": 3},
            train={"epochs": 3, "batch_size": 20},
            evaluate={"draws": 2},
        )
    )
    data = build_data(recipe)
    few = torch.arange(60)
    data = dataclasses.replace(data, train=data.train.select(few), test=data.test.select(few))
    run = new_run_directory("tiny", tmp_path_factory.mktemp("runs"))
    torch.set_num_threads(1)
    records = [r for r in train_run(recipe, data, run) if isinstance(r, EpochResult)]
    return recipe, data, run, records, evaluate_run(recipe, data, run)


def test_the_directory_tells_the_whole_run(run):
    recipe, _, folder, records, _ = run
    assert load_recipe(folder.path / "recipe.toml") == recipe
    environment = json.loads((folder.path / "environment.json").read_text())
    assert {
        "bntt",
        "commit",
        "python",
        "torch",
        "processor",
        "threads",
        "command",
        "started",
        "device",
        "data",
    } <= environment.keys()
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert lines[-1]["validation_accuracy"] == records[-1].validation_accuracy


def test_the_best_epoch_on_validation_is_kept(run):
    recipe, data, folder, records, result = run
    best = max(records, key=lambda r: (r.validation_accuracy, -r.epoch))
    assert result.epoch == best.epoch
    assert [r.epoch for r in records if r.best][-1] == best.epoch
    notes = load_checkpoint(folder.path / "checkpoints" / "last.safetensors", build_model(recipe, data))
    assert notes["epoch"] == "2"


def test_the_evaluation_counts_every_test_image(run):
    _, _, folder, _, result = run
    written = json.loads((folder.path / "evaluation.json").read_text())
    assert written["images"] == result.evaluation.accuracy.samples == 60
    assert written["draws"] == 2
    assert written["accuracy"] == written["accuracy_over_time"][-1]
    assert written["gamma_magnitude"].keys() == written["firing_rate"].keys()


def test_a_run_without_its_checkpoints_is_not_taken_over(tmp_path):
    (tmp_path / "demo").mkdir()
    assert new_run_directory("demo", tmp_path).path.name == "demo-2"


def test_a_root_that_cannot_be_made(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "unmounted" / "disk")
    with pytest.raises(OSError, match="link"):
        new_run_directory("demo", tmp_path / "link")


def begun(recipe, data, tmp_path, epochs=1):
    """The directory of a run that was stopped after some epochs."""
    directory = new_run_directory("begun", tmp_path)
    records = train_run(recipe, data, directory)
    while not (isinstance(record := next(records), EpochResult) and record.epoch == epochs - 1):
        pass
    return directory


def test_direct_coding_is_measured_once_and_more_is_refused(run, tmp_path):
    recipe, data, *_ = run
    direct = recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"name": "direct"})})
    directory = begun(direct, data, tmp_path)
    for draws in (None, 1):
        assert len(evaluate_run(direct, data, directory, draws=draws).evaluation.accuracy.correct) == 1
    with pytest.raises(RecipeError, match="--draws 3: direct coding draws nothing"):
        evaluate_run(direct, data, directory, draws=3)
    assert (draws_of(recipe), draws_of(recipe, 7)) == (2, 7)


def edited(recipe, **tables):
    """The recipe with other values, each table.key."""
    parts = {name: getattr(recipe, name).model_copy(update=values) for name, values in tables.items()}
    return recipe.model_copy(update=parts)


def test_a_recipe_that_was_changed_is_not_resumed(run, tmp_path):
    recipe, data, *_ = run
    directory = begun(recipe, data, tmp_path)
    before = state(directory), directory.metrics.read_text()
    other = edited(recipe, train={"lr": 0.01}, evaluate={"draws": 9}, network={"width": 0.25})
    message = r"network.width is 0.25, it was trained with 0.125; train.lr is 0.01, it was trained with 0.3; "
    with pytest.raises(CheckpointError, match=message + r"evaluate.draws is 9, it was trained with 2\): put the old"):
        list(train_run(other, data, directory, resume=True))
    assert (state(directory), directory.metrics.read_text()) == before
    moved = edited(recipe, data={"root": "/elsewhere"})
    assert any(isinstance(record, EpochResult) for record in train_run(moved, data, directory, resume=True))


def test_a_recipe_that_was_changed_is_not_measured(run):
    recipe, data, directory, *_ = run
    with pytest.raises(CheckpointError, match=r"network.leak is 0.5, it was trained with 0.95"):
        evaluate_run(edited(recipe, network={"leak": 0.5}), data, directory)
    with pytest.raises(CheckpointError, match=r"seed is 3, it was trained with 0"):
        evaluate_run(recipe.model_copy(update={"seed": 3}), data, directory)
    free = edited(recipe, evaluate={"draws": 1}, compute={"backend": "reference"}, data={"root": "/elsewhere"})
    free = free.model_copy(update={"notes": "measured again"})
    assert len(evaluate_run(free, data, directory, split="validation").evaluation.accuracy.correct) == 1


def test_no_run_is_overwritten(tmp_path):
    names = [new_run_directory("demo", tmp_path).path.name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]


def state(run):
    return {name: run.checkpoint(name).read_bytes() for name in ("last", "best")}


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_is_the_run_that_never_stopped(run, stop, tmp_path):
    """Model, momentum and metrics after stopping in the middle of an epoch, to the bit (but for the seconds)."""
    recipe, data, whole, records, _ = run
    halves = new_run_directory("halves", tmp_path)
    for record in train_run(recipe, data, halves):
        if isinstance(record, StepRecord) and (record.epoch, record.step) == (stop, 1):
            break
    rest = [r for r in train_run(recipe, data, halves, resume=True) if isinstance(r, EpochResult)]
    assert [r.epoch for r in rest] == list(range(stop, 3))
    for which in ("last", "best"):
        a, b = (safetensors.torch.load_file(r.checkpoint(which)) for r in (whole, halves))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    lines = [json.loads(line) for line in halves.metrics.read_text().splitlines()]
    assert [{**line, "seconds": 0} for line in lines] == [{**dataclasses.asdict(r), "seconds": 0} for r in records]
    assert (halves.path / f"environment-from-epoch-{stop + 1}.json").exists()


def test_resuming_a_finished_run_trains_no_more(run):
    recipe, data, directory, *_ = run
    before = state(directory)
    assert list(train_run(recipe, data, directory, resume=True)) == []
    assert state(directory) == before


def test_metrics_of_an_epoch_that_was_not_saved_are_dropped(run, tmp_path):
    recipe, data, *_ = run
    directory = new_run_directory("killed", tmp_path)
    records = train_run(recipe, data, directory)
    while not (isinstance(record := next(records), EpochResult) and record.epoch == 1):
        pass
    with directory.metrics.open("a") as file:
        file.write('{"epoch": 2}\n{"epoch": 3, "tor')
    list(train_run(recipe, data, directory, resume=True))
    assert [json.loads(line)["epoch"] for line in directory.metrics.read_text().splitlines()] == [0, 1, 2]


def test_what_cannot_be_resumed(run, tmp_path):
    recipe, data, *_ = run
    empty = new_run_directory("empty", tmp_path)
    with pytest.raises(CheckpointError, match="has not finished an epoch yet"):
        list(train_run(recipe, data, empty, resume=True))
    with pytest.raises(CheckpointError, match="is not a run directory"):
        find_run(tmp_path / "empty")


def test_other_data_than_before_is_refused(run, tmp_path):
    """Fault 35: prepared data, and built-in data that a new version changed."""
    recipe, data, *_ = run
    directory = begun(recipe, data, tmp_path)
    prepared = Manifest("mnist", "/x", "unchecked", {}, [], [], {"train": "1", "test": "2"})
    changed_content = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    for manifest in (prepared, changed_content):
        other = dataclasses.replace(data, manifest=manifest)
        with pytest.raises(CheckpointError, match=f"other data than this: fashion.*; now it is {manifest.name}"):
            evaluate_run(recipe, other, directory)
        with pytest.raises(CheckpointError, match="other data than this"):
            list(train_run(recipe, other, directory, resume=True))


def test_the_validation_part_can_be_measured_too(run):
    recipe, data, directory, records, _ = run
    result = evaluate_run(recipe, data, directory, split="validation", draws=1)
    assert result.evaluation.accuracy.samples == len(data.validation)
    assert result.evaluation.accuracy.mean == max(r.validation_accuracy for r in records)
    assert (directory.path / "evaluation-validation.json").exists()
