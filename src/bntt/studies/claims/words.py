"""Words of verdicts: runs and columns by the names that readers see, numbers without exponents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log10


@dataclass(frozen=True)
class Names:
    """Labels of runs and titles of columns; one without any is called by its key."""

    runs: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def run(self, name: str) -> str:
        """Return the label of a run."""
        return self.runs.get(name, name)

    def all_runs(self, names: list[str], between: str = " and ") -> str:
        """Join the labels of several runs."""
        return between.join(map(self.run, names))

    def pair(self, run: str, other: str) -> str:
        """Name a difference of two runs; a group that both labels begin with is named once, at the end."""
        (group, colon, one), (of, _, two) = (self.run(name).partition(": ") for name in (run, other))
        return f"{one} − {two} ({group})" if colon and group == of else f"{self.run(run)} − {self.run(other)}"

    def column(self, key: str) -> str:
        """Return the title of a column."""
        return self.columns.get(key, key)


KEYS = Names()
"""Everything by its key."""


@dataclass(frozen=True)
class Effect:
    """One number behind a verdict, as a forest plot shows it: mean, interval, and the bound that decides it."""

    name: str
    """Runs that it is of."""
    of: str
    """Title of its column, with the unit."""
    mean: float
    low: float | None
    high: float | None
    starts: int
    bounds: tuple[float, ...]
    """Values that decide: 0 for a difference, one bound of a mean, both margins of an equivalence."""


def three_digits(value: float, *, signed: bool = False) -> str:
    """Format a number with three digits, without an exponent.

    >>> three_digits(-15234.0), three_digits(0.00556), three_digits(4.1415, signed=True), three_digits(99.96)
    ('-15,200', '0.00556', '+4.14', '100')
    """
    sign = "+" if signed else ""
    if not value:
        return f"{0:{sign}}"
    places = 2 - floor(log10(abs(float(f"{value:.2e}"))))
    if places <= 0:
        return f"{round(value, places):{sign},.0f}"
    text = f"{value:{sign}.{places}f}"
    return text.rstrip("0").rstrip(".")


def with_interval(mean: float, interval: tuple[float, float] | None, unit: str = "", *, signed: bool = False) -> str:
    """Format a number with its unit (and the space before it), and its interval if there is one.

    >>> with_interval(4.1, (3.0, 5.25), " points", signed=True), with_interval(2.0, None)
    ('+4.1 points (+3 to +5.25)', '2')
    """
    ends = "" if interval is None else " ({} to {})".format(*(three_digits(end, signed=signed) for end in interval))
    return f"{three_digits(mean, signed=signed)}{unit}{ends}"
