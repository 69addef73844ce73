"""The runs and studies in a report: those that are named, those in a folder, or all that exist."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bntt.charts.axes import on_shared_scales
from bntt.charts.colours import looks_of
from bntt.charts.section import Cell, Table
from bntt.charts.svg import Pictures
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_whole
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.report.blocks import Page, Subject
from bntt.studies.report.reading import clean
from bntt.studies.report.run import MEASUREMENT_COLUMNS, RUN_COLUMNS, measured, run_subject
from bntt.studies.report.story import story_of
from bntt.studies.report.study import RESULT, STUDY_COLUMNS, study_subject
from bntt.version import __version__

PLACES = (Path("runs"), Path("studies"))
"""Folders that a report searches by default: results of ``bntt train`` and ``bntt study``."""
DEPTH = 4
"""Depth of folders searched for runs."""
_UNSEEN = {"checkpoints", "__pycache__"}


def is_study(folder: Path) -> bool:
    """Return True if the folder holds a study's result."""
    return (folder / RESULT).is_file()


def is_run(folder: Path) -> bool:
    """Return True if the folder holds a recipe, or a measurement of some run."""
    return (folder / "recipe.toml").is_file() or any(measured(folder).keys() - {""})


def find_subjects(paths: Sequence[Path]) -> list[Path]:
    """List the requested directories, each once: studies, then runs, where a folder holds several.

    Raises:
        CheckpointError: if a path is neither, and holds neither.
        RecipeError: if nothing is requested and nothing exists.
    """
    if not paths:
        found = [folder for place in PLACES for folder in subjects_in(place)]
        if not found:
            looked = " and ".join(str(Path.cwd() / place) for place in PLACES)
            raise RecipeError(f"nothing to report: no run and no study in {looked}; name a run or study directory")
        return _studies_first(found)
    found = []
    for path in paths:
        folder = path.parent if path.name == RESULT and path.is_file() else path
        inside = [folder] if is_study(folder) or is_run(folder) else _studies_first(subjects_in(folder))
        if not inside:
            why = (
                "holds neither recipe.toml nor result.json nor any measurement"
                if folder.is_dir()
                else "is no directory"
            )
            raise CheckpointError(f"{path} is neither a run nor a study: it {why}")
        found += inside
    return list({folder.resolve(): folder for folder in found}.values())


def _studies_first(found: Sequence[Path]) -> list[Path]:
    return sorted(found, key=lambda folder: not is_study(folder))


def subjects_in(root: Path) -> list[Path]:
    """List the runs and studies in a folder, by name; without following links or entering a run or study."""
    return list(_subjects_in(root, DEPTH)) if root.is_dir() else []


def _subjects_in(folder: Path, depth: int) -> Iterator[Path]:
    if is_study(folder) or is_run(folder):
        yield folder
        return
    if not depth:
        return
    with os.scandir(folder) as entries:
        inner = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    for name in inner:
        if name not in _UNSEEN:
            yield from _subjects_in(folder / name, depth - 1)


def page_of(folders: Sequence[Path]) -> Page:
    """Make the page of these runs and studies; with several, the claims of all studies and an index come first.

    Raises:
        CheckpointError: if a study's result cannot be read.
    """
    read = [study_subject(folder) if is_study(folder) else run_subject(folder) for folder in folders]
    subjects = tuple(_told_apart(read, folders))
    if len(subjects) == 1:
        return Page(subjects[0].title, subjects)
    story = story_of([(one.title, anchor(n), one.claims) for n, one in enumerate(subjects, 1) if one.kind == "study"])
    settings = {one.compared[1].text for one in subjects if one.kind == "study"}
    story = replace(story, small=settings == {"small"})
    title = f"{story.paper}, claim by claim" if story.paper else "Results"
    told = story if story.claims or story.questions else None
    return Page(title, subjects, tuple(_overview(subjects)), told)


def _told_apart(subjects: Sequence[Subject], folders: Sequence[Path]) -> Iterator[Subject]:
    """Add its place to the name of a run that shares its name with another."""
    names = Counter(one.title for one in subjects if one.kind != "study")
    for one, folder in zip(subjects, folders, strict=True):
        if one.kind == "study" or names[one.title] == 1:
            yield one
        else:
            title = f"{one.title} ({clean(str(folder)[-120:], 120)})"  # places differ towards their end
            yield replace(one, title=title, compared=(replace(one.compared[0], text=title), *one.compared[1:]))


def _overview(subjects: Sequence[Subject]) -> list[Table]:
    found = []
    for kind, columns, caption in (
        ("study", STUDY_COLUMNS, "Studies, with their verdicts on claims"),
        ("run", RUN_COLUMNS, "Runs, one start each: test accuracy, with the interval for the images"),
        ("measurements", MEASUREMENT_COLUMNS, "Measurements without a training of their own"),
    ):
        rows = tuple(
            (Cell(first.text, link=anchor(number)), *rest)
            for number, subject in enumerate(subjects, 1)
            if subject.kind == kind
            for first, *rest in [subject.compared]
        )
        if rows:
            note = "The paper's values are shown with the studies." if kind == "run" else ""
            found.append(Table(caption, columns, rows, note))
    return found


NAMES = {"study": ("study", "studies"), "run": ("run", "runs"), "measurements": ("other", "others")}


def describe_counts(page: Page) -> str:
    """Describe the number of subjects of each kind."""
    kinds = [subject.kind for subject in page.subjects]
    numbers = {kind: kinds.count(kind) for kind in kinds}
    return " and ".join(f"{numbers[kind]:,} {NAMES[kind][numbers[kind] > 1]}" for kind in NAMES if kind in numbers)


def anchor(subject: int, section: int = 0) -> str:
    """Return the anchor of a subject, or of a section of it."""
    return f"s{subject}-{section}" if section else f"s{subject}"


def numeric(table: Table, column: int) -> bool:
    """Return True if a column holds numbers, which are right-aligned."""
    held = [row[column] for row in table.rows if column < len(row)]
    return any(one.value is not None for one in held) and all(
        one.value is not None or one.mark == "gap" or one.text == "–" for one in held
    )


def sorts_apart(cell: Cell) -> bool:
    """Return True if a cell's number cannot be read from its text, by which a table would be sorted.

    >>> sorts_apart(Cell("1,234", 1234.4)), sorts_apart(Cell("22 min", 1330.3)), sorts_apart(Cell("0.5", 0.5, "note"))
    (False, True, True)
    """
    return cell.value is not None and (bool(cell.note) or not re.fullmatch(r"[-+]?[\d.,]+%?", cell.text))


def html_of(page: Page) -> str:
    """Return the whole file."""
    environment = Environment(
        loader=PackageLoader("bntt.studies.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = Pictures()
    environment.globals |= {"anchor": anchor, "numeric": numeric, "looks_of": looks_of, "draw": pictures.draw}
    environment.globals |= {"on_shared_scales": on_shared_scales, "sorts_apart": sorts_apart}
    environment.globals |= {"footnotes": {}}  # number of each source, in the order in which the page names them first
    body = environment.get_template("body.html").render(page=page, version=__version__)
    parts = {"style": f"{_part('page.css')}\n{pictures.rules()}", "script": _part("page.js")}
    hashes = {f"{name}_hash": _hash(text) for name, text in parts.items()}
    return environment.get_template("page.html").render(page=page, version=__version__, body=body, **parts, **hashes)


def _part(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def save_page(page: Page, path: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html_of(page).encode())
