"""The source as the architecture tests read it: its files, and their code without words."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bntt"
FILES = sorted(SOURCE.rglob("*.py"))


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
