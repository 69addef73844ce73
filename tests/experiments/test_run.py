"""A whole run at the smallest size: files, best epoch, the test split, and resumable tensors."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from bntt.data.prepared import Manifest
from bntt.experiments.build import build_data, build_model
from bntt.experiments.recipe import load_recipe, parse_recipe
from bntt.experiments.run import EpochResult, evaluate_run, find_run, new_run_directory, train_run
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
    assert written["images"] == result.evaluation.accuracy.images == 60
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


def test_direct_coding_is_measured_once(run, tmp_path):
    recipe, data, directory, *_ = run
    direct = recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"name": "direct"})})
    assert len(evaluate_run(direct, data, directory, split="validation").evaluation.accuracy.correct) == 1


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
    """Fault 35."""
    recipe, data, *_ = run
    manifest = Manifest("x", "/x", "unchecked", {}, [], [], {"train": "1"})
    directory = new_run_directory("data", tmp_path)
    records = train_run(recipe, dataclasses.replace(data, manifest=manifest), directory)
    while not isinstance(next(records), EpochResult):
        pass
    other = dataclasses.replace(manifest, sha256={"train": "2"})
    with pytest.raises(CheckpointError, match="was trained on other data"):
        evaluate_run(recipe, dataclasses.replace(data, manifest=other), directory)
    with pytest.raises(CheckpointError, match="was trained on other data"):
        list(train_run(recipe, dataclasses.replace(data, manifest=other), directory, resume=True))


def test_the_validation_part_can_be_measured_too(run):
    recipe, data, directory, records, _ = run
    result = evaluate_run(recipe, data, directory, split="validation", draws=1)
    assert result.evaluation.accuracy.images == len(data.validation)
    assert result.evaluation.accuracy.mean == max(r.validation_accuracy for r in records)
    assert (directory.path / "evaluation-validation.json").exists()
