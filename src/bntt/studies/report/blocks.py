"""The blocks of a page: frozen words, numbers, tables and figures, which know no HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bntt.charts import section
from bntt.charts.section import Cell, Mark, Table


@dataclass(frozen=True)
class Picture:
    """A vector graphic of somebody's, as a ``data:`` address; what it shows is in ``alt``."""

    title: str
    address: str
    alt: str


@dataclass(frozen=True)
class Claim:
    """A claim of a source, and the verdict on it: a word, a sign, and why."""

    says: str
    source: str
    verdict: str
    sign: str
    mark: Mark
    because: str
    rule: str


@dataclass(frozen=True)
class Section(section.Section):
    """A section of results with what only a page has."""

    pictures: tuple[Picture, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A run, a study, or measurements without a training of their own."""

    title: str
    kind: Literal["run", "study", "measurements"]
    lead: str = ""
    """A sentence or two on what it is."""
    facts: tuple[tuple[str, str], ...] = ()
    sections: tuple[section.Section, ...] = ()
    compared: tuple[Cell, ...] = ()
    """Its row in the table of several of its kind."""
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of one subject, or of several with an index."""

    title: str
    subjects: tuple[Subject, ...]
    overview: tuple[Table, ...] = field(default=())
    """Of several: a table of the runs, one of the studies."""
