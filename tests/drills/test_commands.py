"""The examples through ``--with``: the page's commands, a stop and what follows, two processes, studies."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bntt.studies.study_file import load_study

ROOT = Path(__file__).parents[2]
PARTS = ROOT / "examples" / "parts"
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bntt"]
WITH, RECIPE = ["--with", "my_parts.py"], ["--with", "my_parts.py", "train", "my-recipe.toml"]


def run_in(folder, *words, code=0):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_parts_of_ones_own_from_the_command_line(tmp_path):
    folder = shutil.copytree(PARTS, tmp_path / "mine")

    def run(*words, code=0, program=("bntt",)):
        return run_in(folder, "-m", *program, *words, code=code)

    page = (ROOT / "docs" / "how-to" / "extending.md").read_text(encoding="utf-8")
    commands = re.findall(r"^bntt (.*)$", page, re.MULTILINE)
    assert len(commands) == 8
    said = [run(*shlex.split(command)) for command in commands]
    assert "Largest weights" in (folder / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert ("epoch 4/4" in said[5], said[-1].split()[-1]) == (True, "rms")
    result = json.loads((folder / "runs" / "studies" / "my-study-small" / "result.json").read_text())
    assert all(row["cells"]["largest"]["mean"] > 0 for row in result["table"]["rows"])
    (kept,) = json.loads((folder / "runs" / "mine" / "environment.json").read_text())["parts"]
    assert {*kept["names"]} == {
        *("data.name=stripes", "data.augment=upside-down", "encoder.name=latency", "network.name=two-layers"),
        *("network.norm=rms", "network.neuron=adaptive", "network.surrogate=bell", "network.reset=half"),
    }
    for words in (["evaluate", "runs/mine"], ["train", "runs/mine", "--resume"]):
        assert f"--with {folder / 'my_parts.py'}" in run(*words, code=4)

    command = [sys.executable, "-m", "bntt", *RECIPE, "-s", "train.epochs=12", "--name", "stopped"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes) as process:
        assert any(line.startswith("epoch") for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=100)[1]
    assert process.returncode == 143, told
    again = shlex.split(re.search(r"continue with: bntt (.*)", told)[1])
    assert "epoch 12/12" in run(*again)
    for verb in ("exit", "largest", "activity", "energy"):
        run(*WITH, verb, "runs/stopped")
    run(*WITH, "report", "runs/stopped", "--out", "stopped.html")
    page = (folder / "stopped.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("Early exit", "Largest weights"))
    run(*RECIPE, "--name", "two", program=TORCHRUN)

    with (folder / "my_parts.py").open("a") as code:
        code.write("# other code\n")
    run(*again, code=4)
    assert "warning: " in run(*WITH, "largest", "runs/stopped")


def test_its_study_compares_it_with_the_runs_of_table_3():
    """A process of its own registers the part; here it is read without it."""
    mine, table = load_study(PARTS / "lsnn-rows.toml"), load_study("table-3")
    assert mine.settings["small"] == table.settings["small"]
    assert {run.name: run.set for run in table.runs}.items() <= {run.name: run.set for run in mine.runs}.items()


@pytest.mark.slow
def test_its_study_runs_from_the_command_line(tmp_path):
    folder = shutil.copytree(PARTS, tmp_path / "mine")
    study = (folder / "lsnn-rows.toml").read_text()
    size = '"train.epochs=1", "data.name=fashion-mnist-bundled", "data.images=200", "network.width=0.1"'
    (folder / "toy.toml").write_text(
        study.replace('"train.epochs=5"', size).replace("[settings.small]", "[settings.small]\nseeds = [0, 1]")
    )
    said = run_in(folder, "-m", "bntt", "--with", "lsnn.py", "study", "toy.toml", "--small")
    assert "LSNN" in said
