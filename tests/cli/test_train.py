"""``bntt train``: a run directory, overrides, resuming, and mistakes that leave nothing behind."""

import json

import pytest

from bntt.cli import main as cli
from bntt.training.fit import StepRecord

SMALL = ["-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=2", "-s", "train.batch_size=900"]


def train(*args):
    return cli.main(["train", *args])


@pytest.fixture
def root(tmp_path):
    return ["--root", str(tmp_path / "runs")]


def test_a_run_and_a_second_one_beside_it(root, tmp_path, capsys):
    for _ in range(2):
        assert train("demo", *SMALL, "-s", "evaluate.draws=1", *root) == 0
    first, second = (json.loads((tmp_path / "runs" / n / "evaluation.json").read_text()) for n in ("demo", "demo-2"))
    assert first == second, "the same recipe is the same run"
    out = capsys.readouterr().out
    assert "T=2, 2 epochs of batches of 900" in out
    assert f"run directory: {tmp_path}/runs/demo-2" in out


def test_an_interrupted_run_goes_on(root, tmp_path, capsys, monkeypatch):
    from bntt.experiments import run as runs

    real = runs.fit

    def interrupted(*args, **options):
        for record in real(*args, **options):
            if isinstance(record, StepRecord) and record.epoch == 1:
                raise KeyboardInterrupt
            yield record

    monkeypatch.setattr(runs, "fit", interrupted)
    assert train("demo", *SMALL, *root) == 130
    monkeypatch.setattr(runs, "fit", real)
    assert train(str(tmp_path / "runs" / "demo"), "--resume") == 0
    metrics = (tmp_path / "runs" / "demo" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [0, 1]
    assert train("demo", *SMALL, *root) == 0
    whole = (tmp_path / "runs" / "demo-2" / "evaluation.json").read_text()
    assert (tmp_path / "runs" / "demo" / "evaluation.json").read_text() == whole


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nope"], 2, "no recipe 'nope'"),
        (["demo", "-s", "train.epoch=3"], 2, "did you mean 'epochs'"),
        (["demo", "-s", "network.name=vgg9"], 2, "image_size=28 cannot be halved 3 times"),
        (["demo", "-s", "train.batch_size=1"], 2, "batches of one image"),
        (["demo", "--name", "../x"], 2, "one folder name"),
        (["demo", "--name", "x" * 300], 2, "at most 100"),
        (["demo", "--device", "cuda:9"], 5, "here: cpu"),
        (["demo", "--resume"], 4, "is not a run directory"),
        (["demo", "--resume", "-s", "seed=1"], 2, "leave -s and --name away"),
        (["cifar10"], 3, "cifar10 is not here: bntt data prepare cifar10 --from PATH"),
    ],
)
def test_mistakes_leave_no_directory(args, code, message, root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    assert train(*args, *root) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
