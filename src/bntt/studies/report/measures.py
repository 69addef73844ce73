"""The measurements that a directory holds, and the section of each: its record says what it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bntt.analysis.measurement import Measurement
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import result_from
from bntt.charts.section import Cell, Section
from bntt.runs.stability.measurement import STABILITY as STABILITY  # registers itself
from bntt.studies.report.reading import GapError, clean, cleaned, read_json

LONGEST_NAME = 100
MOST_FILES = 200


def measured(folder: Path) -> dict[str, list[Path]]:
    """Find the files of every measurement in a directory, the usual split first; those of no known one under ``""``."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem))[:MOST_FILES]:
        found.setdefault(kind_of(path.stem), []).append(path)
    return found


def kind_of(stem: str) -> str:
    """Name the measurement that a file is of; "" of none.

    >>> kind_of("evaluation"), kind_of("exit-per-sample-validation"), kind_of("drift-test"), kind_of("notes")
    ('evaluate', 'exit', 'drift', '')
    """
    return next((name for name, one in MEASUREMENTS.items() if f"{stem}-".startswith(f"{one.file or name}-")), "")


def sections_of(folder: Path) -> tuple[Section, ...]:
    """Make the sections of all that was measured in a directory; a file that cannot be read is a gap."""
    found = measured(folder)
    sections = list[Section]()
    for kind, measurement in MEASUREMENTS.items():
        shown = [_section(measurement, path) for path in found.get(kind, ())]
        sections += [_as_one_table(shown)] if kind == "evaluate" and shown else shown
    if "" in found:
        names = ", ".join(clean(path.name, LONGEST_NAME) for path in found[""])
        sections.append(Section("Other files", words=(f"Not shown, of no measurement that is known: {names}.",)))
    return tuple(sections)


def _section(measurement: Measurement, path: Path) -> Section:
    beyond = path.stem.removeprefix(measurement.file or measurement.name).strip("-")
    for variant in measurement.variants:  # its record has a title of its own
        beyond = beyond.removeprefix(variant).strip("-")
    beyond = clean(beyond, LONGEST_NAME)
    try:
        values = cleaned(read_json(path).held)
        section = result_from(measurement.record_in(path.stem), values).section()
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        odd = clean(str(error), 200) if isinstance(error, ValueError) else "its numbers do not fit together"
        why = str(error) if isinstance(error, GapError) else f"{clean(path.name, LONGEST_NAME)}: {odd}"
        section = Section(measurement.name.capitalize(), gaps=(why,))
    return replace(section, title=f"{section.title} ({beyond.replace('-', ' ')})") if beyond else section


def _as_one_table(sections: list[Section]) -> Section:
    """All evaluations of a run as rows of one table, and the first of them over time."""
    whole = [section for section in sections if section.tables]
    if not whole:
        return replace(sections[0], gaps=tuple(gap for section in sections for gap in section.gaps))
    first = whole[0]
    table, *rest = first.tables
    rows = [
        (Cell(f"{row[0].text}{section.title.removeprefix(first.title)}"), *row[1:])
        for section in whole
        for row in section.tables[0].rows
    ]
    gaps = tuple(gap for section in sections for gap in section.gaps)
    return replace(first, tables=(replace(table, rows=tuple(rows)), *rest), gaps=gaps)
