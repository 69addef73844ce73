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
    *("-s", "data.images=1000", "-s", "evaluate.images=100", "-s", "evaluate.draws=1"),
]


@pytest.fixture
def train(tmp_path):
    """Runs ``bntt train`` with runs in the folder ``runs``; its exit code."""
    return lambda *args: cli.main(["train", *args, "--root", str(tmp_path / "runs")])


def test_an_interrupted_run_goes_on_by_the_same_command_and_by_resume(train, tmp_path, monkeypatch):
    """To its end; to the same bits in the tests of runs."""
    real, raised = Session.records, []

    def interrupted(self):
        for record in real(self):
            if isinstance(record, StepRecord) and record.epoch == 1 and len(raised) < 2:
                raised.append(record)
                signal.raise_signal(signal.SIGTERM)
            yield record

    monkeypatch.setattr(Session, "records", interrupted)
    command, run = ["demo", *SMALL, "--name", "mine", "--or-resume"], tmp_path / "runs" / "mine"
    run.mkdir(parents=True)  # what a kill before the first checkpoint leaves
    assert [train(*command), train(*command), train(str(run), "--resume")] == [143, 143, 0]
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [0, 1]
    assert json.loads((run / "evaluation.json").read_text())["images"] == 100
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_was_measured_is_shown_though_the_disk_is_full(train, capsys, monkeypatch):
    def full(path, values):
        if path.name.startswith("evaluation"):
            raise OSError(28, "No space left on device")
        write_json(path, values)

    monkeypatch.setattr("bntt.runs.measure.write_json", full)
    assert train("demo", *SMALL) == 5
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


@pytest.mark.parametrize(
    ("command", "rank", "named"),
    [
        ("train demo --estimate", "1", "process 1: "),
        ("train demo --fit-batch=1GiB", "1", "process 1: "),
        ("evaluate", "1", "process 1: "),
        ("train demo", "", "torchrun"),  # processes that do not know each other
    ],
)
def test_what_torchrun_cannot_start_is_refused(command, rank, named, monkeypatch, capsys):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    if rank:
        monkeypatch.setenv("RANK", rank)
    assert cli.main(command.split()) == 2
    assert named in capsys.readouterr().err
