"""The paper's numbers as data, each with the source in which it was seen. Numbers that were not seen are left out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from bntt.runs.recipe.toml_table import TomlTable, validate_table

NOT_AVAILABLE: Mapping[str, Any] = {"missing": "not available"}


class Number(TomlTable):
    """``[STUDY.RUN.COLUMN]`` of ``published.toml``."""

    value: float
    """Value in the unit of the column."""
    source: Annotated[str, Field(min_length=1)]
    """Source in which it was seen."""


@cache
def published() -> Mapping[tuple[str, str, str], Number]:
    """Return every number by study, run and column."""
    text = files("bntt.studies").joinpath("published.toml").read_text(encoding="utf-8")
    return {
        (study, run, column): validate_table(Number, number, f"{study}.{run}.{column}")
        for study, runs in tomllib.loads(text).items()
        for run, columns in runs.items()
        for column, number in columns.items()
    }


def paper_cell(study: str, run: str, column: str) -> dict[str, Any]:
    """Make the paper's cell: its number with the source, or a note that none is available."""
    found = published().get((study, run, column))
    return dict(NOT_AVAILABLE) if found is None else {"value": found.value, "source": found.source}
