"""A run stops anywhere and goes on with the same bits, and what differs is said or refused."""

import dataclasses
import signal

import pytest
import torch

from bntt.io.checkpoint import CheckpointError, read_checkpoint, read_facts, write_checkpoint
from bntt.runs.directory import new_run_directory
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training import train as runs
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.runs.training.requests import Interrupted, Requests
from bntt.runs.training.start import TrainCommand, check_resume, resume_or_start, resumes_in
from bntt.runs.training.train import train_run
from tests.rows import each_row
from tests.runs import tiny

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


@pytest.mark.slow
@each_row("way", WAYS.values())
def test_a_run_that_stops_anywhere_goes_on_with_the_same_bits(way, tmp_path):
    """R1: a wish to stop after every record, three epochs of three updates and their validations."""
    recipe = tiny.recipe(train={**way, "epochs": 2})
    data = tiny.parts(recipe)
    whole, _ = tiny.trained(recipe, data, tmp_path)
    records = 2 * (1 + (2 if "accumulate" in way else 3))
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
    with pytest.raises(Interrupted, match=r"stopped by SIGINT; everything is saved, continue with: .* --resume"):
        seen.extend(train_run(recipe, data, folder, requests=requests))
    assert folder.checkpoints.latest().checkpoint.facts["epochs_done"] == 0
    assert not folder.metrics.exists()
    monkeypatch.undo()
    rest = [told for told in train_run(recipe, data, folder, resume=True) if isinstance(told, EpochResult)]
    assert [epoch.epoch for epoch in rest] == [0, 1, 2]
    tiny.assert_same(whole, folder)


