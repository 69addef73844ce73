"""The page is what the kept numbers give, no promise is left out, and the cheap ones are measured for real."""

import ast
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT
from tests.promises import page, source, suite
from tests.promises.audit import recorded
from tests.promises.numbers import CRITICAL
from tests.promises.promise import Measured, NotRunError, Promise
from tests.promises.promises import ASKED, BY_NAME, PROMISES

CHEAP = ("R5", "R7", "S2", "N8", "T3")
"""Measured in seconds, and by no clock."""


def test_the_page_is_made_of_what_was_measured():
    """Regenerate it with ``python -m tests.promises --page``."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page(page.load())


def test_no_promise_is_left_out_and_none_is_there_twice():
    assert [promise.name for promise in PROMISES] == ASKED
    assert page.load().keys() <= BY_NAME.keys()


def test_how_each_is_measured_is_there():
    for promise in PROMISES:
        file, _, function = promise.how.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert ast.get_docstring(found[function]), promise.name


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_it_is_so(name):
    found = BY_NAME[name].measured()
    assert found.met, found.text


def test_what_cannot_be_measured_says_why():
    def measure():
        raise NotRunError("there is no such machine here")

    assert Promise("X1", "x", "y", measure).measured() == ("not run: there is no such machine here", None)


def test_what_is_kept_is_shown_and_what_is_not_says_so():
    row = page.of(Measured("3 of 4 | 5", False), 1.23, "abc")
    said = page.page({PROMISES[0].name: row})
    assert r"| 3 of 4 \| 5 | **no** |" in said
    assert "not run | not run" in said
    assert f"{len(PROMISES)} promises: 0 yes, 1 no, {len(PROMISES) - 1} not run." in said
    assert f"{PROMISES[0].name} (1 s)" in said


def test_writes_sockets_and_processes_are_seen(tmp_path):
    import socket

    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    with recorded([inside]) as seen:
        (inside / "x").write_text("x")
        (inside / "x").rename(outside)
        socket.socket().close()
        subprocess.run([sys.executable, "--version"], check=True, capture_output=True)
    outside.unlink()
    assert seen.inside >= 2
    assert len(seen.writes) == len(seen.sockets) == 1
    assert seen.processes


def test_files_that_must_be_covered_are_there():
    """One that was renamed would drop out of the minimum."""
    assert [name for name in CRITICAL if not (ROOT / "src" / "bntt" / name).is_file()] == []


def test_tests_are_counted(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pytest.skip()\n"
    )
    ran = suite.passed([str(tmp_path / "test_it.py")])
    assert ran == (1, 1, 1)
    assert not ran.well
    assert ran.text == "1 tests passed, 1 FAILED, 1 skipped"


def test_what_the_library_needs_is_found():
    assert {"torch", "numpy", "safetensors"} <= source.needed("bntt").keys()
    assert "bntt" not in source.needed("bntt")
