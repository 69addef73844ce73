"""``bntt study``: a stranger's study as the documents say, what fails, what stops, and what is only looked at."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from bntt.cli import main as cli
from bntt.cli import study as verb
from bntt.cli.study import make_start
from bntt.io.lock import RunLockedError
from bntt.studies import make_runs
from bntt.studies.make_runs import Task
from tests.rows import each_row
from tests.studies.kept import keep, small
from tests.studies.kept import study as small_study

STUDY = """
title = "Two norms on the demo"
about = "Whether BNTT beats no norm in one short epoch."

[settings.small]
recipe = "demo"
set = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1"]
seeds = [0]

[[runs]]
name = "bntt"
label = "BNTT"
measures = ["activity"]

[[runs]]
name = "other"
label = "no norm"
set = ["network.norm=none"]

[[table]]
key = "accuracy"
metric = "accuracy"

[[claims]]
says = "BNTT is more accurate than no norm"
rule = "better"
of = "accuracy"
run = "bntt"
than = ["other"]
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of a stranger with a study in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # PyTorch's own products round otherwise on two
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "two-norms.toml").write_text(STUDY)
    return tmp_path


def study(*args):
    return cli.main(["study", *args])


def result(home, name="two-norms-small"):
    return json.loads((home / "runs" / "studies" / name / "result.json").read_text())


@pytest.mark.slow
def test_a_strangers_study(home, capsys):
    assert study("mine/two-norms.toml", "--small", "--dry-run") == 0
    assert "2 runs: 0 are used again, 0 are measured further, 2 are made" in capsys.readouterr().out
    assert not (home / "runs").exists()
    assert study("mine/two-norms.toml", "--small", "--jobs", "2") == 0
    out = capsys.readouterr().out
    assert "[2/2]" in out
    assert "NOT DECIDED: BNTT is more accurate than no norm" in out
    found = result(home)
    assert [start["state"] for run in found["runs"] for start in run["starts"]] == ["done", "done"]
    assert found["runs"][0]["starts"][0]["measures"].keys() == {"evaluate", "activity"}
    assert study("mine/two-norms.toml", "--small") == 0
    assert "2 runs: 2 are used again" in capsys.readouterr().out
    for checkpoint in (home / "runs" / "pool").rglob("*.safetensors"):
        checkpoint.unlink()
    assert study("mine/two-norms.toml", "--small", "--dry-run", "--pool", "new", "--results", "runs/pool") == 0
    assert "2 are used again" in capsys.readouterr().out, "also without weights, and from a folder of results"


@pytest.mark.slow
def test_a_failed_run_is_told_and_its_code_is_ours(home, capsys):
    """A rate without end is not finite: exit code 6."""
    text = STUDY.replace('"network.norm=none"', '"network.norm=none", "train.lr=1e30"').replace(
        'measures = ["activity"]', ""
    )
    (home / "mine" / "two-norms.toml").write_text(text)
    assert study("mine/two-norms.toml", "--small", "--jobs", "2") == 6
    told = capsys.readouterr()
    assert "failed: two-norms: other, seed 0" in told.err
    assert "1 of 2 runs failed; the same command tries them again" in told.err
    assert "(exit code 6; its log: runs/pool/logs/" in told.err
    states = [start["state"] for run in result(home)["runs"] for start in run["starts"]]
    assert states == ["done", "failed"]
    assert result(home)["claims"][0]["verdict"] == "not run"


def test_what_is_not_there_is_written_as_not_run(home, capsys):
    assert study("mine/two-norms.toml", "--small", "--only-kept") == 0
    out = capsys.readouterr().out
    assert "NOT RUN: BNTT is more accurate than no norm" in out
    found = result(home)
    assert [start["state"] for run in found["runs"] for start in run["starts"]] == ["not run", "not run"]
    assert [row["cells"]["accuracy"] for row in found["table"]["rows"]] == [None, None]
    assert not (home / "runs" / "pool").exists()


