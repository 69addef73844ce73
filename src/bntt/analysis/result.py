"""Results of measurements: frozen, validated records, whose JSON is the file and the only schema.

A record has its display (words, tables, charts), its rows for CSV, and the numbers that studies request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from inspect import getattr_static, isfunction
from operator import attrgetter
from statistics import mean
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bntt.charts.records import Figure
from bntt.charts.section import Cell, Section, Table, count, number


class ArgumentError(RuntimeError):  # not a ValueError: tyro and pydantic would replace it
    """A request that a measurement cannot fulfil; the message names the flag and the remedy."""


BEYOND = 1e100
"""Upper bound of every number of a result; JSON's infinities and larger values are read as None."""


def finite(value: Any) -> Any:
    """Return a number, or None for one that is not finite or implausibly large."""
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

    model_config = ConfigDict(frozen=True, extra="ignore")

    def flat(self) -> dict[str, object]:
        """Return its single values by name, for a row of CSV."""
        values = self.model_dump().items()
        return {name: value for name, value in values if not isinstance(value, dict | list | tuple)}


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Shown:
    """How a number is shown, said where it is declared: by a field, or by what a property or a method returns.

    Tables take heading and format from it, studies title, unit and digits. A method's number is read at a place.

    >>> class Part(Record):
    ...     name: str
    ...     share: Annotated[float, Shown("share of all", form=".0%")]
    >>> table("Parts", [Part(name="a", share=0.5)], "name", "share").rows[0][1].text
    '50%'
    """

    title: str = ""
    """Heading of its column; "" is its name."""
    unit: str = ""
    """Unit; that of a percentage is "%" without it."""
    form: str = "#.3g"
    """Python's format; "," rounds a count."""
    metric: str = ""
    """Name by which studies ask for it; "" if they do not."""
    digits: int = 1
    """Digits after the point in studies."""

    def cell(self, value: Any) -> Cell:
        """Write a value: a number by the format, an interval with "to", the mean of a list; a text or cell as it is."""
        value = mean_of(value) if isinstance(value, list) else value
        if isinstance(value, Cell):
            return value
        if value is None or isinstance(value, str):
            return Cell(value or "–")
        if isinstance(value, tuple):
            low, high = (self.cell(end) for end in value)
            return low if low.text == "–" else Cell(f"{low.text} to {high.text}", value[0])
        return count(value) if isinstance(value, int) or self.form == "," else number(value, self.form)

    def to_metric(self, name: str, *arguments: Any, placed: bool = False) -> Metric:
        """Return it as studies read it from the result: an attribute's value, or what a method returns for these."""
        times = 100 if self.form.endswith("%") else 1

        def read(result: Any, at: float | None) -> float | None:
            held: Any = attrgetter(name)(result)
            value: float | None = held(*((at,) if placed else arguments)) if callable(held) else held
            return value if value is None or times == 1 else times * value

        return Metric(self.title, self.unit or "%" * (times == 100), read, placed, self.digits)


@cache
def shown_in(kind: type[BaseModel]) -> dict[str, Shown]:
    """Return what a record's fields, properties and methods say of themselves, by name."""
    said = {name: field.metadata for name, field in kind.model_fields.items()}
    for name in dir(kind):
        held = getattr_static(kind, name)
        made = held.fget if isinstance(held, property) else held
        if isfunction(made) and "Shown(" in str(made.__annotations__.get("return", "")):
            said[name] = [*get_args(get_type_hints(made, include_extras=True)["return"])]
    counts = (name for name, field in kind.model_fields.items() if field.annotation is int)
    found = dict.fromkeys(kind.model_fields, Shown()) | dict.fromkeys(counts, Shown(form=","))
    return found | {name: one for name, parts in said.items() for one in parts if isinstance(one, Shown)}


