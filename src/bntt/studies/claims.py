"""A claim of a study: a statement, and the rule, written down before its runs are made, that decides it.

Every rule looks at numbers of starts and knows four answers. "holds" and "does not hold" ask for at least two starts,
"not decided" is what the numbers leave open, "not run" that there are none. With fewer than five starts all of it is
preliminary, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW, Difference, paired_difference
from bntt.runs.recipe.toml_table import TomlTable

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


class Claim(TomlTable):
    """``[[claims]]``: a statement, and the rule that decides it."""

    says: Annotated[str, Field(min_length=1)]
    source: str = ""
    """Place in the paper that makes the claim; "" if there is none."""
    rule: str

    def uses(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns that the rule reads."""
        raise NotImplementedError  # each rule says its own

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME) -> Verdict:
        """Return the answer that these numbers give."""
        raise NotImplementedError  # each rule says its own

    def in_words(self) -> str:
        """Describe the rule in a sentence."""
        raise NotImplementedError  # each rule says its own


def with_starts(said: str, starts: int) -> str:
    """Append the number of starts behind a finding.

    >>> with_starts("as much", 3)
    'as much; 3 starts (preliminary: fewer than 5)'
    """
    if not starts:
        return said
    preliminary = f" (preliminary: fewer than {FEW})" if starts < FEW else ""
    return f"{said}; {starts} start{'s' * (starts > 1)}{preliminary}"


SUPERIOR = 0.75
"""P(A > B) required for "better" (Bouthillier et al. 2021)."""
ALIKE = f"not decided where fewer than {FEW} starts all differ by the same"


class _Pairs(Claim):
    """Pairwise comparison of runs, over the starts whose seed they share."""

    of: str
    """Column that is compared."""

    @property
    def side(self) -> Literal["above", "below"]:
        """Side of the other run on which the claim places the first."""
        return "above"

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of runs, the one claimed to be ahead first."""
        raise NotImplementedError  # each rule says its own

    def uses(self) -> tuple[list[str], list[str]]:
        return list(dict.fromkeys(run for pair in self.pairs() for run in pair)), [self.of]

    def judge_pair(self, found: Difference) -> Answer:
        """Judge one pair from at least two starts."""
        raise NotImplementedError  # each rule says its own

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME) -> Verdict:
        answers, said, starts = list[Answer](), list[str](), list[int]()
        pairs, once = _distinct(self.pairs(), same)
        for run, other in pairs:
            shared = _shared(numbers, self.of, run, other)
            if shared is None:
                answers.append("not run")
                said.append(f"{run} and {other} share no start that was run")
                continue
            starts.append(shared.n)
            answers.append("not decided" if shared.n < 2 or _too_alike(shared) else self.judge_pair(shared))
            said.append(f"{run} - {other}: {_difference(shared, units.get(self.of, ''), self.side)}")
        answer = _combined(answers) if answers else "not decided"
        return Verdict(answer, with_starts("; ".join([*said, *once]), min(starts, default=0)))


class _Against(_Pairs):
    """Comparison of one run with each of several others."""

    run: str
    than: Annotated[list[str], Field(min_length=1)]

    def pairs(self) -> list[tuple[str, str]]:
        return [(self.run, other) for other in self.than]


class Better(_Against):
    """``better``: the first run is above the other, or below where lower is better, by more than chance."""

    rule: Literal["better"]
    by: Annotated[float, Field(ge=0)] = 0.0
    """Least mean difference, in the unit of the column."""
    lower: bool = False
    """True if lower is better."""

    @property
    def side(self) -> Literal["above", "below"]:
        return "below" if self.lower else "above"

    def judge_pair(self, found: Difference) -> Answer:
        return _ahead(_swapped(found) if self.lower else found, self.by)

    def in_words(self) -> str:
        by = f" and a mean of at least {self.by:g}" if self.by else ""
        less = f"lies short of {self.by:g} on that side" if self.by else "is on the other side"
        return (
            f"{self.run} {self.side} {' and '.join(self.than)} in {self.of}: in at least {SUPERIOR:.0%} of the shared "
            f"starts, with a paired 95 % interval on that side of 0{by}; does not hold where "
            f"the whole interval {less}; {ALIKE}"
        )


class NoWorse(_Against):
    """``no-worse``: the first run is at most a given margin below the other."""

    rule: Literal["no-worse"]
    margin: Annotated[float, Field(gt=0)]

    def judge_pair(self, found: Difference) -> Answer:
        low, high = found.interval or (0.0, 0.0)
        return "holds" if low > -self.margin else "does not hold" if high < -self.margin else "not decided"

    def in_words(self) -> str:
        return (
            f"{self.run} at most {self.margin:g} below {' and '.join(self.than)} in {self.of}: the paired 95 % "
            f"interval lies above -{self.margin:g}; does not hold where it lies below; {ALIKE}"
        )


class Order(_Pairs):
    """``order``: each run is better than the next one."""

    rule: Literal["order"]
    runs: Annotated[list[str], Field(min_length=2)]

    def pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.runs, self.runs[1:], strict=False))

    def judge_pair(self, found: Difference) -> Answer:
        return _ahead(found)

    def in_words(self) -> str:
        return f"{' > '.join(self.runs)} in {self.of}, each pair by the rule of better"


def _ahead(found: Difference, by: float = 0.0) -> Answer:
    """Judge if the first run is above the other by more than chance, and by at least ``by`` on average."""
    low, high = found.interval or (0.0, 0.0)
    if found.mean >= by and low > 0 and found.superiority >= SUPERIOR:
        return "holds"
    return "does not hold" if high < by else "not decided"


def _distinct(pairs: Sequence[tuple[str, str]], same: Same) -> tuple[list[tuple[str, str]], list[str]]:
    """Drop pairs of one run under two names and repeated pairs; also return the remarks on them."""
    counted, said = dict[tuple[str, str], tuple[str, str]](), list[str]()
    for pair in pairs:
        run, other = (same.get(name, name) for name in pair)
        if run == other:
            said.append(f"{pair[1]} is {pair[0]} by definition, and no rival")
        elif (had := counted.setdefault((run, other), pair)) != pair:
            said.append(f"{pair[1]} is {had[1]} by definition, and counted once")
    return [*counted.values()], said


def _combined(answers: Sequence[Answer]) -> Answer:
    """Combine the answers of several pairs: one that does not hold decides; the claim holds if all hold."""
    order: tuple[Answer, ...] = ("does not hold", "not run", "not decided")
    return next((answer for answer in order if answer in answers), "holds")


def _shared(numbers: Numbers, column: str, run: str, other: str) -> Difference | None:
    one, two = numbers.get((run, column), {}), numbers.get((other, column), {})
    return paired_difference(one, two) if one.keys() & two.keys() else None


def _too_alike(found: Difference) -> bool:
    """Return True if few starts all differ by the same, as integers do: an interval of no width says nothing."""
    low, high = min(found.values), max(found.values)
    return found.n < FEW and high != 0 and isclose(low, high, rel_tol=1e-9)


def _swapped(found: Difference) -> Difference:
    """Return the difference with its two runs swapped."""
    return Difference(tuple(-value for value in found.values))


def _difference(found: Difference, unit: str, side: Literal["above", "below"]) -> str:
    text = f"{found.mean:+.3g}{f' {unit}' if unit else ''}"
    if found.interval is not None:
        text += " ({:+.3g} to {:+.3g})".format(*found.interval)
    share = (_swapped(found) if side == "below" else found).superiority
    return f"{text}, {side} in {share:.0%} of {found.n}"
