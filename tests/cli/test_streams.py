"""Output that lacks characters, is closed, or full: the work is done, and what goes wrong is one line."""

import json
import os
import pty
import subprocess
import sys

import pytest

from bntt.cli import console


def shell(command, run, unbuffered="", **environment):
    """``bntt`` in the command is this Python's; ``RUN`` is the run."""
    command = command.replace("bntt", f"{sys.executable} -m bntt", 1).replace("RUN", str(run))
    settings = {**os.environ, "PYTHONUNBUFFERED": unbuffered, **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, check=False, env=settings, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "encoding", "code", "shown"),
    [
        ("evaluate RUN --draws 2", "cp1252", 0, "mean |?| over channels, at step"),
        ("evaluate RUN --draws 2", "ascii", 0, "% ? "),
        ("list recipez", "ascii", 2, "recipez"),  # a box around the error
        ("train --help", "ascii", 0, "-s network.num_steps=4"),
    ],
)
def test_any_encoding(command, encoding, code, shown, run):
    done = shell(f"bntt {command}", run, PYTHONIOENCODING=encoding)
    text = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode == code
    assert shown in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_without_an_output_the_work_is_done(run):
    """Nor do prints end in a file that was given the closed descriptor's number."""
    for command, code in (("--version >&-", 0), ("--help >&-", 0), ("nope 2>&-", 2), ("nope 2>/dev/full", 2)):
        done = shell(f"bntt {command}", run)
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", b""), command
    (run / "evaluation.json").unlink(missing_ok=True)
    done = shell("bntt evaluate RUN <&- >&- 2>&-", run)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads((run / "evaluation.json").read_text())["images"] == 1000


@pytest.mark.parametrize(
    ("verb", "unbuffered"),
    [
        ("--version", "1"),
        pytest.param("evaluate RUN", "", marks=pytest.mark.slow),
        pytest.param("evaluate RUN", "1", marks=pytest.mark.slow),
    ],
)
def test_a_full_output_is_one_line_and_its_code(verb, unbuffered, run):
    done = shell(f"bntt {verb} > /dev/full", run, unbuffered)
    assert done.stderr == b"bntt: standard output cannot be written: No space left on device\n"
    assert done.returncode == 5


@pytest.mark.parametrize("full", [False, True], ids=["its reader is gone", "it is full"])
def test_numbers_are_printed_whatever_becomes_of_standard_error(full, capsys, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as gone, open("/dev/full", "w", buffering=1) as no_room:
        monkeypatch.setattr(sys, "stderr", no_room if full else gone)
        with console.aside(True):
            console.line("measuring")
        console.as_json({"a": 1})
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_a_file_is_left_as_it_is(tmp_path, monkeypatch):
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        console.prepare()
        assert sys.stdout is file


IN_A_WINDOW = """
import fcntl, os, sys, termios, time
from pathlib import Path
from bntt.cli import console, main, signals
from bntt.runs.training.requests import Interrupted

folder = Path(sys.argv[1])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)

def work():
    '''Works until its window is closed, and then a little.'''
    with signals.deferred() as wishes, console.progress("work") as report:
        report(1, 10**9)
        console.line("ready")
        while not wishes.stop:
            time.sleep(0.001)
        for done in range(10):
            report(done, 10**9)
            console.line("unseen")
            print("unseen", flush=True)
            print("unseen", file=sys.stderr)
        (folder / "saved").touch()
        raise Interrupted(wishes.stop, "it is saved")

main.GROUPS["train"]["work"] = work
sys.argv = ["bntt", "work"]
main.entry()
"""


@pytest.mark.slow
def test_a_window_that_is_closed_takes_nothing_with_it(tmp_path):
    master, slave = pty.openpty()  # what its window holds, and what a program in it writes to
    command = [sys.executable, "-c", IN_A_WINDOW, str(tmp_path)]
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    try:
        seen = b""
        while b"ready" not in seen:
            seen += os.read(master, 1000)
        os.close(master)
        assert child.wait(60) == 143
    finally:
        child.kill()
        child.wait()
        os.close(slave)
    assert (tmp_path / "saved").exists()
