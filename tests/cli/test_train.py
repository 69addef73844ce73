"""``bntt train``: a run directory, overrides, resuming, and mistakes that leave nothing behind."""

import json
import signal

import pytest

from bntt.cli import main as cli
from bntt.io.files import write_json
from bntt.training import Session, StepRecord

SMALL = [
    *("-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=2", "-s", "train.batch_size=900"),
    *("-s", "data.images=1000", "-s", "evaluate.images=100"),
]


def train(*args):
    return cli.main(["train", *args])


def evaluated(run):
    """What was measured, but for how long the training took."""
    return {**json.loads((run / "evaluation.json").read_text()), "seconds": 0}


@pytest.fixture
def root(tmp_path):
    return ["--root", str(tmp_path / "runs")]


@pytest.mark.slow
def test_a_run_and_a_second_one_beside_it(root, tmp_path, capsys):
    for _ in range(2):
        assert train("demo", *SMALL, "-s", "evaluate.draws=1", *root) == 0
    first, second = (evaluated(tmp_path / "runs" / name) for name in ("demo", "demo-2"))
    assert first == second, "the same recipe is the same run"
    out = capsys.readouterr().out
    assert "T=2, 2 epochs of batches of 900" in out
    assert f"run directory: {tmp_path}/runs/demo-2" in out
    assert f"bntt report {tmp_path}/runs/demo-2" in out


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


def test_an_interrupted_run_goes_on(root, tmp_path, stopped_once):
    """Then --resume, to its end; to the same bits in the slow tests, and in those of runs."""
    assert train("demo", *SMALL, "-s", "evaluate.draws=1", *root) == 143
    assert train(str(tmp_path / "runs" / "demo"), "--resume") == 0
    metrics = (tmp_path / "runs" / "demo" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [0, 1]
    assert evaluated(tmp_path / "runs" / "demo")["images"] == 100
    assert (tmp_path / "runs" / "demo" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_command_begins_a_run_and_takes_it_up_again(root, tmp_path, stopped_once):
    command = ["demo", *SMALL, *root, "--name", "mine", "--or-resume"]
    (tmp_path / "runs" / "mine").mkdir(parents=True)  # what a kill before the first checkpoint leaves
    assert train(*command) == 143
    assert train(*command) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine"]
    assert train("demo", *SMALL, *root, "--name", "whole") == 0
    assert evaluated(tmp_path / "runs" / "mine") == evaluated(tmp_path / "runs" / "whole")


@pytest.mark.slow
def test_what_may_change_on_the_command_line(root, tmp_path, capsys):
    assert train("demo", *SMALL, *root) == 0
    run = str(tmp_path / "runs" / "demo")
    capsys.readouterr()
    assert train(run, "--resume", "-s", "train.epochs=3", "-s", "evaluate.draws=1") == 0
    out = capsys.readouterr().out
    assert "train.epochs is 3 from here on, it was 2" in out
    assert "rates from epoch 3 on: 0.0003" in out
    assert "epoch 3/3" in out
    assert train(run, "--resume", "-s", "train.lr=1") == 4
    assert "train.lr is 1.0, it was trained with 0.3" in capsys.readouterr().err
    assert train(run, "--resume", "-s", "train.epochs=1") == 2
    assert "cannot follow the 3 that it began with" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_measured_is_shown_though_the_disk_is_full(root, capsys, monkeypatch):

    def full(path, values):
        if path.name.startswith("evaluation"):
            raise OSError(28, "No space left on device")
        write_json(path, values)

    monkeypatch.setattr("bntt.runs.measure.write_json", full)
    assert train("demo", *SMALL, "-s", "evaluate.draws=1", *root) == 5
    captured = capsys.readouterr()
    assert "test accuracy" in captured.out
    assert "No space left on device" in captured.err


@pytest.mark.parametrize("flag", ["--estimate", "--fit-batch=1GiB"])
def test_many_processes_are_not_estimated_one_by_one(flag, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert train("demo", flag) == 2
    assert "process 1: --estimate and --fit-batch measure one process: leave out torchrun" in capsys.readouterr().err


REFUSED = [
    (["demo", "--estimate", "--fit-batch", "1GiB"], 2, "--estimate and --fit-batch: choose one"),
    (["runs/mine", "--estimate", "--resume"], 2, "are for a training from its beginning"),
    (["nope"], 2, "no recipe 'nope'"),
    (["demo", "-s", "train.epoch=3"], 2, "did you mean 'epochs'"),
    (["demo", "-s", "network.name=vgg9"], 2, "image_size=28 cannot be halved 3 times"),
    (["demo", "-s", "train.batch_size=1"], 2, "batches of one image"),
    (["demo", "--name", "../x"], 2, "one folder name"),
    (["demo", "--name", "x" * 300], 2, "at most 100"),
    (["demo", "--device", "cuda:9"], 5, "here: cpu"),
    (["demo", "--resume"], 4, "is not a run directory"),
    (["demo", "--resume", "--name", "x"], 2, "leave out --name"),
    (["demo", "--forget-best"], 2, "--forget-best is for --resume"),
    (["demo", "-s", "train.schedule=one-cycle", "-s", "train.warmup=1.0"], 2, "must be 0 with schedule"),
    (["demo", "-s", 'data.augment=["shift"]'], 2, "unknown augmentation 'shift'"),
    (
        ["demo", "-s", "network.norm=tdbn", "-s", "train.loss=tet", "-s", "train.grow=[[2, 1]]"],
        2,
        "loss 'tet' with grow takes some of the steps",
    ),
    (["demo", "-s", "evaluate.images=5000"], 2, "5,000 requested, but there are only 1,000 test images"),
    (["cifar10-compact-hybrid", "--init", "pretrained", "fashion-mnist-vgg6"], 3, "cifar10 is not here"),
    (["cifar10"], 3, "cifar10 is not here: bntt data prepare cifar10 --from PATH"),
]


def test_mistakes_leave_no_directory(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    for args, code, message in REFUSED:
        assert train(*args, *root) == code, args
        error = capsys.readouterr().err
        assert message in error, args
        assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
