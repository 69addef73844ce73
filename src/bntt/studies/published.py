"""The paper's numbers, as data: those that were seen in a source, with the source. What was not seen is not there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from bntt.runs.recipe.toml_part import Part, checked

NOT_AVAILABLE: Mapping[str, Any] = {"missing": "not available"}


class Number(Part):
    """``[STUDY.RUN.COLUMN]`` of ``published.toml``."""

    value: float
    """In the unit of the column."""
    source: Annotated[str, Field(min_length=1)]
    """Where it was seen."""


@cache
def published() -> Mapping[tuple[str, str, str], Number]:
    """Every number by study, run and column.

    >>> published()["table-1", "cifar10-bntt", "accuracy"].value
    90.5
    """
    text = files("bntt.studies").joinpath("published.toml").read_text(encoding="utf-8")
    return {
        (study, run, column): checked(Number, number, f"{study}.{run}.{column}")
        for study, runs in tomllib.loads(text).items()
        for run, columns in runs.items()
        for column, number in columns.items()
    }


def paper_cell(study: str, run: str, column: str) -> dict[str, Any]:
    """What stands in the paper's cell: its number with the source, or that none is available."""
    found = published().get((study, run, column))
    return dict(NOT_AVAILABLE) if found is None else {"value": found.value, "source": found.source}
