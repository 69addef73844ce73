"""Verbs, help, exit codes; a start without torch."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bntt
from bntt.analysis import LossBudgetError
from bntt.analysis.measurement import ArgumentError, InvalidResultError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import main as cli
from bntt.cli import signals
from bntt.engine.kernels import BackendError
from bntt.io.checkpoint import CheckpointError, OtherSettingsError
from bntt.io.lock import RunLockedError
from bntt.models import PretrainedError
from bntt.runs.recipe.file import RecipeError
from bntt.runs.training.requests import Interrupted
from bntt.training import NonFiniteError
from tests.rows import each_row

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fails(monkeypatch):
    """A verb that raises an error: its exit code."""

    def run(error, *flags):
        def verb():
            """Fails."""
            print("never read")
            raise error

        monkeypatch.setitem(cli.GROUPS["train"], "fail", verb)
        return cli.main([*flags, "fail"])

    return run


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bntt {bntt.__version__}\n"
    assert f"\nversion: {bntt.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@each_row("width", [60, 80, 200])
def test_help_has_every_verb_once_in_its_group_and_fits_the_terminal(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["--help"]) == 0
    groups = re.split(r"^(\w+):$", capsys.readouterr().out, flags=re.M)[1:]
    assert groups[::2] == list(cli.GROUPS)
    for title, text in zip(groups[::2], groups[1::2], strict=True):
        assert re.findall(r"^  (\S+)", text, re.M) == list(cli.grouped_commands()[title])
        assert max(map(len, text.splitlines())) <= width


def test_every_verb_has_help_with_an_example_and_every_argument_of_a_measurement(capsys):
    for verb in (*cli.commands(), *(f"data {name}" for name in cli.data.COMMANDS)):
        with pytest.raises(SystemExit) as caught:
            cli.main([*verb.split(), "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert f"Example: bntt {verb}" in shown
        fields = MEASUREMENTS[verb].arguments.__dataclass_fields__ if verb in MEASUREMENTS else ()
        assert not [field for field in fields if f"--{field.replace('_', '-')}" not in shown], verb


ERRORS = [
    (RecipeError("x"), 2),
    (CheckpointError("x"), 4),
    (PretrainedError("x"), 4),
    (OSError("x"), 5),
    (MemoryError("x"), 5),
    (torch.OutOfMemoryError("x"), 5),
    (RuntimeError("CUDA error: device-side assert triggered"), 5),
    (RuntimeError("can't start new thread"), 5),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), 5),
    (NonFiniteError("x"), 6),
    (BackendError("x"), 5),
    (InvalidResultError("x"), 7),
    (LossBudgetError("x"), 7),
    (ArgumentError("x"), 2),
    (OtherSettingsError("x"), 2),
    (RunLockedError("x"), 75),
    (KeyboardInterrupt(), 130),
    (Interrupted(signal.SIGINT, "x"), 130),
    (Interrupted(signal.SIGTERM, "x"), 143),
    (signals.Terminated(signal.SIGHUP), 143),
]


@each_row("error, code", ERRORS)
def test_errors_end_in_one_line_and_their_code(error, code, fails, capsys):
    assert fails(error) == code
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("bntt: ")


def test_what_was_added_to_an_error_is_told_with_it(fails, capsys):
    (error := MemoryError()).add_note("take a smaller batch")
    assert fails(error) == 5
    assert capsys.readouterr().err == "bntt: MemoryError; take a smaller batch\n"


def test_a_stop_keeps_its_code_where_the_rest_cannot_be_written(fails, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert fails(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_every_exit_code_is_in_the_help():
    assert {*cli.EXIT_CODES} == {0, *(code for _, code in ERRORS), 3}
    for code, said in cli.EXIT_CODES.items():
        assert f"{code} {said}" in " ".join(cli.DESCRIPTION.split())


@each_row("error, flags", [(RecipeError("x"), ["--debug"]), (KeyError("x"), [])])
def test_debug_and_our_own_faults_keep_their_traceback(error, flags, fails):
    with pytest.raises(type(error)):
        fails(error, *flags)


SETTINGS = "-s network.width=0.125 -s network.num_steps=2 -s train.epochs=3 -s train.batch_size=900 -s evaluate.draws=1"


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("demo --help | true", ""),
        pytest.param(f"train demo {SETTINGS} | head -1", "evaluation.json", marks=pytest.mark.slow),
    ],
)
def test_the_work_is_done_when_its_reader_has_gone(command, written, tmp_path):
    """No traceback (fault 13)."""
    command = f"set -o pipefail; {sys.executable} -m bntt {command}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "runs" / "demo" / written).exists() == bool(written)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "9"}, None)]
)
def test_waiting_threads_sleep_unless_the_user_says_otherwise_and_help_does_not_wait_for_torch(given, expected):
    code = (
        "from bntt.cli.main import main; import os, sys; main(['--help']); main(['list', 'studies'])\n"
        "assert 'torch' not in sys.modules; "
        "print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    settings = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings | given, check=True
    )
    assert done.stdout.splitlines()[-1] == str(expected)


def test_the_number_of_threads_is_given_with_any_verb():
    assert cli.main(["list", "norms", "--threads", "2"]) == 0
    assert torch.get_num_threads() == 2
