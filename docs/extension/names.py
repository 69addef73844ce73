"""The public names of the library, found in its doors: the file that defines each, and the path to call it by."""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
DOORS = (
    *("bntt", "bntt.nn", "bntt.models", "bntt.data", "bntt.training", "bntt.analysis", "bntt.deploy", "bntt.interop"),
    *("bntt.charts", "bntt.register"),
    *(f"bntt.interop.{peer}" for peer in ("spikingjelly", "snntorch", "norse", "lightning", "hub")),
    *(f"bntt.ops.{path.stem}" for path in sorted((ROOT / "src/bntt/ops").glob("[a-z]*.py"))),
    "bntt_runtime",
)
"""Modules whose names are public; of several paths to one thing the shortest is shown, or the first of these."""
PEERS = ("spikingjelly", "snntorch", "norse", "lightning")
"""What the adapters import; it need not be here."""


class Hub:
    """Stands for the hub's mixin, whose subclasses say the name of a library."""

    def __init_subclass__(cls, **_: Any) -> None: ...


def opened(module: str) -> ModuleType:
    """Import a module; the peers that an adapter imports are stand-ins."""
    if not module.startswith("bntt.interop."):
        return importlib.import_module(module)
    from sphinx.ext.autodoc.mock import mock

    if "huggingface_hub" not in sys.modules:
        stand_in = ModuleType("huggingface_hub")
        vars(stand_in)["PyTorchModelHubMixin"] = Hub
        sys.modules["huggingface_hub"] = stand_in
    with mock([*PEERS]):
        return importlib.import_module(module)


@dataclass(frozen=True)
class Name:
    """A public name."""

    path: str
    """What a user types, ``bntt.nn.fold``."""
    home: str
    """The module that defines it."""
    short: str
    """What it is called there."""
    also: tuple[str, ...] = ()
    """Other paths to it."""

    @functools.cached_property
    def value(self) -> Any:
        """What it stands for."""
        return getattr(opened(self.home), self.short)


def _tree(module: str) -> list[ast.stmt]:
    base = ROOT / "src" / Path(*module.split("."))
    stub, package = base / "__init__.pyi", base / "__init__.py"
    file = stub if stub.exists() else package if package.exists() else base.with_suffix(".py")
    found: list[ast.stmt] = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        found += node.body if isinstance(node, ast.If | ast.Try) else [node]
    return found


def _public(module: str) -> dict[str, tuple[str, str]]:
    """Name to home and name there, of a door that hands names on (``x as x``), or of a module that defines them."""
    package = (ROOT / "src" / Path(*module.split(".")) / "__init__.py").exists()
    found: dict[str, tuple[str, str]] = {}
    for node in _tree(module):
        if package and isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("bntt.", "bntt_")):
            found |= {one.asname or one.name: _defined(str(node.module), one.name) for one in node.names}
        elif not package and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = (module, node.name)
    return {name: home for name, home in found.items() if not name.startswith("_")}


def _defined(home: str, name: str) -> tuple[str, str]:
    """Follow a name from door to door, to the module whose own it is."""
    for node in _tree(home):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bntt"):
            for one in node.names:
                if (one.asname or one.name) == name:
                    return _defined(node.module, one.name)
    return home, name


@functools.cache
def public_names() -> dict[str, Name]:
    """Every public name by its path, in the order of the doors."""
    paths: dict[tuple[str, str], list[str]] = {}
    for door in DOORS:
        for name, home in _public(door).items():
            paths.setdefault(home, []).append(f"{door}.{name}")
    found = {}
    for (home, short), known in paths.items():
        path = min(known, key=lambda one: (one.startswith("bntt_runtime"), one.count(".")))
        found[path] = Name(path, home, short, tuple(one for one in known if one != path))
    return found


def chosen(lines: list[str]) -> list[Name]:
    """The names of a page: each line is a home, with all that is public of it, or one path.

    Raises:
        ValueError: if a line names nothing.
    """
    found: list[Name] = []
    for line in filter(None, map(str.strip, lines)):
        of_it = [one for one in public_names().values() if line == one.path or f"{one.home}.".startswith(f"{line}.")]
        if not of_it:
            raise ValueError(f"{line}: nothing public is defined there")
        found += [one for one in of_it if one not in found]
    return found


@functools.cache
def path_of(home: str, name: str) -> str | None:
    """The path by which a name of a module is shown; None if it is not public."""
    shown = {(one.home, one.short): one.path for one in public_names().values()}
    return shown.get((home, name))
