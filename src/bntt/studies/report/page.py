"""The runs and studies in a report: those that are named, those in a folder, or all that exist."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from bntt.charts.files import looks_of, on_shared_scales
from bntt.charts.section import Table
from bntt.charts.svg import Pictures
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_whole
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.report.run import HIDDEN, MEASUREMENT_COLUMNS, RUN_COLUMNS, Subject, measured, run_subject
from bntt.studies.report.study import PAPER, RESULT, STUDY_COLUMNS, VERDICTS, Story, story_of, strips_of, study_subject
from bntt.version import __version__

PLACES = (Path("runs"), Path("studies"))
"""Folders that a report searches by default: results of ``bntt train`` and ``bntt study``."""


class Page(NamedTuple):
    """Page of one subject, or of several with an index."""

    title: str
    subjects: tuple[Subject, ...]
    story: Story
    """Claims of all its studies."""
    overview: tuple[Table, ...] = ()
    """Tables of a page of several subjects: one of each kind."""


def is_study(folder: Path) -> bool:
    """Return True if the folder holds a study's result."""
    return (folder / RESULT).is_file()


def is_run(folder: Path) -> bool:
    """Return True if the folder holds a recipe, or a measurement of some run."""
    return (folder / "recipe.toml").is_file() or any(measured(folder).keys() - {""})


def find_subjects(paths: Sequence[Path]) -> list[Path]:
    """List the requested directories, each once: studies, then runs, where a folder holds several."""
    found = [] if paths else [folder for place in PLACES for folder in subjects_in(place)]
    if not paths and not found:
        looked = " and ".join(str(Path.cwd() / place) for place in PLACES)
        raise RecipeError(f"nothing to report: no run and no study in {looked}; name a run or study directory")
    found.sort(key=lambda folder: not is_study(folder))
    for path in paths:
        inside = sorted(subjects_in(path.parent if path.name == RESULT else path), key=lambda one: not is_study(one))
        if not inside:
            lacks = "holds neither recipe.toml nor result.json nor any measurement"
            why = lacks if path.is_dir() else "is no directory"
            raise CheckpointError(f"{path} is neither a run nor a study: it {why}")
        found += inside
    return list({folder.resolve(): folder for folder in found}.values())


def subjects_in(root: Path) -> Iterator[Path]:
    """Yield a run or study, or those in a folder, by name; links are not followed."""
    for folder, names, _ in os.walk(root):
        if is_study(Path(folder)) or is_run(Path(folder)):
            yield Path(folder)
            names.clear()
        names[:] = sorted(name for name in names if not name.startswith("."))


def page_of(folders: Sequence[Path]) -> Page:
    """Make the page of these runs and studies; with several, an index comes before them."""
    subjects = [study_subject(folder) if is_study(folder) else run_subject(folder) for folder in folders]
    names = Counter(one.title for one in subjects if one.kind != "study")
    for n, (one, folder) in enumerate(zip(subjects, folders, strict=True)):
        if one.kind != "study" and names[one.title] > 1:  # runs of one name are told apart by their places
            title = f"{one.title} ({folder})"
            subjects[n] = replace(one, title=title, compared=(replace(one.compared[0], text=title), *one.compared[1:]))
    story = story_of([(anchor(n), one.title, one.claims) for n, one in enumerate(subjects, 1)])
    if len(subjects) == 1:
        return Page(subjects[0].title, (subjects[0],), story)
    if {one.compared[1].text for one in subjects if one.kind == "study"} == {"small"}:
        small = "All studies have a small setting: the paper's numbers are shown next to ours, but cannot be compared"
        story = story._replace(lead=f"{story.lead} {small} with them.".strip())
    overview = []
    for kind, columns, caption in (
        ("study", STUDY_COLUMNS, "Studies, with their verdicts on claims"),
        ("run", RUN_COLUMNS, "Runs, one start each: test accuracy, with the interval for the images"),
        ("measurements", MEASUREMENT_COLUMNS, "Measurements without a training of their own"),
    ):
        numbered = [(n, one.compared) for n, one in enumerate(subjects, 1) if one.kind == kind]
        rows = tuple((replace(row[0], link=anchor(n)), *row[1:]) for n, row in numbered)
        overview += [Table(caption, columns, rows)] * bool(rows)
    return Page(f"{PAPER}, claim by claim" if story.claims else "Results", tuple(subjects), story, tuple(overview))


NAMES = {"study": ("study", "studies"), "run": ("run", "runs"), "measurements": ("other", "others")}


def describe_counts(page: Page) -> str:
    """Describe the number of subjects of each kind."""
    numbers = Counter[str](subject.kind for subject in page.subjects)
    return " and ".join(f"{numbers[kind]:,} {NAMES[kind][numbers[kind] > 1]}" for kind in NAMES if kind in numbers)


def anchor(subject: int, section: int = 0) -> str:
    """Return the anchor of a subject, or of a section of it."""
    return f"s{subject}-{section}" if section else f"s{subject}"


def numeric(table: Table) -> list[bool]:
    """Say of each column if it holds numbers, which are right-aligned; the first never does."""
    columns = ([row[place] for row in table.rows] for place in range(1, len(table.columns)))
    return [False] + [
        any(one.value is not None for one in held)
        and all(one.value is not None or one.mark == "gap" or one.text == "–" for one in held)
        for held in columns
    ]


def html_of(page: Page) -> str:
    """Return the whole file."""
    loader = PackageLoader("bntt.studies.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"anchor": anchor, "numeric": numeric, "looks_of": looks_of, "sha256": sha256}
    environment.globals |= {"on_shared_scales": on_shared_scales, "strips_of": strips_of, "VERDICTS": VERDICTS}
    whole = environment.get_template("page.html").render(page=page, pictures=Pictures(), version=__version__)
    return whole.translate(HIDDEN)


def sha256(text: str) -> str:
    """Return a checksum as a page's policy states it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def save_page(page: Page, path: Path) -> None:
    """Write the page whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html_of(page).encode())
