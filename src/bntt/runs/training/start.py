"""What ``bntt train`` was asked for, made into a recipe and a place for its run: by one process, for all."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bntt.io.lock import hold_run
from bntt.runs.directory import RunDirectory, begun_directory, find_run, new_run_directory
from bntt.runs.recipe.build import with_whole_root
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe
from bntt.runs.training.resume import check_resumable
from bntt.training.processes import Processes


@dataclass(frozen=True)
class Asked:
    """The words of the command."""

    recipe: str
    """A recipe's name or file; with ``resume`` a run directory."""
    overrides: tuple[str, ...] = ()
    name: str = ""
    root: str = "runs"
    resume: bool = False
    forget_best: bool = False
    or_resume: bool = False


@dataclass(frozen=True)
class Begun:
    """What is to be trained."""

    recipe: Recipe
    place: Callable[[], RunDirectory]
    """Makes the run directory where there is none yet; for the first process."""
    goes_on: bool
    """Whether from where the run was kept last."""


def begin(asked: Asked) -> Begun:
    """Read recipe and run directory, and refuse what cannot be trained or taken up, before any data is read.

    Raises:
        RecipeError: on a recipe, an option or a name that cannot be used.
        RunLockedError: if another process trains in the directory that is to go on.
        CheckpointError: if that run cannot be resumed so.
    """
    if asked.resume:
        run = find_run(Path(asked.recipe))
        if asked.name:
            raise RecipeError("--resume goes on in the run's own directory: leave out --name")
        begun = load_recipe(run.recipe, asked.overrides, same_data=True)
        with hold_run(run.path):  # who trains there now is told first
            check_resumable(with_whole_root(begun), run, forget_best=asked.forget_best)
        return Begun(begun, lambda: run, True)
    if asked.forget_best:
        raise RecipeError("--forget-best is for --resume: a new run has no best epoch yet")
    chosen, root = load_recipe(asked.recipe, asked.overrides), Path(asked.root)
    folder = asked.name or Path(asked.recipe).stem
    check_name(folder)
    if asked.or_resume:
        run = begun_directory(folder, root)
        return Begun(chosen, lambda: run, bool(run.kept.paths()))
    return Begun(chosen, lambda: new_run_directory(folder, root), False)


def check_name(folder: str) -> None:
    """Refuse what is not the name of one folder.

    Raises:
        RecipeError: saying what is.

    >>> check_name("fashion-mnist")
    """
    one = Path(folder).name == folder and folder.strip() not in ("", ".", "..")
    if not one or len(folder) > 100 or not folder.isprintable():
        raise RecipeError(f"--name {folder!r}: a run's name is one folder name of at most 100 printable characters")


def begin_together(asked: Asked, processes: Processes) -> Begun:
    """The same in all processes; the first alone reads.

    Raises:
        RecipeError: in a process that was asked for something else than the first one.
        LostProcessError: in the others, if the first one refuses.
    """
    if processes.count == 1:
        return begin(asked)
    first, mine = processes.decided(lambda: _words(asked)), _words(asked)
    if first != mine:
        raise RecipeError(f"process {processes.rank} was started with {mine}, process 0 with {first}: say the same")
    found: list[Begun] = []

    def work() -> list[str]:
        found.append(begin(asked))
        return [dump_recipe(found[0].recipe), "again" if found[0].goes_on else ""]

    text, again = processes.decided(work)
    return found[0] if found else Begun(parse_recipe(tomllib.loads(text)), lambda: RunDirectory(Path()), bool(again))


def _words(asked: Asked) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in asdict(asked).items() if value)
