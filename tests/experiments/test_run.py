"""A whole run at the smallest size: files, best epoch, the test split, and resumable tensors."""

import dataclasses
import json

import pytest
import torch

from bntt.experiments.build import build_data, build_model
from bntt.experiments.recipe import load_recipe, parse_recipe
from bntt.experiments.run import EpochResult, evaluate_run, new_run_directory, train_run
from bntt.training.checkpoint import load_checkpoint
from tests.experiments.test_recipe import changed


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = parse_recipe(
        changed(
            data={"validation": 30},
            network={"width": 0.125, "num_steps": 3},
            train={"epochs": 3, "batch_size": 20},
            evaluate={"draws": 2},
        )
    )
    data = build_data(recipe)
    few = torch.arange(60)
    data = dataclasses.replace(data, train=data.train.select(few), test=data.test.select(few))
    folder = new_run_directory("tiny", tmp_path_factory.mktemp("runs"))
    torch.set_num_threads(1)
    records = [r for r in train_run(recipe, data, folder) if isinstance(r, EpochResult)]
    return recipe, data, folder, records, evaluate_run(recipe, data, folder)


def test_the_directory_tells_the_whole_run(run):
    recipe, _, folder, records, _ = run
    assert load_recipe(folder / "recipe.toml") == recipe
    environment = json.loads((folder / "environment.json").read_text())
    assert {"bntt", "commit", "python", "torch", "processor", "threads", "command", "started"} <= environment.keys()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert lines[-1]["validation_accuracy"] == records[-1].validation_accuracy


def test_the_best_epoch_on_validation_is_kept(run):
    recipe, data, folder, records, result = run
    best = max(records, key=lambda r: (r.validation_accuracy, -r.epoch))
    assert result.epoch == best.epoch
    assert [r.epoch for r in records if r.best][-1] == best.epoch
    notes = load_checkpoint(folder / "checkpoints" / "last.safetensors", build_model(recipe, data))
    assert notes["epoch"] == "2"


def test_the_evaluation_counts_every_test_image(run):
    *_, folder, _, result = run
    written = json.loads((folder / "evaluation.json").read_text())
    assert written["images"] == result.evaluation.accuracy.images == 60
    assert written["draws"] == 2
    assert written["accuracy"] == written["accuracy_over_time"][-1]
    assert written["gamma_magnitude"].keys() == written["firing_rate"].keys()


def test_no_run_is_overwritten(tmp_path):
    names = [new_run_directory("demo", tmp_path).name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]
