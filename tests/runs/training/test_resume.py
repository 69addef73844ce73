"""A whole run at the smallest size: its files and its best epoch; it stops anywhere and goes on with the same bits."""

import dataclasses
import errno
import json
import signal
from pathlib import Path

import pytest
import torch

from bntt.data import ImageSet
from bntt.io.checkpoint import CheckpointError, read_checkpoint, read_facts, write_checkpoint
from bntt.io.files import write_whole
from bntt.io.lock import RunLockedError, hold_run
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training import train as runs
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.runs.training.requests import Interrupted, Requests, command_to_resume
from bntt.runs.training.start import TrainCommand, check_resume, resume_or_start, resumes_in
from bntt.runs.training.train import train_run
from bntt.training import NonFiniteError, Session, StepRecord
from tests.rows import each_row
from tests.runs import tiny

WAYS = {
    "the paper's": {},
    "adamw, average": {"optimizer": "adamw", "lr": 0.01, "amsgrad": True, "average": 0.9},
    "one-cycle, accumulated, clipped": {"schedule": "one-cycle", "accumulate": 2, "clip_norm": 1.0},
    "tet, cosine, warm-up": {"loss": "tet", "schedule": "cosine", "warmup": 0.5, "lr_every": "step"},
    "growing, average": {"epochs": 3, "grow": [[1, 1], [2, 1]], "average": 0.5},
}


@pytest.mark.slow
@each_row("way", WAYS.values())
def test_a_run_that_stops_anywhere_goes_on_with_the_same_bits(way, tmp_path):
    """R1: a wish to stop after every record, epochs of three updates and their validations."""
    recipe = tiny.recipe(train={"epochs": 2, **way})
    data = tiny.parts(recipe)
    whole, _ = tiny.trained(recipe, data, tmp_path)
    records = recipe.train.epochs * (1 + (2 if "accumulate" in way else 3))
    for stop in range(1, records + 1):
        folder = tiny.stopped(recipe, data, tmp_path, records=stop)
        list(train_run(recipe, data, folder, resume=True))
        tiny.assert_same(whole, folder)


@pytest.mark.slow
def test_a_stop_in_the_midst_of_a_validation_validates_again(run, tmp_path, monkeypatch):
    recipe, data, whole, _ = run
    folder, requests, seen = new_run_directory("stopped", tmp_path), Requests(), []
    real = runs.evaluate

    def evaluate(*arguments, progress, **options):
        def asked(images):
            requests.stop = signal.SIGINT
            progress(images)

        return real(*arguments, progress=asked, **options)

    monkeypatch.setattr(runs, "evaluate", evaluate)
    with pytest.raises(Interrupted, match=r"stopped by SIGINT; .* --resume"):
        seen.extend(train_run(recipe, data, folder, requests=requests))
    assert folder.checkpoints.latest().checkpoint.facts["epochs_done"] == 0
    assert not folder.metrics.exists()
    monkeypatch.undo()
    rest = [told for told in train_run(recipe, data, folder, resume=True) if isinstance(told, EpochResult)]
    assert [epoch.epoch for epoch in rest] == [0, 1, 2]
    tiny.assert_same(whole, folder)


def test_three_stops_in_one_epoch(run, tmp_path):
    """Fault 77."""
    recipe, data, whole, _ = run
    folder, resume = new_run_directory("stopped", tmp_path), False
    for _ in range(3):
        tiny.until(recipe, data, folder, records=2 if resume else 1, resume=resume)
        resume = True
    list(train_run(recipe, data, folder, resume=True))
    tiny.assert_same(whole, folder)


ONE_CYCLE = {"schedule": "one-cycle"}


