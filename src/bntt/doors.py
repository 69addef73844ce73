"""Names of packages: imported on first use, so that a package does not load torch, and old names that still work.

An old name warns, names the new one, and is removed in the next major version; docs/develop/migration.md lists them.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

Door = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def door(package: str, file: str, old: Mapping[str, str] | None = None) -> Door:
    """Make ``__all__``, ``__getattr__`` and ``__dir__`` of a package from its ``.pyi``, the only list of its names."""
    lines = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
    home_of = {part.name: line.module for line in lines if isinstance(line, ast.ImportFrom) for part in line.names}
    renamed = old_names(package, old or {})

    def get(name: str) -> Any:
        if name not in home_of:
            return renamed(name, 4)
        home = str(home_of[name])
        return import_module(f"{home}.{name}") if home == package else getattr(import_module(home), name)

    return [*home_of], get, lambda: sorted(home_of)


def old_names(module: str, now: Mapping[str, str]) -> Callable[..., Any]:
    """Make a module's ``__getattr__``, which resolves an old name to its new path, with a ``DeprecationWarning``."""

    def look_up(name: str, stacklevel: int = 3) -> Any:
        if name not in now:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", now[name], stacklevel)
        return resolve_name(now[name])

    return look_up


class OldName:
    """Old name of an attribute or method of a class: ``images = OldName("images", "inputs")``."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def __get__(self, one: Any, kind: type) -> Any:
        _warn(f"{kind.__name__}.{self.old}", f"{kind.__name__}.{self.new}")
        return getattr(kind if one is None else one, self.new)


def _warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn where the name is used: the caller of the caller."""
    warnings.warn(f"{old} is now {new}; the old name will be removed in bntt 2.0", DeprecationWarning, stacklevel)
