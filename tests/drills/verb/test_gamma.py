"""A verb in one file has a name in the help, flags, errors in one line and exit codes."""

import importlib
from pathlib import Path

import pytest

from bntt.cli import main as cli
from tests.trained import trained_run


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.setitem(cli.GROUPS, "report", dict(cli.GROUPS["report"]))
    importlib.reload(importlib.import_module("tests.drills.verb.gamma"))


def test_it_is_one_file():
    assert {path.name for path in Path(__file__).parent.glob("*.py")} == {"__init__.py", "gamma.py", "test_gamma.py"}


def test_it_works_as_the_others_do(capsys):
    run = str(trained_run().path)
    assert cli.main(["gamma", run, "--digits", "1"]) == 0
    assert capsys.readouterr().out.startswith("conv1 1.")
    assert cli.main(["gamma", "/nonexistent"]) == 4
    assert "is not a run directory" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert "Print the mean |γ| of every layer." in capsys.readouterr().out