def test_a_precision_that_computes_other_spikes_is_refused(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    check_resume(tiny.edited(recipe, compute={"precision": "bf16-grad"}), folder)
    with pytest.raises(RecipeError, match=r"'bf16' cannot follow the 'fp32'.*forward pass"):
        check_resume(tiny.edited(recipe, compute={"precision": "bf16"}), folder)


def test_three_stops_in_one_epoch(run, tmp_path):
    """Fault 77."""
    recipe, data, whole, _ = run
    folder, resume = new_run_directory("stopped", tmp_path), False
    for _ in range(3):
        tiny.until(recipe, data, folder, records=2 if resume else 1, resume=resume)
        resume = True
    list(train_run(recipe, data, folder, resume=True))
    tiny.assert_same(whole, folder)


def test_a_recipe_that_was_changed_is_not_resumed(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    before = tiny.final(folder)[1], folder.metrics.read_text()
    other = tiny.edited(recipe, train={"lr": 0.01}, network={"width": 0.25})
    message = r"network.width is 0.25, it was trained with 0.125; train.lr is 0.01, it was trained with 0.3\): put the"
    with pytest.raises(CheckpointError, match=message):
        list(train_run(other, data, folder, resume=True))
    assert (tiny.final(folder)[1], folder.metrics.read_text()) == before


def test_what_may_change_changes_and_is_said(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    other = tiny.edited(recipe, train={"epochs": 4}, evaluate={"draws": 9}, compute={"events": "never"})
    told = list(train_run(other, data, folder, resume=True))
    notices = [one.text for one in told if isinstance(one, Notice) and not one.text.startswith("warning")]
    assert notices == [
        "train.epochs is 4 from here on, it was 3",
        "evaluate.draws is 9 from here on, it was 2",
        "compute.events is 'never' from here on, it was 'fixed'",
        "rates from epoch 2 on: 0.3, 0.003, 0.0003",
        "resuming in epoch 2 of 4, after update 4",
    ]
    assert [one.epoch for one in told if isinstance(one, EpochResult)] == [1, 2, 3]
    assert load_recipe(folder.recipe) == other
    assert [path.name for path in folder.path.glob("environment*")] != ["environment.json"]


def test_epochs_that_cannot_change(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    with pytest.raises(RecipeError, match=r"train.epochs: 1 cannot follow the 3 .*\(1 are done\)"):
        check_resume(tiny.edited(recipe, train={"epochs": 1}), folder)
    cycle = tiny.edited(recipe, train={"schedule": "one-cycle"})
    folder = tiny.stopped(cycle, data, tmp_path)
    with pytest.raises(RecipeError, match=r"train.epochs: 9 .*one-cycle cannot be extended"):
        check_resume(tiny.edited(cycle, train={"epochs": 9}), folder)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(run, tmp_path):
    recipe, data, whole, _ = run
    often = tiny.edited(recipe, checkpoint={"every_steps": 1})
    folder = tiny.stopped(often, data, tmp_path)
    latest = folder.checkpoints.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    told = list(train_run(often, data, folder, resume=True))
    assert isinstance(told[0], Notice)
    assert f"{latest.name} is damaged" in told[0].text
    assert "going on from step-000000003.safetensors, the one before" in told[0].text
    one, other = (which.checkpoints.latest().checkpoint.tensors for which in (whole, folder))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
@each_row("harm", ["missing", "damaged"])
def test_a_best_epoch_that_is_lost_is_noticed_at_the_start(run, tmp_path, harm):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    folder.best.unlink() if harm == "missing" else folder.best.write_bytes(folder.best.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="the best epoch's weights are lost; --forget-best resumes"):
        list(train_run(recipe, data, folder, resume=True))
    epochs = [one for one in train_run(recipe, data, folder, resume=True, forget_best=True) if hasattr(one, "best")]
    assert epochs[0].best
    assert read_facts(folder.best)["epoch"] >= 1


def test_damaged_metrics_are_mended_from_the_checkpoint(run, tmp_path):
    recipe, data, whole, _ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    folder.metrics.write_text('{"epoch": 0, "tor')
    list(train_run(recipe, data, folder, resume=True))
    assert tiny.untimed(tiny.lines(folder)) == tiny.untimed(tiny.lines(whole))


def test_resuming_a_finished_run_trains_no_more(run):
    recipe, data, folder, _ = run
    before = tiny.final(folder)
    told = list(train_run(recipe, data, folder, resume=True))
    assert [one.text for one in told] == ["all 3 epochs are done: there is nothing to train"]
    assert tiny.final(folder)[1] == before[1]


def test_a_run_from_before_winograd_goes_on_to_the_same_bits(tmp_path):
    """Its recipe does not say how it rounds: it rounded as PyTorch does."""
    wide = {"width": 0.5}
    direct, new = (
        tiny.recipe(network=wide, compute=compute) for compute in ({"input_grad": "direct", "rectifiers": "plain"}, {})
    )
    data = tiny.parts(direct)
    whole, _ = tiny.trained(direct, data, tmp_path)
    other, _ = tiny.trained(new, data, tmp_path)
    assert not torch.equal(*(next(iter(tiny.final(one)[2].values())) for one in (whole, other)))
    old = tiny.stopped(direct, data, tmp_path)
    for path in (*old.checkpoints.paths(), old.best):
        tensors, facts = read_checkpoint(path)
        write_checkpoint(path, tensors, facts | {"recipe": without_rounding(facts["recipe"])})
    old.recipe.write_text(without_rounding(old.recipe.read_text("utf-8")), "utf-8")
    resumed = resume_or_start(TrainCommand(str(old.path), resume=True)).recipe
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
    with pytest.raises(CheckpointError, match=r"killed has a training .*train.epochs = 0"):
        resumes_in(killed, load_recipe("fashion-mnist-conversion"))
    list(train_run(recipe, data, killed, resume=True))
    tiny.assert_same(whole, killed)
    before = killed.best.read_bytes()
    for path in killed.checkpoints.paths():
        path.unlink()
    command = TrainCommand(str(killed.recipe), ("seed=1",), name="killed", root=str(tmp_path), or_resume=True)
    with pytest.raises(CheckpointError, match=r"killed has weights, and no checkpoint .* take another name, or delete"):
        resume_or_start(command)
    assert killed.best.read_bytes() == before
    killed.best.unlink()
    assert not resume_or_start(command).resumes


def test_nothing_to_resume(tmp_path, run):
    recipe, data, *_ = run
    with pytest.raises(CheckpointError, match="holds no checkpoint: nothing to resume"):
        list(train_run(recipe, data, new_run_directory("empty", tmp_path), resume=True))


def test_other_data_is_not_trained_on(run, tmp_path):
    recipe, data, *_ = run
    folder = tiny.stopped(recipe, data, tmp_path)
    changed = dataclasses.replace(data.manifest, sha256={**data.manifest.sha256, "train": "0"})
    with pytest.raises(CheckpointError, match="was trained on other data than this"):
        list(train_run(recipe, dataclasses.replace(data, manifest=changed), folder, resume=True))


@pytest.mark.slow
def test_the_choice_of_what_to_keep_is_made_once(run, tmp_path, monkeypatch):
    """recompute = "auto" as the first start found it, whatever memory is free at the second."""
    recipe, data, *_ = run
    monkeypatch.setattr("bntt.engine.graph.stack.available_memory", lambda device: 0.0)
    folder = tiny.stopped(recipe, data, tmp_path)
    monkeypatch.undo()
    assert folder.checkpoints.latest().checkpoint.facts["compute"]["recompute"] == 2
    list(train_run(recipe, data, folder, resume=True))
    assert folder.checkpoints.latest().checkpoint.facts["compute"]["recompute"] == 2
    other = tiny.stopped(recipe, data, tmp_path)
    assert other.checkpoints.latest().checkpoint.facts["compute"]["recompute"] == "never"


def test_a_run_that_made_currents_again_goes_on_in_plain_pytorch(run, tmp_path, monkeypatch):
    """Which keeps them all: the choice of the first start is none of its own."""
    recipe, data, *_ = run
    monkeypatch.setattr("bntt.engine.graph.stack.available_memory", lambda device: 0.0)
    folder = tiny.stopped(recipe, data, tmp_path)
    monkeypatch.undo()
    plain = tiny.edited(recipe, compute={"backend": "reference"})
    assert any(isinstance(one, EpochResult) for one in train_run(plain, data, folder, resume=True))
    assert folder.checkpoints.latest().checkpoint.facts["compute"]["recompute"] == "never"
