"""A claim of a study: a statement, and the rule, written down before its runs are made, that decides it.

Every rule looks at the numbers of starts and has four answers. "holds" and "does not hold" need at least two starts,
"not decided" means that the numbers leave the claim open, "not run" that there are none. With fewer than five starts an
answer is shown but not tested, and says so. Rules that compare runs are in
:mod:`bntt.studies.claims.pairs`, those about one run in :mod:`bntt.studies.claims.means`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW, Summary
from bntt.runs.recipe.toml_table import TomlTable
from bntt.studies.claims.power import smallest_difference
from bntt.studies.claims.words import KEYS, Effect, Names

Answer = Literal["holds", "does not hold", "not decided", "not run"]
Numbers = Mapping[tuple[str, str], Mapping[int, float]]
"""Number of every start, by seed, for each run and column."""
Same = Mapping[str, str]
"""Run that each duplicate run equals by definition: :func:`~bntt.studies.start_plan.same_runs`."""
NONE_SAME: Same = MappingProxyType({})


@dataclass(frozen=True)
class Verdict:
    """Answer of a rule."""

    answer: Answer
    because: str
    starts: int = 0
    """Fewest starts of a comparison."""
    p: float | None = None
    """Probability of evidence at least so strong if the opposite were true; None if the rule is no test of means."""
    effects: tuple[Effect, ...] = ()
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
