"""Doors: packages whose names are imported on first use, so that nobody waits for torch who only opens one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from bntt.renamed import old_names

Door = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def door(package: str, file: str, old: Mapping[str, str] | None = None) -> Door:
    """Make ``__all__``, ``__getattr__`` and ``__dir__`` of a package, out of the ``.pyi`` beside its file.

    That is the one list of its names, which type checkers read too: ``from HOME import name as name``, line by line.

    Args:
        package: its ``__name__``.
        file: its ``__file__``.
        old: new path by old name, as :func:`~bntt.renamed.old_names` takes them.
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
