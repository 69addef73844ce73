"""The page itself: one HTML file with its style, its script and its figures inside, made from frozen blocks.

It allows itself nothing from elsewhere (a content security policy that names the hashes of its own style and script),
escapes all that comes from a file, and is the same bytes for the same results.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bntt.charts import page as chart_page
from bntt.charts.axes import on_shared_scales
from bntt.charts.colours import looks_of, style_rules
from bntt.charts.section import Cell, Table
from bntt.charts.text import table_of
from bntt.io.files import write_whole
from bntt.studies.report.blocks import Page, Subject
from bntt.studies.report.find import is_study
from bntt.studies.report.run import COLUMNS as OF_RUNS
from bntt.studies.report.run import MEASURED, run_subject
from bntt.studies.report.study import COLUMNS as OF_STUDIES
from bntt.studies.report.study import study_subject
from bntt.version import __version__


def page_of(folders: Sequence[Path]) -> Page:
    """Make the page of these runs and studies; of several an index and a comparing table first.

    Raises:
        CheckpointError: if a study's result cannot be read.
    """
    subjects = tuple(study_subject(folder) if is_study(folder) else run_subject(folder) for folder in folders)
    if len(subjects) == 1:
        return Page(subjects[0].title, subjects)
    return Page("Results", subjects, tuple(_overview(subjects)))


def _overview(subjects: Sequence[Subject]) -> list[Table]:
    found = []
    for kind, columns, caption in (
        ("study", OF_STUDIES, "Studies, with their verdicts on claims"),
        ("run", OF_RUNS, "Runs, one start each: test accuracy, with the interval for the images"),
        ("measurements", MEASURED, "Measurements without a training of their own"),
    ):
        rows = tuple(
            (Cell(first.text, link=anchor(number)), *rest)
            for number, subject in enumerate(subjects, 1)
            if subject.kind == kind
            for first, *rest in [subject.compared]
        )
        if rows:
            note = "The paper's values stand beside those of studies." if kind == "run" else ""
            found.append(Table(caption, columns, rows, note))
    return found


NAMES = {"study": ("study", "studies"), "run": ("run", "runs"), "measurements": ("other", "others")}


def counted(page: Page) -> str:
    """Count the subjects of each kind, in words."""
    kinds = [subject.kind for subject in page.subjects]
    numbers = {kind: kinds.count(kind) for kind in kinds}
    return " and ".join(f"{numbers[kind]:,} {NAMES[kind][numbers[kind] > 1]}" for kind in NAMES if kind in numbers)


def anchor(subject: int, section: int = 0) -> str:
    """The place of a subject, or of a section of it."""
    return f"s{subject}-{section}" if section else f"s{subject}"


def numeric(table: Table, column: int) -> bool:
    """Say whether a column holds numbers, which stand flush right."""
    held = [row[column] for row in table.rows if column < len(row)]
    return any(one.value is not None for one in held) and all(
        one.value is not None or one.mark == "gap" or one.text == "–" for one in held
    )


def html_of(page: Page) -> str:
    """The whole file."""
    environment = Environment(
        loader=PackageLoader("bntt.studies.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = {"style": f"{_part('page.css')}\n{style_rules()}", "script": _part("page.js")}
    environment.globals |= {"anchor": anchor, "numeric": numeric, "table_of": table_of, "looks_of": looks_of}
    environment.globals |= {"draw": chart_page.draw, "legend_of": chart_page.legend_of}
    environment.globals |= {"on_shared_scales": on_shared_scales}
    hashes = {f"{name}_hash": _hash(text) for name, text in parts.items()}
    template = environment.get_template("page.html")
    return template.render(page=page, version=__version__, **parts, **hashes)


def _part(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def save_page(page: Page, path: Path) -> None:
    """Write it whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html_of(page).encode())
