"""What fits a head: files of at most 300 lines, functions of a screen, eight parameters."""

import ast
import inspect

import pytest

import bntt
from bntt.cli import data as cli_data
from bntt.cli import main as cli
from tests.architecture.source import FILES, ROOT, SOURCE, Function, functions, name, without_docstrings

WRITTEN = sorted(
    path
    for room in ("src", "tests", "docs", "examples")
    for path in (ROOT / room).rglob("*")
    if path.suffix in (".py", ".cpp", ".inl", ".h")
)
MOST_PARAMETERS = 8
MANY_BY_NATURE = ("engine/cpu/", "engine/triton/", "models/")
"""Kernels, and builders with flat keyword arguments."""


def parameters(function: Function) -> int:
    given = function.args
    return (
        len(given.posonlyargs + given.args + given.kwonlyargs) + (given.vararg is not None) + (given.kwarg is not None)
    )


def public_doors() -> set[tuple[str, str]]:
    """The functions that users call, and the constructors of the classes that they make, by file and name."""
    exported = [getattr(room, public) for room in (bntt, bntt.nn) for public in room.__all__]
    doors = set()
    for door in [*exported, *cli.VERBS.values(), *cli_data.VERBS.values()]:
        door = inspect.unwrap(door) if callable(door) else door
        if inspect.isfunction(door) or inspect.isclass(door):
            file = door.__module__.removeprefix("bntt.").replace(".", "/") + ".py"
            doors.add((file, door.__qualname__ + (".__init__" if inspect.isclass(door) else "")))
    return doors


def with_too_many() -> set[tuple[str, str]]:
    return {
        (name(path), function)
        for path in FILES
        if not name(path).startswith(MANY_BY_NATURE)
        for function, node in functions(ast.parse(path.read_text(encoding="utf-8")))
        if parameters(node) > MOST_PARAMETERS
    }


def test_no_function_takes_more_than_eight_parameters():
    assert not with_too_many() - public_doors()


def test_doors_are_found():
    assert {
        ("training/fit.py", "fit"),
        ("cli/train.py", "train"),
        ("nn/neurons/lif.py", "LIF.__init__"),
    } <= public_doors()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_small(path):
    for node in ast.walk(without_docstrings(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, Function):
            length = sum((part.end_lineno or part.lineno) - part.lineno + 1 for part in node.body)
            assert length < 50, f"{node.name} is longer than a screen"


def test_every_kind_of_file_is_measured():
    assert {path.suffix for path in WRITTEN} == {".py", ".cpp", ".inl", ".h"}
    assert SOURCE / "engine" / "cpu" / "scan.inl" in WRITTEN
