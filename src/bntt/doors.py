"""Doors: packages that import their names on first use, so that importing the package does not load torch."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from bntt.renamed import old_names

Door = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def door(package: str, file: str, old: Mapping[str, str] | None = None) -> Door:
    """Make ``__all__``, ``__getattr__`` and ``__dir__`` of a package from the ``.pyi`` next to its file.

    The ``.pyi`` is the only list of its names, and type checkers read it too; its lines are
    ``from HOME import name as name``.
    """
    lines = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
    home_of = {part.name: line.module for line in lines if isinstance(line, ast.ImportFrom) for part in line.names}
    renamed = old_names(package, old or {})

    def get(name: str) -> Any:
        if name not in home_of:
            return renamed(name, 4)
        home = str(home_of[name])
        return import_module(f"{home}.{name}") if home == package else getattr(import_module(home), name)

    return [*home_of], get, lambda: sorted(home_of)
