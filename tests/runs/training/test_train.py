"""A whole run at the smallest size: its files, its best epoch, and that it stops and goes on anywhere."""

import dataclasses
import errno
import json

import pytest
import torch

from bntt.data import ImageSet
from bntt.io.checkpoint import read_checkpoint, read_facts
from bntt.io.files import write_whole
from bntt.io.lock import RunLockedError, hold_run
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import load_recipe
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.requests import Requests
from bntt.runs.training.train import train_run
from bntt.training import NonFiniteError, Session, StepRecord
from tests.rows import each_row
from tests.runs import tiny


def test_the_directory_tells_the_whole_run(run):
    recipe, _, folder, epochs = run
    assert load_recipe(folder.path / "recipe.toml") == recipe
    environment = json.loads((folder.path / "environment.json").read_text())
    assert {"commit", "torch", "processor", "threads", "command", "started", "device", "data"} <= environment.keys()
    assert [line["epoch"] for line in tiny.lines(folder)] == [0, 1, 2]
    assert tiny.untimed(tiny.lines(folder)) == tiny.untimed(epochs)
    assert epochs[-1].gamma.keys() == epochs[-1].firing_rate.keys() >= {"conv1", "fc1"}
    assert not (folder.path / "lock.json").exists()


def test_the_best_epoch_on_validation_is_kept(run):
    *_, folder, epochs = run
    best, facts = max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.epoch)), read_facts(folder.best)
    assert (facts["epoch"], facts["validation_accuracy"]) == (best.epoch, best.validation_accuracy)
    assert [epoch.epoch for epoch in epochs if epoch.best][-1] == best.epoch


@each_row(
    ("checkpoint", "kept"),
    [({"every_steps": 1, "last": 2}, [3, 2]), ({"every_minutes": 0.0, "last": 9}, [3, 2, 1])],
)
def test_checkpoints_come_by_updates_or_by_the_clock_and_the_latest_are_kept(checkpoint, kept, run, tmp_path):
    recipe, data, *_ = run
    folder, _ = tiny.trained(tiny.edited(recipe, train={"epochs": 1}, checkpoint=checkpoint), data, tmp_path)
    assert [int(path.stem[5:]) for path in folder.checkpoints.paths()] == kept


def test_a_wish_to_save_saves_and_goes_on(run, tmp_path):
    recipe, data, *_ = run
    requests, folder, counts = Requests(), new_run_directory("saved", tmp_path), []
    for told in train_run(tiny.edited(recipe, train={"epochs": 1}), data, folder, requests=requests):
        counts.append(len(folder.checkpoints.paths()))
        if isinstance(told, StepRecord) and told.step == 0:
            requests.save = True
    assert counts[:3] == [0, 1, 1]
    assert requests.save is False


def test_how_often_it_is_validated_changes_no_weight(run, tmp_path):
    """R2."""
    recipe, data, whole, _ = run
    seldom = tiny.edited(recipe, evaluate={"every": 2})
    folder, epochs = tiny.trained(seldom, data, tmp_path)
    assert [epoch.validation_accuracy is None for epoch in epochs] == [True, False, False]
    one, other = (which.checkpoints.latest().checkpoint.tensors for which in (whole, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("file", ["metrics.jsonl", "best.safetensors", "step-"])
def test_what_was_measured_is_told_even_where_it_cannot_be_written(run, tmp_path, monkeypatch, file):
    recipe, data, *_ = run
    folder = new_run_directory("full", tmp_path)

    def full(path, payload):
        if path.name.startswith(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, payload)

    for place in ("bntt.io.checkpoint.write_whole", "bntt.io.files.write_whole"):
        monkeypatch.setattr(place, full)
    told = []
    with pytest.raises(OSError, match="No space left"):
        told.extend(train_run(recipe, data, folder))
    assert sum(isinstance(one, EpochResult) for one in told) == 1
    with hold_run(folder.path), pytest.raises(RunLockedError):
        next(train_run(recipe, data, folder))


@each_row("often, last", [(1, False), (0, True)])
def test_numbers_that_are_not_finite_are_not_kept(often, last, run, tmp_path):
    """Spoiled by an update, they are neither saved nor validated; the checkpoint before stays the last."""
    recipe, data, *_ = run
    update, folder = Session._update, new_run_directory("wild", tmp_path)

    def spoiled(one, parts):
        record, now = update(one, parts), one.position
        if (now.updates == 2 and not last) or (last and now.step == len(one.loader)):
            next(one.model.parameters()).data.fill_(torch.inf)
        return record

    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_update", spoiled)
        with pytest.raises(NonFiniteError, match="not finite"):
            told.extend(train_run(tiny.edited(recipe, checkpoint={"every_steps": often}), data, folder))
    assert not any(isinstance(one, EpochResult) for one in told)
    assert len(folder.checkpoints.paths()) == often
    assert_finite(folder)


def assert_finite(folder):
    for path in folder.checkpoints.paths():
        assert all(value.isfinite().all() for value in read_checkpoint(path).tensors.values())


def test_a_rate_that_breaks_the_training_leaves_finite_checkpoints(run, tmp_path):
    """The update is refused before it is made; the checkpoint before stays the last."""
    recipe, data, *_ = run
    wild = tiny.edited(recipe, train={"lr": 1e30}, checkpoint={"every_steps": 1})
    folder = new_run_directory("wild", tmp_path)
    with pytest.raises(NonFiniteError, match="skipped"):
        list(train_run(wild, data, folder))
    assert folder.checkpoints.paths()
    assert_finite(folder)


def test_training_never_touches_the_test_split(run, tmp_path):
    """T2: what is chosen is chosen on validation; a test split that breaks at a touch is none the worse."""

    class Untouchable(ImageSet):
        def __getattribute__(self, name):
            if name != "__class__":  # the tests' check of annotations asks for that
                raise AssertionError(f"the test split was asked for {name}")
            return ImageSet

    recipe, data, *_ = run
    data = dataclasses.replace(data, test=object.__new__(Untouchable))
    _, epochs = tiny.trained(tiny.edited(recipe, train={"epochs": 1}), data, tmp_path)
    assert epochs[0].validation_accuracy is not None


def test_epochs_have_their_steps_and_only_whole_ones_are_the_best(tmp_path):
    of = tiny.recipe(train={"epochs": 4, "grow": [[1, 1], [2, 1]]})
    run, epochs = tiny.trained(of, tiny.parts(of), tmp_path)
    assert [epoch.steps for epoch in epochs] == [1, 2, 3, 3]
    assert [epoch.best for epoch in epochs[:3]] == [False, False, True]
    assert load_run(run.path).epoch >= 2
