"""The blocks of a page: frozen texts, numbers, tables and figures, independent of HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bntt.charts import section
from bntt.charts.section import Cell, Table
from bntt.studies.report.claims import Claim
from bntt.studies.report.story import Story


@dataclass(frozen=True)
class Picture:
    """External vector graphic, as a ``data:`` address; ``alt`` describes it."""

    title: str
    address: str
    alt: str


@dataclass(frozen=True)
class Section(section.Section):
    """Section of results with the parts that only a page has."""

    pictures: tuple[Picture, ...] = ()
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Subject:
    """Run, study, or measurements without a training of their own."""

    title: str
    kind: Literal["run", "study", "measurements"]
    lead: str = ""
    """Sentence or two that describe it."""
    facts: tuple[tuple[str, str], ...] = ()
    sections: tuple[section.Section, ...] = ()
    compared: tuple[Cell, ...] = ()
    """Row in the table that compares several of its kind."""
    gaps: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return the claims of all its sections."""
        return tuple(claim for one in self.sections if isinstance(one, Section) for claim in one.claims)


@dataclass(frozen=True)
class Page:
    """Page of one subject, or of several with an index."""

    title: str
    subjects: tuple[Subject, ...]
    overview: tuple[Table, ...] = ()
    """Tables of a page of several subjects: one of the runs, one of measurements."""
    story: Story | None = None
    """Claims of the studies of a page; None if it has none."""
