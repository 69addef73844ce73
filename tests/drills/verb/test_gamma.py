"""A verb in one file has a name in the help, flags, errors in one line and exit codes."""

import importlib
from pathlib import Path

from bntt.cli import main as cli
from tests.trained import trained_run


def test_it_is_one_file_and_works_as_the_others_do(monkeypatch, capsys):
    assert {path.name for path in Path(__file__).parent.glob("*.py")} == {"__init__.py", "gamma.py", "test_gamma.py"}
    monkeypatch.setitem(cli.GROUPS, "report", dict(cli.GROUPS["report"]))
    importlib.reload(importlib.import_module("tests.drills.verb.gamma"))
    assert cli.main(["gamma", str(trained_run().path), "--digits", "1"]) == 0
    assert capsys.readouterr().out.startswith("conv1 1.")
    assert cli.main(["gamma", "/nonexistent"]) == 4
    assert "/nonexistent" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert "Print the mean |γ| of every layer." in capsys.readouterr().out
