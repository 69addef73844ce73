"""Every example runs, at its smallest, and prints what it found; Lightning's where it is (``make test-peers``)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = {path.stem: path for path in sorted((Path(__file__).parents[2] / "examples").glob("*.py"))}
SMALL = ["--steps", "3", "--width", "0.25"]
SMALLEST = {
    "early_exit_server": (["--requests", "20", "--rate", "400"], "of 8 steps on average"),
    "events": (["--simulate", "60", "--epochs", "1", *SMALL], "every step the mean"),
    "lightning_training": (["--epochs", "1", "--most", "200", *SMALL], "γ is largest at step"),
    "own_norm_and_network": (["--starts", "1", "--updates", "3"], "over 1 starts"),
    "train_and_evaluate": (["--most", "100", "--epochs", "1", "--draws", "1", *SMALL], "stopped after step"),
}
"""Arguments of each, and what it prints near its end."""
PEERS = {"lightning_training": "lightning"}


def test_each_example_is_run_and_short():
    assert EXAMPLES.keys() == SMALLEST.keys()
    assert {
        name: lines for name, path in EXAMPLES.items() if (lines := len(path.read_text("utf-8").splitlines())) > 150
    } == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_example(name, tmp_path):
    if (peer := PEERS.get(name)) and not importlib.util.find_spec(peer):
        pytest.skip(f"{peer} is not here: make test-peers")
    arguments, said = SMALLEST[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES[name]), *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