@each_row(
    ("args", "said"),
    [
        ((), "name a study"),
        (("table-6", "--small"), "'table-6'"),
        (("all", "table-1"), "all already names"),
        (("table-5", "--jobs", "0"), "--jobs"),
        (("table-5", "--data", "images"), "--data images: "),
        (("table-5", "--data", "imagse=mine"), "did you mean 'images'"),
        (("table-5", "--data", "images=nowhere"), "nowhere does not exist"),
        (("table-5", "--pack", "mine/two-norms.toml"), "two-norms.toml"),
        (("table-5", "--results", "nowhere"), "--results nowhere"),
        (("mine/two-norms.toml",), "'paper'"),
        (("mine/two-norms.toml", "--small", "--only", "demo-1"), "--only demo-1"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(home, capsys, args, said):
    assert study(*args) == 2
    assert said in capsys.readouterr().err
    assert not (home / "runs").exists()


def test_where_no_data_is_here_nothing_can_be_made(home, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(home / "none"))
    for how in ("--commands", "--dry-run", "--jobs=2"):
        assert study("table-2", how) == 3
        assert capsys.readouterr().err.startswith("bntt: nothing can be made: dvs-cifar10 is not here: bntt data prep")
    assert not (home / "runs").exists()


def test_what_another_machine_packed_is_packed_again_here(home, capsys):
    (home / "mine.toml").write_text(tomli_w.dumps(small_study()))
    for seed in (0, 1):
        keep(home / "there" / f"bntt-{seed}", small(f"seed={seed}"), processor="Q", commit="def")
    assert study("mine.toml", "--small", "--only-kept", "--pool", "there", "--pack", "brought") == 0
    assert study("mine.toml", "--small", "--only-kept", "--results", "brought", "--pack", "results") == 0
    assert "packed: results/mine.tar.xz" in capsys.readouterr().out
    bntt, none = json.loads((home / "results" / "mine.json").read_text())["table"]["rows"]
    assert (bntt["cells"]["acc"]["n"], bntt["made_on"]) == (2, ["Q at def, float32: 2 runs"])
    assert none["cells"]["acc"] is None


@pytest.mark.slow
def test_each_missing_run_is_a_command_of_its_own(home, capsys):
    assert study("mine/two-norms.toml", "--small", "--pool", "my pool", "--commands") == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [command[:2] for command in commands] == [["bntt", "study"]] * 2
    assert not (home / "my pool").exists()
    for command in commands:
        assert cli.main(command[1:]) == 0
    assert not (home / "runs").exists(), "results are written by the study"
    capsys.readouterr()
    assert study("mine/two-norms.toml", "--small", "--pool", "my pool", "--commands") == 0
    assert capsys.readouterr().out == ""
    assert study("mine/two-norms.toml", "--small", "--pool", "my pool", "--only-kept") == 0
    assert [start["state"] for run in result(home)["runs"] for start in run["starts"]] == ["done", "done"]


@pytest.mark.slow
def test_sigterm_stops_the_children_and_the_same_command_goes_on(home):
    command = [sys.executable, "-m", "bntt", "study", "mine/two-norms.toml", "--small"]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    logs = home / "runs" / "pool" / "logs"
    while not any(log.read_bytes() for log in logs.glob("*.log")):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143
    assert b"the same command continues" in err
    assert study("mine/two-norms.toml", "--small") == 0
    assert [start["state"] for run in result(home)["runs"] for start in run["starts"]] == ["done", "done"]


@pytest.fixture
def task(tmp_path):
    """A start of a study in a process."""
    return Task("s: a, seed 0", str(tmp_path / "pool" / "a-1"), "seed = 0\n", True, False, (), "cpu", ())


def test_an_error_is_a_line_and_its_code(task):
    (Path(task.run).parent / "recipes").mkdir(parents=True)
    ended = make_start(Task(**vars(task) | {"recipe": "sede = 1\n"}))
    assert (ended.code, ended.trained) == (2, False)
    assert "'seed'" in ended.why
    assert task.log.read_text().strip().endswith(ended.why)


def test_a_mistake_of_ours_stops_nothing_and_leaves_its_traceback(task, monkeypatch, capsys):
    monkeypatch.setattr(make_runs, "make_run", lambda task, train: 1 // 0)
    ended = make_start(task)
    assert ended.code == 1
    assert ended.why.startswith("ZeroDivisionError")
    assert "Traceback" in task.log.read_text()
    assert capsys.readouterr() == ("", ""), "what starts print goes into their logs"


def test_what_another_process_trains_is_waited_for(task, monkeypatch):
    calls = []

    def locked(task, train):
        calls.append(task)
        if len(calls) < 3:
            raise RunLockedError("is held by process 1")
        return True

    monkeypatch.setattr(make_runs, "make_run", locked)
    monkeypatch.setattr(verb, "RETRY", 0.0)
    ended = make_start(task)
    assert (ended.code, ended.trained, len(calls)) == (0, True, 3)
    assert task.log.read_text().count("is held by process 1") == 2
