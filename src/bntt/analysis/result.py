"""Results of measurements: frozen, validated records, whose JSON is the file and the only schema.

A record has its display (words, tables, charts), its rows for CSV, and the numbers that studies request. It is made by
the computation or read from a file, and the two are indistinguishable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from statistics import mean
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bntt.analysis.measurement import ArgumentError
from bntt.charts.records import Figure
from bntt.charts.section import Section

BEYOND = 1e100
"""Upper bound of every number of a result; JSON's infinities and larger values are read as None."""


def finite(value: Any) -> Any:
    """Return a number, or None for one that is not finite or implausibly large.

    >>> finite(float("nan")), finite(0.5)
    (None, 0.5)
    """
    if isinstance(value, float) and not (math.isfinite(value) and abs(value) < BEYOND):
        return None
    return value


Number = Annotated[float | None, BeforeValidator(finite)]
"""A number, or None if there is none."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**18)]
OverSteps = Sequence[Number]
"""A value for each time step."""


def mean_of(values: Iterable[Number]) -> Number:
    """Return the mean of the values that are not None; None if all are."""
    return mean(found) if (found := [value for value in values if value is not None]) else None


class Record(BaseModel):
    """A part of a result: frozen; unknown keys, from other versions, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=False)


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Metric:
    """One number of a result that studies put into tables and claims.

    >>> Metric("share", "%", lambda result, at: result.share).placed
    False
    """

    title: str
    """Heading of its column."""
    unit: str
    """Unit of the number, "%" for shares; "" for none."""
    read: Callable[[Any, float | None], float | None]
    """Function from the result and the requested place to the number; None if it has none."""
    placed: bool = False
    """True if it is read at a place, which must then be given."""
    digits: int = 1
    """Number of digits shown after the decimal point."""


class Result(Record):
    """The part common to all results: what a measurement returns and writes as JSON.

    >>> class Share(Result):
    ...     share: float
    >>> Share(dataset="digits", split="test", share=0.5).title
    'digits, test'
    """

    METRICS: ClassVar[Mapping[str, Metric]] = {}
    """Numbers that studies request by name; any other number is requested by its path, ``layers.conv1.peak_step``."""

    dataset: str
    """Name of the data."""
    split: str
    """Split that was measured: "test" or "validation"; for an evaluation also "train"."""
    epoch: int | None = None
    """Epoch of the weights, from 0."""

    @property
    def title(self) -> str:
        """Subject of its picture: data and samples."""
        return f"{self.dataset}, {self.split}"

    def section(self) -> Section:
        """Build the words, tables and charts that the terminal prints and the page shows."""
        raise NotImplementedError  # each has its own

    @property
    def invalid(self) -> str:
        """Reason why its numbers are worthless; "" if they are sound."""
        return ""

    def rows(self) -> list[dict[str, object]]:
        """Build rows with the same keys, for CSV: each value is a number, word or boolean, never a list."""
        raise NotImplementedError  # each has its own

    def figures(self) -> list[Figure]:
        """Draw the pictures saved with the file: by default one with all charts of the section."""
        charts = self.section().charts
        return [Figure(self.title, charts)] if charts else []

    def attachments(self) -> dict[str, bytes]:
        """Return files to save with the JSON: contents by the suffix of the name, ``{"places.npz": ...}``."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


def result_from(kind: type[R], values: Any) -> R:
    """Read a record from JSON values.

    Raises:
        ValueError: if they are not valid, in one line that names the place.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    except ArgumentError as error:
        raise ValueError(f"arguments: {error}") from None


def at_path(values: Any, path: str) -> float | None:
    """Return the number at a path of keys and list indices in a result's JSON; None if there is none.

    >>> at_path({"layers": {"conv1": {"rates": [0.1, 0.2]}}}, "layers.conv1.rates.1")
    0.2
    """
    for key in path.split("."):
        try:
            values = values[int(key)] if isinstance(values, list) else values[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return float(values) if isinstance(values, int | float) and not isinstance(values, bool) else None


def first_fault(error: ValidationError) -> str:
    """Describe the first error, with its place."""
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


_adapter_of = cache(TypeAdapter)
"""Cached adapter of each type: pydantic evaluates the text of annotations to make one."""


def checked_arguments(kind: type, values: Mapping[str, Any]) -> Any:
    """Check a frozen dataclass of arguments by its fields' types and bounds, and by its ``__post_init__``.

    Raises:
        ArgumentError: naming the flag, its bounds and the given value.
    """
    known = [one.name for one in fields(kind)]
    if unknown := sorted(values.keys() - set(known)):
        near = "".join(f": did you mean --{name}?" for name in get_close_matches(unknown[0], known, n=1))
        raise ArgumentError(f"there is no --{unknown[0]}{near}".replace("_", "-"))
    try:
        return _adapter_of(kind).validate_python(dict(values))
    except ValidationError as error:
        raise ArgumentError(_refusal(error)) from None


BOUNDS = {
    "greater_than": ("gt", "above {:g}"),
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than_equal": ("le", "{:g} or less"),
}


def _refusal(error: ValidationError) -> str:
    fault = error.errors()[0]
    flag = "--" + str(fault["loc"][0]).replace("_", "-") if fault["loc"] else "the arguments"
    if fault["type"] in BOUNDS:
        key, bound = BOUNDS[fault["type"]]
        return f"{flag} must be {bound.format(fault['ctx'][key])}, got {fault['input']}"
    return f"{flag}: {fault['msg'].lower()}, got {fault['input']!r}"
