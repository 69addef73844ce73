"""Verbs, help, exit codes; a start without torch."""

import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import bntt
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

ROOT = Path(__file__).parents[2]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bntt {bntt.__version__}\n"
    assert f"\nversion: {bntt.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_help_has_a_line_for_each_verb_in_groups(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:-1] for line in lines if line in {f"{group}:" for group in cli.GROUPS}] == list(cli.GROUPS)
    for verb in cli.verbs():
        assert len([line for line in lines if line.startswith(f"  {verb} ")]) == 1, verb
    assert max(map(len, lines)) < 160
    measured = lines[lines.index("measure:") : lines.index("compare:")]
    assert [line for line in measured if line.startswith("  drift ")]


def test_every_verb_has_help_with_an_example_and_every_argument_of_a_measurement(capsys):
    for verb in cli.verbs():
        with pytest.raises(SystemExit) as caught:
            cli.main([verb, "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert f"Example: bntt {verb}" in shown
        fields = MEASUREMENTS[verb].arguments.__dataclass_fields__ if verb in MEASUREMENTS else ()
        assert not [field for field in fields if f"--{field.replace('_', '-')}" not in shown], verb


def test_an_unknown_verb_is_a_usage_error(capsys):
    assert cli.main(["dmeo"]) == 2
    assert capsys.readouterr().err == "bntt: unknown verb 'dmeo'; did you mean 'demo'?\n"
    assert cli.main(["zzz"]) == 2
    assert "choose one of demo, train, " in capsys.readouterr().err


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
    (ArgumentError("x"), 2),
    (OtherSettingsError("x"), 2),
    (RunLockedError("x"), 75),
    (KeyboardInterrupt(), 130),
    (Interrupted(signal.SIGINT, "x"), 130),
    (Interrupted(signal.SIGTERM, "x"), 143),
    (signals.Terminated(signal.SIGHUP), 143),
]


def test_errors_end_in_one_line_and_their_code(monkeypatch, capsys):
    raised = []

    def fail():
        """Fails."""
        raise raised[-1]

    monkeypatch.setitem(cli.GROUPS["train"], "fail", fail)
    for error, code in ERRORS:
        raised.append(error)
        assert cli.main(["fail"]) == code, error
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert message.startswith("bntt: ")


def test_what_was_added_to_an_error_is_told_with_it(monkeypatch, capsys):
    def fail():
        """Fails."""
        error = MemoryError()
        error.add_note("take a smaller batch")
        raise error

    monkeypatch.setitem(cli.GROUPS["train"], "fail", fail)
    assert cli.main(["fail"]) == 5
    assert capsys.readouterr().err == "bntt: MemoryError; take a smaller batch\n"


def test_a_stop_keeps_its_code_where_the_rest_cannot_be_written(monkeypatch, capsys):
    def stop():
        """Stops."""
        print("never read")
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.GROUPS["train"], "stop", stop)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(["stop"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_every_exit_code_is_in_the_help():
    assert {*cli.EXIT_CODES} == {0, 2, 3, 4, 5, 6, 7, 75, 130, 143}
    for code, (said, then) in cli.EXIT_CODES.items():
        assert f"{code} {said}" in " ".join(cli.DESCRIPTION.split())
        assert then


def test_debug_and_our_own_faults_keep_their_traceback(monkeypatch):
    def fail():
        """Fails."""
        raise RecipeError("x")

    def fault():
        """Is at fault."""
        raise KeyError("x")

    monkeypatch.setitem(cli.GROUPS["train"], "fail", fail)
    monkeypatch.setitem(cli.GROUPS["train"], "fault", fault)
    with pytest.raises(RecipeError):
        cli.main(["--debug", "fail"])
    with pytest.raises(KeyError):
        cli.main(["fault"])


def test_a_verb_that_has_gone_names_what_took_its_place(capsys):
    for verb, instead in (("bench", "python -m benchmarks"), ("card", "bntt export"), ("equivalence", "section-3.3")):
        for words in ([verb], [verb, "runs/demo"], [verb, "--help"]):
            assert cli.main(words) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert instead in said


@pytest.mark.parametrize("word", ["--help", "bench"])
def test_help_does_not_wait_for_torch(word):
    code = (
        "import sys, bntt.cli.main as m\n"
        f"try: m.main(['{word}'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("verb", [pytest.param("list recipes", marks=pytest.mark.slow), "demo --help"])
def test_a_closed_pipe_is_no_error(verb):
    """No traceback where the reader has gone (fault 13)."""
    command = f"set -o pipefail; {sys.executable} -m bntt {verb} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.slow
def test_training_goes_on_when_its_reader_has_gone(tmp_path):
    settings = [
        "network.width=0.125",
        "network.num_steps=2",
        "train.epochs=3",
        "train.batch_size=900",
        "evaluate.draws=1",
    ]
    flags = " ".join(f"-s {setting}" for setting in settings)
    command = f"set -o pipefail; {sys.executable} -m bntt train demo {flags} --root {tmp_path} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "demo" / "evaluation.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(given, expected):
    code = "from bntt.cli.main import main; import os; main(['--version']); print(os.environ.get('OMP_WAIT_POLICY'))"
    settings = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings | given, timeout=60
    )
    assert done.stdout.splitlines()[-1] == expected
    spinning = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings | {"GOMP_SPINCOUNT": "9"}, timeout=60
    )
    assert spinning.stdout.splitlines()[-1] == "None"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_list_of_verbs_fits_the_terminal(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["--help"]) == 0
    _, *verbs = re.split(r"\n(?=  \S)", capsys.readouterr().out.partition("train:\n")[2])
    lines = [line for verb in verbs for line in verb.splitlines()]
    assert max(map(len, lines)) <= width
    assert all(line.startswith(" " * 15) for verb in verbs for line in verb.splitlines()[1:] if line.startswith("   "))


@pytest.mark.parametrize("verb", ["train", "evaluate", "exit", "study"])
def test_help_keeps_no_line_breaks_of_the_source(verb, capsys):
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    lines = [line[2:-2] for line in capsys.readouterr().out.splitlines() if line[:1] in "│ " and len(line) == 80]
    pairs = [(line.rstrip(), after) for line, after in pairwise(lines) if (line[:9] + after[:9]).isspace()]
    text = [(line, after.split()[0]) for line, after in pairs if line and after.strip()]
    assert text
    assert not [line for line, word in text if len(line) + 1 + len(word) <= len(lines[0])]
