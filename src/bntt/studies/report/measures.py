"""The measurements that a directory holds, and the section of each: its record says what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import result_from
from bntt.charts.section import Section
from bntt.studies.report.accuracy import evaluations
from bntt.studies.report.reading import GapError, Values, clean, cleaned, read_json
from bntt.studies.report.robustness import attacks
from bntt.studies.report.statistics import stability

SECTIONS: dict[str, Callable[[Values], Section]] = {
    "attack": attacks,
    "stability": stability,
}
EVALUATION = "evaluation"
LONGEST_NAME = 100
MOST_FILES = 200


def kinds() -> tuple[str, ...]:
    """What files are called, in the order of their sections."""
    return tuple(dict.fromkeys((*MEASUREMENTS, *SECTIONS)))


def measured(folder: Path) -> dict[str, list[Path]]:
    """The files of every measurement of a directory, the usual split's first; those of no known one under ``""``."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem))[:MOST_FILES]:
        found.setdefault(kind_of(path.stem), []).append(path)
    return found


def kind_of(stem: str) -> str:
    """The measurement that a file is of; "" of none.

    >>> kind_of("exit"), kind_of("exit-per-sample-validation"), kind_of("drift-test"), kind_of("notes")
    ('exit', 'exit', 'drift', '')
    """
    return next((kind for kind in (EVALUATION, *kinds()) if stem == kind or stem.startswith(f"{kind}-")), "")


def sections_of(folder: Path) -> tuple[Section, ...]:
    """What was measured in a directory; a file that does not say what it should is a gap that says so."""
    found = measured(folder)
    sections = [_evaluations(found[EVALUATION])] if EVALUATION in found else []
    for kind in kinds():
        sections += [_section(kind, path) for path in found.get(kind, ())]
    if "" in found:
        names = ", ".join(clean(path.name, LONGEST_NAME) for path in found[""])
        sections.append(Section("Other files", words=(f"Not shown, of no measurement that is known: {names}.",)))
    return tuple(sections)


def _evaluations(paths: list[Path]) -> Section:
    held, gaps = dict[str, Values](), []
    for path in paths:
        try:
            values = read_json(path)
            values.number("accuracy")
            held[clean(path.stem, LONGEST_NAME)] = values
        except GapError as gap:
            gaps.append(str(gap))
    try:
        section = evaluations(held) if held else Section("Accuracy")
    except GapError as gap:
        section = Section("Accuracy", gaps=(str(gap),))
    return replace(section, gaps=(*section.gaps, *gaps))


def _section(kind: str, path: Path) -> Section:
    beyond = clean(path.stem.removeprefix(kind).strip("-"), LONGEST_NAME).replace("-", " ")
    try:
        values = read_json(path)
        section = SECTIONS[kind](values) if kind in SECTIONS else _recorded(kind, path.stem, values)
    except (ValueError, OverflowError) as gap:
        section = Section(kind.capitalize(), gaps=(str(gap),))
    return replace(section, title=f"{section.title} ({beyond})") if beyond else section


def _recorded(kind: str, stem: str, values: Values) -> Section:
    """The section that a measurement's own record shows.

    Raises:
        GapError: if the file holds no such record.
    """
    try:
        return result_from(MEASUREMENTS[kind].result_in(stem), cleaned(values.held)).section()
    except ValueError as error:
        raise GapError(f"{clean(stem, LONGEST_NAME)}.json: {clean(str(error), 200)}") from None