@each_row(
    ("begun", "wanted", "named"),
    [
        ({}, {"train": {"lr": 0.01}, "network": {"width": 0.25}}, r"network\.width is 0\.25, .*train\.lr is 0\.01"),
        ({}, {"train": {"epochs": 1}}, r"train\.epochs"),
        (ONE_CYCLE, {"train": {**ONE_CYCLE, "epochs": 9}}, r"train\.epochs: .*one-cycle"),
        ({}, {"compute": {"precision": "bf16"}}, r"compute\.precision"),
    ],
)
def test_a_recipe_that_was_changed_is_not_resumed(begun, wanted, named, run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(tiny.edited(recipe, train=begun), data, tmp_path)
    before = tiny.final(folder)[1], folder.metrics.read_text()
    with pytest.raises((CheckpointError, RecipeError), match=named):
        list(train_run(tiny.edited(recipe, **wanted), data, folder, resume=True))
    assert (tiny.final(folder)[1], folder.metrics.read_text()) == before


def test_what_may_change_changes_and_is_said(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    check_resume(tiny.edited(recipe, compute={"precision": "bf16-grad"}), folder)
    other = tiny.edited(recipe, train={"epochs": 4}, evaluate={"draws": 9}, compute={"events": "never"})
    told = list(train_run(other, data, folder, resume=True))
    notices = [one.text for one in told if isinstance(one, Notice) and not one.text.startswith("warning")]
    named = ("train.epochs is 4", "evaluate.draws is 9", "compute.events is 'never'", "rates from epoch 2 on: 0.3,")
    assert all(any(text.startswith(start) for text in notices) for start in named)
    assert [one.epoch for one in told if isinstance(one, EpochResult)] == [1, 2, 3]
    assert load_recipe(folder.recipe) == other
    assert [path.name for path in folder.path.glob("environment*")] != ["environment.json"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_metrics_are_mended(run, tmp_path):
    recipe, data, whole, _ = run
    often = tiny.edited(recipe, checkpoint={"every_steps": 1})
    folder = tiny.stopped(often, data, tmp_path)
    latest = folder.checkpoints.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    folder.metrics.write_text('{"epoch": 0, "tor')
    told = list(train_run(often, data, folder, resume=True))
    assert latest.name in told[0].text
    assert "step-000000003.safetensors" in told[0].text
    one, other = (which.checkpoints.latest().checkpoint.tensors for which in (whole, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert tiny.untimed(tiny.lines(folder)) == tiny.untimed(tiny.lines(whole))


@pytest.mark.slow
@each_row("harm", ["missing", "damaged"])
def test_a_best_epoch_that_is_lost_is_noticed_at_the_start(run, tmp_path, harm):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    folder.best.unlink() if harm == "missing" else folder.best.write_bytes(folder.best.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="--forget-best"):
        list(train_run(recipe, data, folder, resume=True))
    epochs = [one for one in train_run(recipe, data, folder, resume=True, forget_best=True) if hasattr(one, "best")]
    assert epochs[0].best
    assert read_facts(folder.best)["epoch"] >= 1


def test_resuming_a_finished_run_trains_no_more(run):
    recipe, data, folder, _ = run
    before = tiny.final(folder)
    assert len(list(train_run(recipe, data, folder, resume=True))) == 1, "a notice"
    assert tiny.final(folder)[1] == before[1]


def test_a_run_from_before_winograd_goes_on_to_the_same_bits(tmp_path):
    """Its recipe does not say how it rounds: it rounded as PyTorch does."""
    direct = tiny.recipe(network={"width": 0.5}, compute={"input_grad": "direct", "rectifiers": "plain"})
    data = tiny.parts(direct)
    whole, _ = tiny.trained(direct, data, tmp_path)
    old = tiny.stopped(direct, data, tmp_path)
    for path in (*old.checkpoints.paths(), old.best):
        tensors, facts = read_checkpoint(path)
        write_checkpoint(path, tensors, facts | {"recipe": without_rounding(facts["recipe"])})
    old.recipe.write_text(without_rounding(old.recipe.read_text("utf-8")), "utf-8")
    resumed = resume_or_start(TrainCommand(str(old.path), resume=True)).recipe
    assert (resumed.compute.input_grad, resumed.compute.rectifiers) == ("direct", "plain")
    list(train_run(resumed, data, old, resume=True))
    tiny.assert_same(whole, old)


def without_rounding(recipe: str) -> str:
    return "".join(line for line in recipe.splitlines(True) if not line.startswith(("input_grad", "rectifiers")))


def test_weights_without_a_checkpoint_are_of_a_run_that_ended_and_stay(run, tmp_path, monkeypatch):
    """A kill between the first epoch's weights and its checkpoint leaves one to go on from."""
    recipe, data, whole, _ = run
    killed = new_run_directory("killed", tmp_path)
    monkeypatch.setattr(runs, "write_json_lines", lambda path, rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(train_run(recipe, data, killed))
    monkeypatch.undo()
    assert killed.best.is_file()
    assert resumes_in(killed, recipe)
    with pytest.raises(CheckpointError, match=r"killed .*train\.epochs = 0"):
        resumes_in(killed, load_recipe("fashion-mnist-conversion"))
    list(train_run(recipe, data, killed, resume=True))
    tiny.assert_same(whole, killed)
    before = killed.best.read_bytes()
    for path in killed.checkpoints.paths():
        path.unlink()
    command = TrainCommand(str(killed.recipe), ("seed=1",), name="killed", root=str(tmp_path), or_resume=True)
    with pytest.raises(CheckpointError, match="killed has weights"):
        resume_or_start(command)
    assert killed.best.read_bytes() == before
    killed.best.unlink()
    assert not resume_or_start(command).resumes


def test_nothing_to_resume_and_other_data_are_refused(run, tmp_path):
    recipe, data, *_ = run
    with pytest.raises(CheckpointError, match="no checkpoint"):
        list(train_run(recipe, data, new_run_directory("empty", tmp_path), resume=True))
    folder = tiny.stopped(recipe, data, tmp_path)
    changed = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    with pytest.raises(CheckpointError, match="other data"):
        list(train_run(recipe, dataclasses.replace(data, manifest=changed), folder, resume=True))


def test_the_choice_of_what_to_keep_is_made_once(run, tmp_path, monkeypatch):
    """recompute = "auto" as the first start found it, whatever memory is free at the second; but in plain PyTorch."""
    recipe, data, *_ = run

    def kept(folder):
        return folder.checkpoints.latest().checkpoint.facts["compute"]["recompute"]

    assert kept(tiny.stopped(recipe, data, tmp_path)) == "never"
    monkeypatch.setattr("bntt.engine.graph.stack.available_memory", lambda device: 0.0)
    folders = [tiny.stopped(recipe, data, tmp_path) for _ in range(2)]
    monkeypatch.undo()
    assert [kept(folder) for folder in folders] == [2, 2]
    list(train_run(recipe, data, folders[0], resume=True))
    plain = tiny.edited(recipe, compute={"backend": "reference"})
    assert any(isinstance(one, EpochResult) for one in train_run(plain, data, folders[1], resume=True))
    assert [kept(folder) for folder in folders] == [2, "never"]


def test_a_run_is_resumed_by_as_many_processes_each_on_a_gpu_of_its_own():
    command = "torchrun --nproc-per-node 2 -m bntt train runs/mine --resume --device cuda"
    assert command_to_resume(Path("runs/mine"), "cuda:1", 2) == command


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
