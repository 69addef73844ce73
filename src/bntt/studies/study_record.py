"""The content of ``result.json`` as records: ``bntt study`` writes it by them, and ``bntt report`` reads it by them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, FiniteFloat

from bntt.analysis.result import Count, Number, Record
from bntt.charts.records import Bars, Forest, HeatMap, Histogram, Lines
from bntt.studies.claims import ClaimRecord


class StartRecord(Record):
    """One start of a run."""

    seed: int
    state: Literal["done", "failed", "not run"]
    why: str = ""
    directory: str | None = None
    digest: str = ""
    data: dict[str, str] | None = None
    """Checksums of the parts of the data."""
    commit: str | None = None
    device: str | None = None
    threads: int | None = None
    precision: str | None = None
    seconds: Number = None
    numerics: int | None = None
    measures: dict[str, Any] = Field(default={})


class RunRecord(Record):
    """One run of a study: its recipe, and its starts."""

    name: str
    label: str
    recipe: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    starts: tuple[StartRecord, ...]


class ColumnRecord(Record):
    """One column of the table."""

    key: str
    title: str
    unit: str

    @property
    def head(self) -> str:
        """Title, and the unit if the title does not name it."""
        return f"{self.title} ({self.unit})" if self.unit and self.unit not in self.title else self.title


class CellRecord(Record):
    """Our number: mean, standard deviation and 95 % interval over starts, in the unit of its column."""

    mean: FiniteFloat
    sd: Number
    n: Count
    values: tuple[float, ...]
    low_95: Number
    high_95: Number
    text: str


class PaperRecord(Record):
    """The paper's number and its source, or why there is none."""

    value: Number = None
    source: str = ""
    missing: str = ""


class RowRecord(Record):
    """One run in the table."""

    run: str
    label: str
    made_on: tuple[str, ...] = ()
    cells: dict[str, CellRecord | None]
    paper: dict[str, PaperRecord] = Field(default={})


class TableRecord(Record):
    """The numbers of a study."""

    columns: tuple[ColumnRecord, ...]
    rows: tuple[RowRecord, ...]


class FigureRecord(Record):
    """A picture of a study: its file, and the charts in it."""

    file: str
    title: str
    alt: str
    charts: tuple[Lines | Bars | Forest | HeatMap | Histogram, ...] = ()


class StudyRecord(Record):
    """A study at a setting, with all its results."""

    study: str
    title: str
    about: str
    setting: str
    setting_about: str = ""
    bntt: str
    numerics: int
    written: str
    commit: str | None = None
    device: str
    runs: tuple[RunRecord, ...]
    table: TableRecord
    figures: tuple[FigureRecord, ...] = ()
    claims: tuple[ClaimRecord, ...]
