"""Output that lacks characters, is closed, or full: the work is done, and what goes wrong is one line."""

import json
import os
import subprocess
import sys

import pytest

from bntt.cli import main as cli


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run to measure, whose results hold γ and ±."""
    root = tmp_path_factory.mktemp("runs")
    values = ("network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900")
    flags = [part for value in values for part in ("-s", value)]
    assert cli.main(["train", "demo", *flags, "-s", "evaluate.draws=1", "--root", str(root)]) == 0
    return root / "demo"


def shell(command, run, unbuffered="", **environment):
    """``bntt`` in the command is this Python's; ``RUN`` is the run."""
    command = command.replace("bntt", f"{sys.executable} -m bntt", 1).replace("RUN", str(run))
    settings = {**os.environ, "PYTHONUNBUFFERED": unbuffered, **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, check=False, env=settings, timeout=120)


@pytest.mark.parametrize(
    ("encoding", "gamma", "plus_minus"), [("ascii", "?", "?"), ("cp1252", "?", "±"), ("utf-8", "γ", "±")]
)
def test_the_tables_in_any_encoding(encoding, gamma, plus_minus, run):
    done = shell("bntt evaluate RUN", run, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert f"mean |{gamma}| at step" in text
    assert f"% {plus_minus} 0.0% (one pass" in text
    assert "written: " in text


@pytest.mark.parametrize(
    ("verb", "code", "said"),
    [
        ("train --help", 0, "-s network.num_steps=4"),
        ("list recipez", 2, "recipez"),  # a box around the error
        ("show demo", 0, "num_steps = 8"),
        ("data where", 0, "synthetic: built in"),
    ],
)
def test_other_verbs_in_ascii(verb, code, said, run):
    done = shell(f"bntt {verb}", run, PYTHONIOENCODING="ascii")
    text = (done.stdout + done.stderr).decode("ascii")
    assert done.returncode == code
    assert said in text
    assert "Traceback" not in text


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_without_an_output_the_work_is_done(closed, run):
    """Nor do prints end in a file that was given the closed descriptor's number."""
    (run / "evaluation.json").unlink(missing_ok=True)
    done = shell(f"bntt evaluate RUN {closed}", run)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads((run / "evaluation.json").read_text())["images"] == 1000


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("bntt --version >&-", 0, ""),
        ("bntt --help >&-", 0, ""),
        ("bntt nope >&-", 2, "bntt: unknown verb 'nope'; choose one of"),
        ("bntt nope 2>&-", 2, ""),
        ("bntt nope 2>/dev/full", 2, ""),
    ],
)
def test_short_answers_without_an_output(command, code, said, run):
    done = shell(command, run)
    assert done.returncode == code
    assert done.stdout == b"", "nothing that belongs to standard error"
    assert done.stderr.decode().startswith(said)
    assert done.stderr.count(b"\n") == bool(said)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", ["--version", "--help", "list recipes", "evaluate RUN"])
def test_a_full_output_is_one_line_and_its_code(verb, unbuffered, run):
    done = shell(f"bntt {verb} > /dev/full", run, unbuffered)
    assert done.stderr == b"bntt: standard output cannot be written: No space left on device\n"
    assert done.returncode == 5
