"""Parts of one's own through ``--with``: the page's commands, a stop and what follows, two processes, a study."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BNTT = [sys.executable, "-m", "bntt"]
RECIPE = ["--with", "my_parts.py", "train", "my-recipe.toml"]


def run(folder, *words, code=0):
    done = subprocess.run([*BNTT, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_parts_of_ones_own_from_the_command_line(tmp_path):
    folder = shutil.copytree(ROOT / "examples" / "parts", tmp_path / "mine")
    page = (ROOT / "docs" / "how-to" / "extending.md").read_text(encoding="utf-8")
    commands = re.findall(r"^bntt (.*)$", page, re.MULTILINE)
    assert len(commands) == 8
    said = [run(folder, *shlex.split(command)) for command in commands]
    assert "Largest weights" in (folder / "report.html").read_text(encoding="utf-8")
    assert "epoch 4/4" in said[5]
    assert said[-1].split()[-1] == "rms"
    result = json.loads((folder / "runs" / "studies" / "my-study-small" / "result.json").read_text())
    assert all(row["cells"]["largest"]["mean"] > 0 for row in result["table"]["rows"])
    kept = json.loads((folder / "runs" / "mine" / "environment.json").read_text())["parts"]
    assert {*kept[0]["names"]} == {
        *("data.name=stripes", "data.augment=upside-down", "encoder.name=latency", "network.name=two-layers"),
        *("network.norm=rms", "network.neuron=adaptive", "network.surrogate=bell", "network.reset=half"),
    }
    for words in (["evaluate", "runs/mine"], ["train", "runs/mine", "--resume"]):
        assert f"put --with {folder / 'my_parts.py'} before the verb" in run(folder, *words, code=4)

    process = subprocess.Popen(
        [*BNTT, *RECIPE, "-s", "train.epochs=12", "--name", "stopped"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert any(line.startswith("epoch") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=100)[1]
    assert process.returncode == 143, told
    command = shlex.split(re.search(r"continue with: bntt (.*)", told)[1])
    assert "epoch 12/12" in run(folder, *command)
    for verb in ("exit", "largest", "activity", "energy"):
        run(folder, "--with", "my_parts.py", verb, "runs/stopped")
    run(folder, "--with", "my_parts.py", "report", "runs/stopped", "--out", "stopped.html")
    page = (folder / "stopped.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("Early exit", "Largest weights"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bntt"]
    shared = subprocess.run([*torchrun, *RECIPE, "--name", "two"], cwd=folder, capture_output=True, text=True)
    assert shared.returncode == 0, shared.stderr

    with (folder / "my_parts.py").open("a") as code:
        code.write("# other code\n")
    assert "bring that back, or train a run of its own" in run(folder, *command, code=4)
    assert "warning: " in run(folder, "--with", "my_parts.py", "largest", "runs/stopped")
