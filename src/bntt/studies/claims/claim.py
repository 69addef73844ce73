"""A claim of a study: a statement, and the rule, written down before its runs are made, that decides it.

Every rule looks at the numbers of starts and has four answers. "holds" and "does not hold" need at least two starts,
"not decided" means that the numbers leave the claim open, "not run" that there are none. With fewer than five starts an
answer is shown but not tested, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import floor, isclose, log10, sqrt
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, stdtr, stdtrit
from scipy.stats import chi

from bntt.analysis.accuracy.accuracy import FEW, Summary
from bntt.analysis.result import Count, Record
from bntt.runs.recipe.file import TomlTable

LEVEL = 0.05
"""Level of all tests."""
POWER = 0.8
"""Share of studies in which the difference is found."""


def smallest_difference(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test finds in four of five studies."""
    return _errors(starts, 1 - level / 2, 1) * error / sqrt(starts)


def smallest_margin(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the margin within which two one-sided tests find two equal runs equivalent in four of five studies."""
    return _errors(starts, 1 - level, 2) * error / sqrt(starts)


@cache
def _errors(starts: int, share: float, sides: int) -> float:
    """Return the difference, in standard errors, that :data:`POWER` of studies would decide."""
    degrees = starts - 1
    quantile = stdtrit(degrees, share)

    def lacks(errors: float) -> float:
        if sides == 1:
            return POWER - 1 + float(nctdtr(degrees, errors, quantile))
        inside = errors / quantile * sqrt(degrees)  # beyond it, both tests cannot be decided
        found = quad(lambda s: chi.pdf(s, degrees) * (2 * ndtr(errors - quantile * s / sqrt(degrees)) - 1), 0, inside)
        return POWER - float(found[0])

    return float(brentq(lacks, 0.0, 1000.0))


def above(mean: float, error: float | None, starts: int, bound: float = 0.0) -> float:
    """Return the one-sided probability of a mean at least so far above a bound if the bound were true."""
    if not error:
        return 0.0 if mean > bound else 1.0
    return 1 - float(stdtr(starts - 1, (mean - bound) * sqrt(starts) / error))


def holm(values: Sequence[float]) -> list[bool]:
    """Say which of several tests are decided together (Holm 1979)."""
    decided, open_ = [False] * len(values), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        open_ = open_ and values[place] <= LEVEL / (len(values) - rank)
        decided[place] = open_
    return decided


Answer = Literal["holds", "does not hold", "not decided", "not run"]
Numbers = Mapping[tuple[str, str], Mapping[int, float]]
"""Number of every start, by seed, for each run and column."""
Same = Mapping[str, str]
"""Run that each duplicate run equals by definition: :func:`~bntt.studies.start_plan.same_runs`."""
NONE_SAME: Same = MappingProxyType({})


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


class EffectRecord(Record):
    """One number behind a verdict, as a forest plot shows it: mean, interval, and the values that decide."""

    name: str
    """Runs that it is of."""
    of: str
    """Title of its column, with the unit."""
    mean: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    starts: Count
    bounds: tuple[FiniteFloat, ...]
    """Values that decide: 0 for a difference, one bound of a mean, both margins of an equivalence."""


@dataclass(frozen=True)
class Verdict:
    """Answer of a rule."""

    answer: Answer
    because: str
    starts: int = 0
    """Fewest starts of a comparison."""
    p: float | None = None
    """Probability of evidence at least so strong if the opposite were true; None if the rule is no test of means."""
    effects: tuple[EffectRecord, ...] = ()
    """Numbers that decide."""


class Claim(TomlTable):
    """``[[claims]]``: a statement, and the rule that decides it."""

    says: Annotated[str, Field(min_length=1)]
    quotation: str = ""
    """The paper's words, as they were seen, or in brackets a paraphrase; "" for a question of our own."""
    source: str = ""
    """Where the words are or, for our own question, what it asks after; "" if nothing."""
    paper: str = ""
    """The paper's number, as text; "" if none was seen."""
    rule: str
    scatter: ClassVar[float] = 1.0
    """Standard deviation of what is tested, over that of one start."""
    fewest: ClassVar[int] = 2
    """Fewest starts that the rule decides from."""

    def uses(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns that the rule reads."""
        raise NotImplementedError  # each rule says its own

    def decided_by(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns without which there is no answer."""
        return self.uses()

    def compared(self) -> list[list[str]]:
        """Return the groups of runs that are compared start by start, with the same seed."""
        return [self.uses()[0]]

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        """Return the answer that these numbers give."""
        raise NotImplementedError  # each rule says its own

    def in_words(self, names: Names = KEYS) -> str:
        """Describe the rule in a sentence."""
        raise NotImplementedError  # each rule says its own

    def finds(self, error: float, starts: int, level: float) -> float:
        """Return the smallest difference that ``starts`` starts of standard deviation ``error`` decide."""
        return smallest_difference(error, starts, level)

    def decides(self, spreads: Mapping[str, float], starts: int, level: float) -> dict[str, float]:
        """Return the smallest difference of each column that ``starts`` starts decide."""
        known = [column for column in self.decided_by()[1] if column in spreads and starts >= self.fewest]
        return {column: self.finds(self.scatter * spreads[column], starts, level) for column in known}


def with_starts(said: str, starts: int) -> str:
    """Append the number of starts behind a finding."""
    if not starts:
        return said
    few = f" (shown, not tested: fewer than {FEW})" if starts < FEW else ""
    return f"{said}; {starts} start{'s' * (starts > 1)}{few}"


def all_agree(values: Sequence[float]) -> bool:
    """Return True if a few starts, but more than one, have the same value, as whole numbers often do.

    >>> all_agree([20.0, 20.0]), all_agree([20.0, 21.0]), all_agree([20.0] * 5)
    (True, False, False)
    """
    return 1 < len(values) < FEW and same_but_for_rounding(values)


def same_but_for_rounding(values: Sequence[float]) -> bool:
    """Return True if numbers are all the same, or differ only in their last digits.

    >>> same_but_for_rounding([0.1 + 0.2, 0.3]), same_but_for_rounding([0.3, 0.31])
    (True, False)
    """
    return isclose(min(values), max(values), rel_tol=1e-9, abs_tol=1e-12)


def could_see(found: Summary, unit: str) -> str:
    """Name the difference that starts with this scatter could have shown."""
    if not found.sd or same_but_for_rounding(found.values):
        return ""
    least = float(f"{smallest_difference(found.sd, found.n):.2g}")
    return f"; a difference of {least:,g}{in_points(unit)} could have been seen"


def in_points(unit: str) -> str:
    """Return the unit of a difference, behind a number: shares differ by points.

    >>> in_points("%"), in_points("µJ"), in_points("")
    (' points', ' µJ', '')
    """
    return f" {'points' if unit == '%' else unit}" * bool(unit)


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
