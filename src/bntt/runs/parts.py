"""User-defined parts: the files that the user names, and what a run records about them.

Only the user names code, with ``bntt --with`` or ``load_run(parts=...)``. A run keeps names and checksums, by which
missing or changed parts are detected; nothing that a recipe, a checkpoint or a run names is imported.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, invalidate_caches, util
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bntt.io.checkpoint import CheckpointError
from bntt.io.files import digest, find_object
from bntt.register import REGISTERED
from bntt.runs.recipe.schema import Recipe, RecipeError


class PartsError(RecipeError):
    """Error of a file of parts that cannot be loaded; the message says why."""


@dataclass(frozen=True)
class Part:
    """A file, and what it registers."""

    source: str
    """Absolute path of the file; 1.0 also recorded names of packages."""
    version: str
    """SHA-256 of the file."""
    names: tuple[str, ...]
    """Registered names in recipe form: "network.norm=mine"."""


_RECORDED = TypeAdapter(tuple[Part, ...])
LOADED: list[Part] = []
"""Parts that the user named in this process."""


def load_parts(sources: str | Path | Sequence[str | Path]) -> None:
    """Import files that register parts, such as ``my_parts.py``."""
    for text in map(str, [sources] if isinstance(sources, str | Path) else sources):
        before = {*REGISTERED}
        try:
            source, version, module = _import_file(text)
            known = next((part for part in LOADED if part.source == source), None)
            names = {name for name, one in REGISTERED.items() if name not in before or one.__module__ == module}
            if known and known.version != version:
                raise PartsError("was changed since it was loaded: start a new process")
            if not names:
                raise PartsError('registers nothing; decorate a part, such as @bntt.register.norm("mine")')
        except Exception as error:  # the user's code may raise anything
            why = str(error) if isinstance(error, PartsError) else f"{type(error).__name__}: {error}"
            raise PartsError(f"--with {text}: {why}") from error
        if not known:
            LOADED.append(Part(source, version, tuple(sorted(names))))


def _import_file(text: str) -> tuple[str, str, str]:
    """Import a file, unless it is already imported; return its absolute path, its SHA-256 and its module."""
    path = Path(text).expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        raise PartsError("there is no such file of Python")
    name, version = path.stem, digest(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    invalidate_caches()  # the file may be newer than the cached listing of its folder
    found = util.find_spec(name) if name.isidentifier() else None
    if found is None or found.origin is None or Path(found.origin).resolve() != path:
        raise PartsError(f"{name} is taken by another module, or is no module name: rename the file")
    import_module(name)
    return str(path), version, name


def _file_of(name: str) -> str:
    """Return the file that defines a registered name; "" if it was typed into an interpreter."""
    module = sys.modules.get(REGISTERED[name].__module__)
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if file else ""


def parts_of(recipe: Recipe) -> list[Part]:
    """Return the files that provide the names in a recipe, each with only these names."""
    used = {name for name in REGISTERED if _is_named(name, recipe)}
    found = [Part(part.source, part.version, tuple(sorted(used & {*part.names}))) for part in LOADED]
    for name in sorted(used.difference(*(part.names for part in LOADED))):
        if file := _file_of(name):
            found.append(Part(file, digest(Path(file)), (name,)))
    return [part for part in found if part.names]


def _is_named(name: str, recipe: Recipe) -> bool:
    key, _, value = name.partition("=")
    table, _, option = key.partition(".")
    found = getattr(getattr(recipe, table), option) if option else ()
    return value == found or (isinstance(found, tuple) and value in found)


def parts_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the parts as a fact of a run, ``{"parts": [...]}``; empty if the recipe names none."""
    found = parts_of(recipe)
    return {"parts": [asdict(part) for part in found]} if found else {}


def recorded_parts(environment: Mapping[str, Any]) -> Sequence[Part]:
    """Read the parts from the facts of a run (``environment.json``)."""
    try:
        return _RECORDED.validate_python(environment.get("parts", []))
    except ValueError:
        raise CheckpointError("the parts of environment.json cannot be read: put the file back") from None


def versions_of(parts: Sequence[Part]) -> dict[str, str]:
    """Return the version of the code behind each name."""
    return {name: part.version for part in parts for name in part.names}


def _version_now(name: str, part: Part) -> str:
    """Return the current version of the code behind a name; "" if it has none. A package's is taken as recorded."""
    if not part.source.endswith(".py"):
        return part.version
    loaded = next((one.version for one in LOADED if name in one.names), "")
    return loaded or (digest(Path(file)) if (file := _file_of(name)) else "")


def check_parts(run: Path, *, resuming: bool = False) -> None:
    """Check that the parts a run was trained with are loaded and unchanged; warn about changed code."""
    kept = recorded_parts(find_object(run / "environment.json") or {})
    if missing := [part for part in kept if not REGISTERED.keys() >= {*part.names}]:
        names = ", ".join(name for part in missing for name in part.names)
        given = " ".join(f"--with {shlex.quote(part.source)}" for part in missing)
        raise CheckpointError(
            f"{run} was trained with parts of your own that are not loaded ({names}): put {given} before the command, "
            f"or give load_run(parts=...) the same"
        )
    for part in kept:
        if not (changed := [name for name in part.names if part.version != _version_now(name, part)]):
            continue
        said = (
            f"{run}: the code of {', '.join(changed)} is not what it was trained with, which was {part.source} "
            f"({part.version[:12]})"
        )
        if resuming:
            raise CheckpointError(f"{said}: bring that back, or train a run of its own")
        warnings.warn(said, stacklevel=2)
