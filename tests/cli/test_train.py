"""``bntt train``: a run directory, overrides and resuming."""

import json
import re
import shlex
import signal

import pytest

from bntt.cli import main as cli
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_json
from bntt.runs.identity import check_same_recipe
from bntt.runs.recipe.file import load_recipe
from bntt.training import Session, StepRecord
from tests.trained import trained_run

SMALL = [
    *("-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=2", "-s", "train.batch_size=900"),
    *("-s", "data.images=1000", "-s", "evaluate.images=100"),
]


@pytest.fixture
def train(tmp_path):
    """Runs ``bntt train`` with runs in the folder ``runs``; its exit code."""
    return lambda *args: cli.main(["train", *args, "--root", str(tmp_path / "runs")])


def evaluated(run):
    """What was measured, but for how long the training took."""
    return {**json.loads((run / "evaluation.json").read_text()), "seconds": 0}


@pytest.mark.slow
def test_a_run_and_a_second_one_beside_it(train, tmp_path, capsys):
    for _ in range(2):
        assert train("demo", *SMALL, "-s", "evaluate.draws=1") == 0
    first, second = (evaluated(tmp_path / "runs" / name) for name in ("demo", "demo-2"))
    assert first == second, "the same recipe is the same run"
    assert f"bntt report {tmp_path}/runs/demo-2" in capsys.readouterr().out


@pytest.fixture
def stopped_once(monkeypatch):
    """A signal in the second epoch of the first training."""
    real, raised = Session.records, []

    def interrupted(self):
        for record in real(self):
            if isinstance(record, StepRecord) and record.epoch == 1 and not raised:
                raised.append(record)
                signal.raise_signal(signal.SIGTERM)
            yield record

    monkeypatch.setattr(Session, "records", interrupted)


def test_an_interrupted_run_goes_on(train, tmp_path, stopped_once):
    """Then --resume, to its end; to the same bits in the slow tests, and in those of runs."""
    assert train("demo", *SMALL, "-s", "evaluate.draws=1") == 143
    run = tmp_path / "runs" / "demo"
    assert train(str(run), "--resume") == 0
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [0, 1]
    assert evaluated(run)["images"] == 100
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_command_begins_a_run_and_takes_it_up_again(train, tmp_path, stopped_once):
    command = ["demo", *SMALL, "--name", "mine", "--or-resume"]
    (tmp_path / "runs" / "mine").mkdir(parents=True)  # what a kill before the first checkpoint leaves
    assert train(*command) == 143
    assert train(*command) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine"]
    assert train("demo", *SMALL, "--name", "whole") == 0
    assert evaluated(tmp_path / "runs" / "mine") == evaluated(tmp_path / "runs" / "whole")


@pytest.mark.slow
def test_what_may_change_on_the_command_line(train, tmp_path, capsys):
    assert train("demo", *SMALL) == 0
    run = str(tmp_path / "runs" / "demo")
    assert train(run, "--resume", "-s", "train.epochs=3", "-s", "evaluate.draws=1") == 0
    assert "epoch 3/3" in capsys.readouterr().out
    for change, code in (("train.lr=1", 4), ("train.epochs=1", 2)):
        assert train(run, "--resume", "-s", change) == code
        assert change.partition("=")[0] in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_measured_is_shown_though_the_disk_is_full(train, capsys, monkeypatch):
    def full(path, values):
        if path.name.startswith("evaluation"):
            raise OSError(28, "No space left on device")
        write_json(path, values)

    monkeypatch.setattr("bntt.runs.measure.write_json", full)
    assert train("demo", *SMALL, "-s", "evaluate.draws=1") == 5
    captured = capsys.readouterr()
    assert re.search(r"test accuracy.*\d\.\d%", captured.out)
    assert "No space left on device" in captured.err


def test_the_advice_of_a_refused_resume_begins_what_was_asked():
    run = trained_run().path
    asked = load_recipe(run / "recipe.toml", ["network.norm=bn", "train.lr_drops=[10]", "seed=3"])
    kept = {"recipe": (run / "recipe.toml").read_text(encoding="utf-8")}
    with pytest.raises(CheckpointError) as refused:
        check_same_recipe(asked, kept, run / "checkpoints" / "best.safetensors", ())
    flags = shlex.split(str(refused.value).partition("--name NAME ")[2])
    assert load_recipe(run / "recipe.toml", [flag for flag in flags if flag != "-s"]) == asked


@pytest.mark.parametrize("command", ["train demo --estimate", "train demo --fit-batch=1GiB", "evaluate"])
def test_what_runs_in_one_process_is_refused_under_torchrun(command, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert cli.main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("bntt: process 1: ")
    assert "torchrun" in error


def test_processes_that_do_not_know_each_other_are_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["train", "demo"]) == 2
    assert "torchrun" in capsys.readouterr().err
