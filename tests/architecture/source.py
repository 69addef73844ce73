"""The source as the architecture tests read it: its files, their code without words, what they import and define."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bntt"
FILES = sorted(SOURCE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def code_of(path: Path) -> str:
    """The file without its docstrings and comments."""
    return ast.unparse(without_docstrings(ast.parse(path.read_text(encoding="utf-8"))))


def without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            is_text = [isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in body]
            node.body = [s for s, text in zip(body, is_text, strict=True) if not text] or [
                ast.Pass(lineno=1, end_lineno=1, col_offset=0)
            ]
    return tree


def imports(path: Path) -> set[str]:
    """What a file imports of the library, anywhere in it, without the library's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module.removeprefix("bntt.") for module in found if module.startswith("bntt.")}


def functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its name as Python spells it: ``f``, ``Class.f``, ``f.<locals>.g``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield inside + child.name, child
            yield from functions(child, f"{inside}{child.name}.<locals>.")
        else:
            yield from functions(child, f"{inside}{child.name}." if isinstance(child, ast.ClassDef) else inside)
