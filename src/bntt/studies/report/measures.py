"""The measurements that a directory holds, and which section of a page tells of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bntt.studies.report.accuracy import evaluations
from bntt.studies.report.activity import activity, neuron
from bntt.studies.report.blocks import Section
from bntt.studies.report.energy import energy
from bntt.studies.report.exits import early_exit, sample_exit
from bntt.studies.report.reading import GapError, Values, clean, read_json
from bntt.studies.report.robustness import attacks, noise
from bntt.studies.report.statistics import drift, equivalence, stability

SECTIONS: dict[str, Callable[[Values], Section]] = {
    "activity": activity,
    "exit-per-sample": sample_exit,
    "exit": early_exit,
    "energy": energy,
    "robust": noise,
    "attack": attacks,
    "drift": drift,
    "equivalence": equivalence,
    "neuron": neuron,
    "stability": stability,
}
"""By what files are called; ``activity-validation.json`` belongs to ``activity``."""
ORDER = ("activity", "exit", "exit-per-sample", "energy", "robust", "attack", "drift", "equivalence", "neuron",
         "stability")  # fmt: skip
EVALUATION = "evaluation"
LONGEST_NAME = 100
MOST_FILES = 200


def measured(folder: Path) -> dict[str, list[Path]]:
    """The files of every measurement of a directory, the usual split's first; those of no known one under ``""``."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem))[:MOST_FILES]:
        found.setdefault(kind_of(path.stem), []).append(path)
    return found


def kind_of(stem: str) -> str:
    """
    >>> kind_of("exit"), kind_of("exit-per-sample-validation"), kind_of("activity-validation"), kind_of("notes")
    ('exit', 'exit-per-sample', 'activity', '')
    """
    return next((kind for kind in (EVALUATION, *SECTIONS) if stem == kind or stem.startswith(f"{kind}-")), "")


def sections_of(folder: Path) -> tuple[Section, ...]:
    """What was measured in a directory; a file that does not say what it should is a gap that says so."""
    found = measured(folder)
    sections = [_evaluations(found[EVALUATION])] if EVALUATION in found else []
    for kind in ORDER:
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
        section = SECTIONS[kind](read_json(path))
    except (GapError, ValueError, OverflowError) as gap:
        section = Section(TITLES[kind], gaps=(str(gap),))
    return replace(section, title=f"{section.title} ({beyond})") if beyond else section


TITLES = {
    "activity": "Spike activity",
    "exit": "Early exit",
    "exit-per-sample": "Early exit, image by image",
    "energy": "Operations and energy",
    "robust": "Robustness to noise",
    "attack": "Attacks",
    "drift": "Drift of statistics",
    "equivalence": "Equivalence of folded networks",
    "neuron": "One neuron over time",
    "stability": "Stability of training",
}