def table(
    caption: str, rows: Sequence[Record] | Mapping[str, Record], *columns: str, first: str = "", note: str = ""
) -> Table:
    """Make a table of records, a column for each named field or property; their names are a column headed ``first``."""
    named = rows if isinstance(rows, Mapping) else dict(enumerate(rows))
    shown = shown_in(type(next(iter(named.values())))) if named else {}
    heads = [shown[one].title or one.replace("_", " ") if one in shown else one for one in columns]
    body = [
        (*([Cell(str(name))] if first else ()), *(shown[one].cell(getattr(row, one)) for one in columns))
        for name, row in named.items()
    ]
    return Table(caption, (*([first] if first else ()), *heads), tuple(body), note)


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

    >>> class Measured(Result):
    ...     share: Annotated[float, Shown("share of all", form=".1%", metric="share")]
    >>> found = Measured(dataset="digits", split="test", share=0.5)
    >>> found.title, found.metrics()["share"].read(found, None)
    ('digits, test', 50.0)
    """

    computed: ClassVar[Sequence[tuple[Any, ...]]] = ()
    """Further numbers: of each a :class:`Shown`, and the attribute, or the method and its arguments, that gives it."""
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

    @classmethod
    def metrics(cls) -> Mapping[str, Metric]:
        """Return the numbers that studies request by name; any other one has a path, ``layers.conv1.peak_step``."""
        said = {name: one for name, one in shown_in(cls).items() if one.metric}
        return {
            one.metric: one.to_metric(name, placed=isfunction(getattr_static(cls, name, None)))
            for name, one in said.items()
        } | {one.metric: one.to_metric(*read) for one, *read in cls.computed}

    @property
    def invalid(self) -> str:
        """Reason why its numbers are worthless; "" if they are sound."""
        return ""

    def rows(self) -> list[dict[str, object]]:
        """Build rows with the same keys, for CSV: each value is a number, word or boolean, never a list."""
        return [self.flat()]

    def figures(self) -> list[Figure]:
        """Draw the pictures saved with the file: by default one with all charts of the section."""
        charts = self.section().charts
        return [Figure(self.title, charts)] if charts else []

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


def result_from(kind: type[R], values: Any) -> R:
    """Read a record from JSON values; a ValueError names the place of the first fault in one line."""
    try:
        return kind.model_validate(values)
    except (ValidationError, ArgumentError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else f"arguments: {error}"
        raise ValueError(fault) from None


def at_path(values: Any, path: str) -> float | None:
    """Return the number at a path of keys and list indices in a result's JSON, ``layers.conv1.rates.1``, or None."""
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


_adapter_of = cache(TypeAdapter)  # pydantic evaluates the text of annotations to make one


def checked_arguments(kind: type, values: Mapping[str, Any]) -> Any:
    """Make a frozen dataclass of arguments, checked by its fields' types and bounds, and by its ``__post_init__``.

    A pair in its ``RETIRED`` was an argument with this one value, which older files state: it is ignored.
    """
    known, retired = [one.name for one in fields(kind)], getattr(kind, "RETIRED", ())
    values = {name: value for name, value in values.items() if (name, value) not in retired}
    if unknown := sorted(values.keys() - set(known)):
        near = "".join(f": did you mean --{name}?" for name in get_close_matches(unknown[0], known, n=1))
        raise ArgumentError(f"there is no --{unknown[0]}{near}".replace("_", "-"))
    try:
        return _adapter_of(kind).validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
    flag = "--" + str(fault["loc"][0]).replace("_", "-") if fault["loc"] else "the arguments"
    limits = {key: limit for key, limit in fault.get("ctx", {}).items() if key in BOUNDS}
    said = [f"{flag} must be {BOUNDS[key].format(limit)}" for key, limit in limits.items()]
    raise ArgumentError(f"{said[0] if said else f'{flag}: ' + fault['msg'].lower()}, got {fault['input']!r}")


BOUNDS = {"gt": "above {:g}", "lt": "below {:g}", "ge": "{:g} or more", "le": "{:g} or less"}
