"""The shape of the project, held by the machine: imports point down, rooms stay small, one owner each."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bntt"
FILES = sorted(SOURCE.rglob("*.py"))

ALLOWED = {
    "cli": {"experiments", "bench", "training", "analysis", "models", "data", "nn", "engine", "ops"},
    "experiments": {"training", "analysis", "models", "data", "nn", "engine", "ops"},
    "bench": {"training", "models", "nn", "engine", "ops"},
    "training": {"nn", "engine", "ops"},
    "analysis": {"nn", "engine", "ops"},
    "models": {"nn", "engine", "ops"},
    "nn": {"engine", "ops"},
    "engine": {"ops"},
    "ops": set(),
    "data": {"ops.random"},
}
OWNERS = {
    "print(": {"cli/main.py", "cli/console.py"},
    "Console(": {"cli/console.py"},
    "matplotlib": {"experiments/figures.py"},
    "safe_open": {"training/checkpoint.py"},
    "torch.load": {"training/checkpoint.py"},
    "urlopen": {"data/files.py"},
    "urllib": {"data/files.py"},
    "tarfile": {"data/cifar.py"},
    "zipfile": {"data/folder.py"},
}
BANNED = ("pickle.load", "weights_only=False", "extractall", "shell=True", "http://", "yaml")


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def code_of(path: Path) -> str:
    """The file without its docstrings and comments."""
    return ast.unparse(_without_docstrings(ast.parse(path.read_text(encoding="utf-8"))))


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            is_text = [isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in body]
            node.body = [s for s, text in zip(body, is_text, strict=True) if not text] or [
                ast.Pass(lineno=1, end_lineno=1, col_offset=0)
            ]
    return tree


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module.removeprefix("bntt.") for module in found if module.startswith("bntt.")}


@pytest.mark.parametrize("path", [p for p in FILES if len(p.relative_to(SOURCE).parts) > 1], ids=name)
def test_imports_point_down(path):
    room = path.relative_to(SOURCE).parts[0]
    for module in imports(path):
        if module.startswith("version"):
            continue
        allowed = ALLOWED[room] | {room}
        assert any(module == a or module.startswith(a + ".") for a in allowed), f"{name(path)} imports bntt.{module}"


def test_every_room_is_in_the_list():
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms <= ALLOWED.keys()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(_without_docstrings(ast.parse(text))):
        if isinstance(node, ast.FunctionDef):
            length = sum((part.end_lineno or part.lineno) - part.lineno + 1 for part in node.body)
            assert length < 50, f"{node.name} is longer than a screen"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_drawer_for_odds_and_ends(path):
    assert path.stem not in {"utils", "common", "misc", "helpers"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_one_owner_each_and_nothing_unsafe(path):
    code = code_of(path)
    for what, owners in OWNERS.items():
        if name(path) not in owners:
            assert not re.search(rf"(?<![\w.]){re.escape(what)}", code), f"{name(path)} uses {what}"
    called = {
        node.func.id
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec"}
    for what in BANNED:
        assert not re.search(rf"(?<![\w.]){re.escape(what)}", code), f"{name(path)} uses {what}"


@pytest.mark.parametrize("path", [p for p in FILES if not p.name.startswith("__") and p.parent != SOURCE], ids=name)
def test_every_source_file_has_its_tests(path):
    relative = path.relative_to(SOURCE)
    assert (ROOT / "tests" / relative.parent / f"test_{relative.name}").exists()


def test_public_names_resolve():
    import bntt

    for public in bntt.__all__:
        assert getattr(bntt, public) is not None


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_functions_say_what_they_are(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name(path)}: {node.name}"
