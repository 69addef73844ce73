"""A whole run at the smallest size: its files, its best epoch, and that it stops and goes on anywhere."""

import dataclasses
import errno
import json
import signal

import pytest
import torch

from bntt.experiments import run as runs
from bntt.experiments.directory import new_run_directory
from bntt.experiments.lock import RunLockedError, hold_run
from bntt.experiments.recipe import RecipeError, load_recipe
from bntt.experiments.run import check_resumable, train_run
from bntt.experiments.told import EpochResult, Notice
from bntt.experiments.wishes import Interrupted, Wishes
from bntt.training import StepRecord
from bntt.training.checkpoint import CheckpointError, read_checkpoint, read_facts
from tests.experiments import tiny

WAYS = {
    "the paper's": {},
    "adamw, average": {"optimizer": "adamw", "lr": 0.01, "amsgrad": True, "average": 0.9},
    "one-cycle, accumulated, clipped": {"schedule": "one-cycle", "accumulate": 2, "clip_norm": 1.0},
    "tet, cosine, warm-up": {"loss": "tet", "schedule": "cosine", "warmup": 0.5, "lr_every": "step"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = tiny.recipe()
    data = tiny.parts(recipe)
    return recipe, data, *tiny.trained(recipe, data, tmp_path_factory.mktemp("runs"))


def untimed(epochs):
    return [{**(epoch if isinstance(epoch, dict) else dataclasses.asdict(epoch)), "seconds": 0} for epoch in epochs]


def lines(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def final(run):
    """Everything that the last checkpoint and the best hold, but for the seconds."""
    last, best = run.kept.latest().checkpoint, read_checkpoint(run.best)
    facts = {**last.facts, "seconds": 0, "lines": untimed(last.facts["lines"])}
    return last.tensors, facts, best.tensors, best.facts


def assert_same(one, other):
    for a, b in zip(final(one), final(other), strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key], key
    assert untimed(lines(one)) == untimed(lines(other))


def test_the_directory_tells_the_whole_run(run):
    recipe, _, folder, epochs = run
    assert load_recipe(folder.path / "recipe.toml") == recipe
    environment = json.loads((folder.path / "environment.json").read_text())
    assert {"bntt", "commit", "python", "torch", "processor", "threads", "command", "started"} <= environment.keys()
    assert {"device", "data"} <= environment.keys()
    assert [line["epoch"] for line in lines(folder)] == [0, 1, 2]
    assert untimed(lines(folder)) == untimed(epochs)
    assert epochs[-1].gamma.keys() == epochs[-1].firing_rate.keys() >= {"conv1", "fc1"}
    assert not (folder.path / "lock.json").exists()


def test_the_best_epoch_on_validation_is_kept(run):
    *_, folder, epochs = run
    best = max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.epoch))
    facts = read_facts(folder.best)
    assert (facts["epoch"], facts["validation_accuracy"]) == (best.epoch, best.validation_accuracy)
    assert [epoch.epoch for epoch in epochs if epoch.best][-1] == best.epoch


def test_the_latest_checkpoints_are_kept_and_no_more(tmp_path):
    recipe = tiny.recipe(train={"epochs": 1}, checkpoint={"every_steps": 1, "last": 2})
    folder, _ = tiny.trained(recipe, tiny.parts(recipe), tmp_path)
    assert [path.name for path in folder.kept.paths()] == ["step-000000003.safetensors", "step-000000002.safetensors"]


def test_checkpoints_come_by_the_clock_too(tmp_path):
    recipe = tiny.recipe(train={"epochs": 1}, checkpoint={"every_minutes": 0.0, "last": 9})
    folder, _ = tiny.trained(recipe, tiny.parts(recipe), tmp_path)
    assert len(folder.kept.paths()) == 3


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_run_that_stops_anywhere_goes_on_with_the_same_bits(way, tmp_path):
    """R1: a wish to stop after every record, three epochs of three updates and their validations."""
    recipe = tiny.recipe(train={**way, "epochs": 2})
    data = tiny.parts(recipe)
    whole, _ = tiny.trained(recipe, data, tmp_path)
    records = 2 * (1 + (2 if "accumulate" in way else 3))
    for stop in range(1, records + 1):
        folder = stopped(recipe, data, tmp_path, records=stop)
        list(train_run(recipe, data, folder, resume=True))
        assert_same(whole, folder)


def test_a_stop_in_the_midst_of_a_validation_validates_again(run, tmp_path, monkeypatch):
    recipe, data, whole, _ = run
    folder, wishes, seen = new_run_directory("stopped", tmp_path), Wishes(), []
    real = runs.evaluate

    def evaluate(*arguments, progress, **options):
        def asked(images):
            wishes.stop = signal.SIGINT
            progress(images)

        return real(*arguments, progress=asked, **options)

    monkeypatch.setattr(runs, "evaluate", evaluate)
    with pytest.raises(Interrupted, match=r"stopped by SIGINT; everything is saved, go on with: .* --resume"):
        seen.extend(train_run(recipe, data, folder, wishes=wishes))
    assert folder.kept.latest().checkpoint.facts["epochs_done"] == 0
    assert not folder.metrics.exists()
    monkeypatch.undo()
    rest = [told for told in train_run(recipe, data, folder, resume=True) if isinstance(told, EpochResult)]
    assert [epoch.epoch for epoch in rest] == [0, 1, 2]
    assert_same(whole, folder)


def test_three_stops_in_one_epoch(run, tmp_path):
    """Fault 77."""
    recipe, data, whole, _ = run
    folder, resume = new_run_directory("stopped", tmp_path), False
    for _ in range(3):
        until(recipe, data, folder, records=2 if resume else 1, resume=resume)
        resume = True
    list(train_run(recipe, data, folder, resume=True))
    assert_same(whole, folder)


def test_a_wish_to_save_saves_and_goes_on(tmp_path):
    recipe, wishes = tiny.recipe(train={"epochs": 1}), Wishes()
    data, folder, counts = tiny.parts(recipe), new_run_directory("saved", tmp_path), []
    for told in train_run(recipe, data, folder, wishes=wishes):
        counts.append(len(folder.kept.paths()))
        if isinstance(told, StepRecord) and told.step == 0:
            wishes.save = True
    assert counts[:3] == [0, 1, 1]
    assert wishes.save is False


def test_how_often_it_is_validated_changes_no_weight(run, tmp_path):
    """R2."""
    recipe, data, whole, _ = run
    seldom = tiny.edited(recipe, evaluate={"every": 2})
    folder, epochs = tiny.trained(seldom, data, tmp_path)
    assert [epoch.validation_accuracy is None for epoch in epochs] == [True, False, False]
    one, other = (which.kept.latest().checkpoint.tensors for which in (whole, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def stopped(recipe, data, tmp_path, records=5):
    """The directory of a run that stopped after some records: in its second epoch, by default."""
    folder = new_run_directory("stopped", tmp_path)
    until(recipe, data, folder, records=records)
    return folder


def until(recipe, data, folder, *, records, **options):
    """Go on until so many things were told, then wish to stop."""
    wishes = Wishes()

    def wishing():
        for number, told in enumerate(train_run(recipe, data, folder, wishes=wishes, **options), start=1):
            if number == records:
                wishes.stop = signal.SIGTERM
            yield told

    with pytest.raises(Interrupted):
        list(wishing())


def test_a_recipe_that_was_changed_is_not_resumed(run, tmp_path):
    recipe, data, *_ = run
    folder = stopped(recipe, data, tmp_path)
    before = final(folder)[1], folder.metrics.read_text()
    other = tiny.edited(recipe, train={"lr": 0.01}, network={"width": 0.25})
    message = r"network.width is 0.25, it was trained with 0.125; train.lr is 0.01, it was trained with 0.3\): put the"
    with pytest.raises(CheckpointError, match=message):
        list(train_run(other, data, folder, resume=True))
    assert (final(folder)[1], folder.metrics.read_text()) == before


def test_what_may_change_changes_and_is_said(run, tmp_path):
    recipe, data, *_ = run
    folder = stopped(recipe, data, tmp_path)
    other = tiny.edited(recipe, train={"epochs": 4}, evaluate={"draws": 9}, compute={"events": "never"})
    told = list(train_run(other, data, folder, resume=True))
    notices = [one.text for one in told if isinstance(one, Notice)]
    assert notices == [
        "train.epochs is 4 from here on, it was 3",
        "evaluate.draws is 9 from here on, it was 2",
        "compute.events is 'never' from here on, it was 'fixed'",
        "rates from epoch 2 on: 0.3, 0.003, 0.0003",
        "going on in epoch 2 of 4, after update 4",
    ]
    assert [one.epoch for one in told if isinstance(one, EpochResult)] == [1, 2, 3]
    assert load_recipe(folder.recipe) == other
    assert [path.name for path in folder.path.glob("environment*")] != ["environment.json"]


def test_epochs_that_cannot_change(run, tmp_path):
    recipe, data, *_ = run
    folder = stopped(recipe, data, tmp_path)
    with pytest.raises(RecipeError, match=r"train.epochs: 1 is fewer than the 3 that it began with \(1 are done\)"):
        check_resumable(tiny.edited(recipe, train={"epochs": 1}), folder)
    cycle = tiny.edited(recipe, train={"schedule": "one-cycle"})
    folder = stopped(cycle, data, tmp_path)
    with pytest.raises(RecipeError, match="one-cycle schedule of 3 epochs cannot be drawn out to 9"):
        check_resumable(tiny.edited(cycle, train={"epochs": 9}), folder)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(run, tmp_path):
    recipe, data, whole, _ = run
    often = tiny.edited(recipe, checkpoint={"every_steps": 1})
    folder = stopped(often, data, tmp_path)
    latest = folder.kept.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    told = list(train_run(often, data, folder, resume=True))
    assert isinstance(told[0], Notice)
    assert f"{latest.name} is damaged" in told[0].text
    assert "going on from step-000000003.safetensors, the one before" in told[0].text
    one, other = (which.kept.latest().checkpoint.tensors for which in (whole, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_best_epoch_that_is_lost_is_noticed_at_the_start(run, tmp_path, harm):
    recipe, data, *_ = run
    folder = stopped(recipe, data, tmp_path)
    folder.best.unlink() if harm == "missing" else folder.best.write_bytes(folder.best.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="the best epoch's weights are lost; --forget-best goes on"):
        list(train_run(recipe, data, folder, resume=True))
    epochs = [one for one in train_run(recipe, data, folder, resume=True, forget_best=True) if hasattr(one, "best")]
    assert epochs[0].best
    assert read_facts(folder.best)["epoch"] >= 1


def test_damaged_metrics_are_mended_from_the_checkpoint(run, tmp_path):
    recipe, data, whole, _ = run
    folder = stopped(recipe, data, tmp_path)
    folder.metrics.write_text('{"epoch": 0, "tor')
    list(train_run(recipe, data, folder, resume=True))
    assert untimed(lines(folder)) == untimed(lines(whole))


def test_resuming_a_finished_run_trains_no_more(run):
    recipe, data, folder, _ = run
    before = final(folder)
    told = list(train_run(recipe, data, folder, resume=True))
    assert [one.text for one in told] == ["all 3 epochs are done: there is nothing to train"]
    assert final(folder)[1] == before[1]


def test_nothing_to_resume(tmp_path, run):
    recipe, data, *_ = run
    with pytest.raises(CheckpointError, match="holds no checkpoint: there is nothing to resume"):
        list(train_run(recipe, data, new_run_directory("empty", tmp_path), resume=True))


def test_other_data_is_not_trained_on(run, tmp_path):
    recipe, data, *_ = run
    folder = stopped(recipe, data, tmp_path)
    changed = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    with pytest.raises(CheckpointError, match="was trained on other data than this"):
        list(train_run(recipe, dataclasses.replace(data, manifest=changed), folder, resume=True))


def test_a_run_that_is_held_is_not_touched(run, tmp_path):
    recipe, data, *_ = run
    folder = new_run_directory("held", tmp_path)
    with hold_run(folder.path), pytest.raises(RunLockedError):
        next(train_run(recipe, data, folder))
    assert not folder.recipe.exists()


@pytest.mark.parametrize("file", ["metrics.jsonl", "best.safetensors", "step-"])
def test_what_was_measured_is_told_even_where_it_cannot_be_written(run, tmp_path, monkeypatch, file):
    from bntt.training import checkpoint

    recipe, data, *_ = run
    folder, real = new_run_directory("full", tmp_path), checkpoint.write_whole

    def full(path, payload):
        if path.name.startswith(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, payload)

    for place in ("bntt.training.checkpoint.write_whole", "bntt.experiments.run.write_whole"):
        monkeypatch.setattr(place, full)
    told = []
    with pytest.raises(OSError, match="No space left"):
        told.extend(train_run(recipe, data, folder))
    assert isinstance(told[-1], EpochResult)


def test_numbers_that_are_not_finite_are_not_kept(run, tmp_path):
    """A rate of 1e30 makes weights that are; the checkpoint before stays the last."""
    recipe, data, *_ = run
    wild = tiny.edited(recipe, train={"lr": 1e30}, checkpoint={"every_steps": 1})
    folder = new_run_directory("wild", tmp_path)
    with pytest.raises(ArithmeticError):
        list(train_run(wild, data, folder))
    for path in folder.kept.paths():
        assert all(value.isfinite().all() for value in read_checkpoint(path).tensors.values())


def test_the_choice_of_what_to_keep_is_made_once(run, tmp_path, monkeypatch):
    """recompute = "auto" as the first start found it, whatever memory is free at the second."""
    recipe, data, *_ = run
    monkeypatch.setattr("bntt.engine.spans.available_memory", lambda device: 0.0)
    folder = stopped(recipe, data, tmp_path)
    monkeypatch.undo()
    assert folder.kept.latest().checkpoint.facts["compute"]["recompute"] == 2
    list(train_run(recipe, data, folder, resume=True))
    assert folder.kept.latest().checkpoint.facts["compute"]["recompute"] == 2
    other = stopped(recipe, data, tmp_path)
    assert other.kept.latest().checkpoint.facts["compute"]["recompute"] == "never"
