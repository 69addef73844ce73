"""The list of mutations still fits the source. That each is caught is what ``python -m tests.mutations`` shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutations import workbench
from tests.mutations.mutation import ROOT, Mutation
from tests.mutations.mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_still_fits(mutation):
    assert mutation.place(ROOT).suffix in (".py", ".inl", ".cpp", ".h")
    assert mutation.new != mutation.old
    assert mutation.tests
    for test in mutation.tests:
        assert (ROOT / test).exists()


def test_names_are_unique():
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_text_that_does_not_occur_is_refused(tmp_path):
    (tmp_path / "src" / "bntt").mkdir(parents=True)
    (tmp_path / "src" / "bntt" / "one.py").write_text("a = 1\nb = 1\n")
    for old in ("c = 1", " = 1"):
        with pytest.raises(ValueError, match="must occur once"):
            Mutation("wrong", "*.py", old, "", ()).apply(tmp_path)
    assert Mutation("right", "*.py", "a = 1", "a = 2", ()).apply(tmp_path).read_text() == "a = 2\nb = 1\n"


def test_the_first_failure_is_named(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): assert 0\n")
    assert workbench.first_failure(tmp_path, ("test_it.py",)) == "test_it.py::test_b"
    assert workbench.first_failure(tmp_path, ("test_it.py::test_a",)) is None
    (tmp_path / "test_crash.py").write_text("import os\ndef test_a(): os.abort()\n")
    assert workbench.first_failure(tmp_path, ("test_crash.py",)) == "a crash in test_crash.py::test_a"
    with pytest.raises(RuntimeError, match="pytest ended with"):
        workbench.first_failure(tmp_path, ("test_it.py::test_d",))


def test_the_command_lists_its_names():
    command = [sys.executable, "-m", "tests.mutations", "--list", "reset"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.startswith("soft reset adds\n")
