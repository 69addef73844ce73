"""The runs and studies that a report is of: those that are named, those in a folder, or all that there are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.report.measures import measured
from bntt.studies.report.study import RESULT

PLACES = (Path("runs"), Path("studies"))
"""Where a report looks that is told nothing: results of ``bntt train`` and ``bntt study``."""
DEPTH = 4
"""Of folders in which runs are looked for."""
_UNSEEN = {"checkpoints", "__pycache__"}


def is_study(folder: Path) -> bool:
    """Say whether a study's result lies in it."""
    return (folder / RESULT).is_file()


def is_run(folder: Path) -> bool:
    """Say whether a recipe, or a measurement of some run, lies in it."""
    return (folder / "recipe.toml").is_file() or any(measured(folder).keys() - {""})


def chosen(paths: Sequence[Path]) -> list[Path]:
    """The directories of all that was asked for, each once: studies, then runs, where a folder holds several.

    Raises:
        CheckpointError: if a path is neither, and holds neither.
        RecipeError: if nothing is asked for and there is nothing.
    """
    if not paths:
        found = [folder for place in PLACES for folder in within(place)]
        if not found:
            looked = " and ".join(str(Path.cwd() / place) for place in PLACES)
            raise RecipeError(f"nothing to report: no run and no study in {looked}; name a run or study directory")
        return _studies_first(found)
    found = []
    for path in paths:
        folder = path.parent if path.name == RESULT and path.is_file() else path
        inside = [folder] if is_study(folder) or is_run(folder) else _studies_first(within(folder))
        if not inside:
            why = (
                "holds neither recipe.toml nor result.json nor any measurement"
                if folder.is_dir()
                else "is no directory"
            )
            raise CheckpointError(f"{path} is no run and no study: it {why}")
        found += inside
    return list({folder.resolve(): folder for folder in found}.values())


def _studies_first(found: Sequence[Path]) -> list[Path]:
    return sorted(found, key=lambda folder: not is_study(folder))


def within(root: Path) -> list[Path]:
    """List the runs and studies in a folder, by name; nothing inside one of them, and not through links."""
    return list(_within(root, DEPTH)) if root.is_dir() else []


def _within(folder: Path, depth: int) -> Iterator[Path]:
    if is_study(folder) or is_run(folder):
        yield folder
        return
    if not depth:
        return
    with os.scandir(folder) as entries:
        inner = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    for name in inner:
        if name not in _UNSEEN:
            yield from _within(folder / name, depth - 1)
