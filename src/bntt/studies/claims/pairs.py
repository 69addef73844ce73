"""Rules that compare runs, start by start with the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW, Difference, Summary, paired_difference
from bntt.studies.claims.claim import (
    NONE_SAME,
    Answer,
    Claim,
    Numbers,
    Same,
    Verdict,
    all_agree,
    could_see,
    in_points,
    same_but_for_rounding,
    with_starts,
)
from bntt.studies.claims.power import LEVEL, above, smallest_margin
from bntt.studies.claims.words import KEYS, Effect, Names, with_interval

SUPERIOR = 0.75
"""P(A > B) required for "better" (Bouthillier et al. 2021)."""
ENOUGH = 6
"""Fewest starts a side for equivalence."""
ALIKE = f"not decided where fewer than {FEW} starts all differ by the same"


class _Pairs(Claim):
    """Pairwise comparison of runs, over the starts whose seed they share."""

    scatter: ClassVar[float] = sqrt(2)
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

    def compared(self) -> list[list[str]]:
        return [list(pair) for pair in self.pairs()]

    def judge_pair(self, found: Difference) -> Answer:
        """Judge one pair from at least :attr:`fewest` starts."""
        raise NotImplementedError  # each rule says its own

    def chance(self, found: Difference) -> float:
        """Return the probability of a difference at least so strong if the opposite were true."""
        raise NotImplementedError  # each rule says its own

    def could_show(self, found: Difference, unit: str) -> str:
        """Name what starts with this scatter could have shown about a pair that they leave open."""
        return could_see(found, unit)

    def margins(self) -> tuple[float, ...]:
        """Return the differences that a pair is compared with."""
        return (0.0,)

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        answers, said, starts, judged = list[Answer](), list[str](), list[int](), list[tuple[Answer, float]]()
        (pairs, once), effects, unit = _distinct(self.pairs(), same, names), list[Effect](), units.get(self.of, "")
        for run, other in pairs:
            shared = _shared(numbers, self.of, run, other)
            if shared is None:
                answers.append("not run")
                said.append(f"{names.run(run)} and {names.run(other)} share no start with this number")
                continue
            starts.append(shared.n)
            answers.append("not decided" if shared.n < self.fewest or _too_alike(shared) else self.judge_pair(shared))
            open_, pair = answers[-1] == "not decided", names.pair(run, other)
            said.append(f"{pair}: {difference(shared, unit, self.side)}{self.could_show(shared, unit) * open_}")
            effects.append(effect_of(pair, self.of, shared, unit, names, self.margins()))
            judged += [(answers[-1], self.chance(shared))] if shared.n >= self.fewest else []
        answer, fewest = _combined(answers) if answers else "not decided", min(starts, default=0)
        p = _together(judged, len(answers))
        return Verdict(answer, with_starts("; ".join([*said, *once]), fewest), fewest, p, tuple(effects))


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

    def margins(self) -> tuple[float, ...]:
        return (-self.by if self.lower else self.by,)

    def chance(self, found: Difference) -> float:
        found = _swapped(found) if self.lower else found
        return two_sided(found, 0.0 if found.mean >= self.by else self.by)

    def in_words(self, names: Names = KEYS) -> str:
        by = f" and a mean of at least {self.by:g}" if self.by else ""
        less = f"lies short of {self.by:g} on that side" if self.by else "is on the other side"
        return (
            f"{names.run(self.run)} {self.side} {names.all_runs(self.than)} in {names.column(self.of)}: in at least "
            f"{SUPERIOR:.0%} of the shared "
            f"starts, with a paired 95 % interval on that side of 0{by}; does not hold where "
            f"the whole interval {less}; {ALIKE}"
        )


class NoWorse(_Against):
    """``no-worse``: the first run is at most a given margin below the other."""

    rule: Literal["no-worse"]
    margin: Annotated[float, Field(gt=0)]

    def margins(self) -> tuple[float, ...]:
        return (-self.margin,)

    def judge_pair(self, found: Difference) -> Answer:
        low, high = found.interval or (0.0, 0.0)
        return "holds" if low > -self.margin else "does not hold" if high < -self.margin else "not decided"

    def chance(self, found: Difference) -> float:
        return two_sided(found, -self.margin)

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"{names.run(self.run)} at most {self.margin:g} below {names.all_runs(self.than)} in "
            f"{names.column(self.of)}: the paired 95 % "
            f"interval lies above -{self.margin:g}; does not hold where it lies below; {ALIKE}"
        )


class Equivalent(_Against):
    """``equivalent``: two runs are alike within a margin, by two one-sided tests (Schuirmann 1987)."""

    fewest: ClassVar[int] = ENOUGH
    rule: Literal["equivalent"]
    margin: Annotated[float, Field(gt=0)]

    def margins(self) -> tuple[float, ...]:
        return -self.margin, self.margin

    def judge_pair(self, found: Difference) -> Answer:
        low, high = found.interval or (0.0, 0.0)
        if low > self.margin or high < -self.margin:
            return "does not hold"
        return "holds" if self.chance(found) <= LEVEL else "not decided"

    def chance(self, found: Difference) -> float:
        if abs(found.mean) > self.margin:
            return two_sided(found, self.margin if found.mean > 0 else -self.margin)
        return max(above(mean, found.sd, found.n, -self.margin) for mean in (found.mean, -found.mean))

    def could_show(self, found: Difference, unit: str) -> str:
        asked = f"within {self.margin:g}{in_points(unit)} was asked"
        if found.n < ENOUGH:
            return f"; {asked}, of {ENOUGH} starts or more"
        if not found.sd or same_but_for_rounding(found.values):
            return f"; {asked}"
        shown = smallest_margin(found.sd, found.n)
        return f"; {asked}, and such starts could have shown two as alike within {shown:.2g}{in_points(unit)}"

    def finds(self, error: float, starts: int, level: float) -> float:
        return smallest_margin(error, starts, level)

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"{names.run(self.run)} within {self.margin:g} of {names.all_runs(self.than)} in {names.column(self.of)}: "
            f"both one-sided tests at {LEVEL:.0%}, from at least {ENOUGH} starts a side; does not hold where the "
            f"paired 95 % interval lies outside; {ALIKE}"
        )


class Order(_Pairs):
    """``order``: each run is better than the next one."""

    rule: Literal["order"]
    runs: Annotated[list[str], Field(min_length=2)]

    def pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.runs, self.runs[1:], strict=False))

    def judge_pair(self, found: Difference) -> Answer:
        return _ahead(found)

    def chance(self, found: Difference) -> float:
        return two_sided(found, 0.0)

    def in_words(self, names: Names = KEYS) -> str:
        return f"{names.all_runs(self.runs, ' > ')} in {names.column(self.of)}, each pair by the rule of better"


def _ahead(found: Difference, by: float = 0.0) -> Answer:
    """Judge if the first run is above the other by more than chance, and by at least ``by`` on average."""
    low, high = found.interval or (0.0, 0.0)
    if found.mean >= by and low > 0 and found.superiority >= SUPERIOR:
        return "holds"
    return "does not hold" if high < by else "not decided"


def _distinct(pairs: Sequence[tuple[str, str]], same: Same, names: Names) -> tuple[list[tuple[str, str]], list[str]]:
    """Drop pairs of one run under two names and repeated pairs; also return the remarks on them."""
    counted, said = dict[tuple[str, str], tuple[str, str]](), list[str]()
    for pair in pairs:
        run, other = (same.get(name, name) for name in pair)
        if run == other:
            said.append(f"{names.run(pair[1])} is {names.run(pair[0])} by definition, and no rival")
        elif (had := counted.setdefault((run, other), pair)) != pair:
            said.append(f"{names.run(pair[1])} is {names.run(had[1])} by definition, and counted once")
    return [*counted.values()], said


def _combined(answers: Sequence[Answer]) -> Answer:
    """Combine the answers of several pairs: one that does not hold decides; the claim holds if all hold."""
    order: tuple[Answer, ...] = ("does not hold", "not run", "not decided")
    return next((answer for answer in order if answer in answers), "holds")


def _too_alike(found: Difference) -> bool:
    """Return True if a few starts all differ by the same amount, but not by 0, as identical networks do."""
    return found.mean != 0 and all_agree(found.values)


def _shared(numbers: Numbers, column: str, run: str, other: str) -> Difference | None:
    one, two = numbers.get((run, column), {}), numbers.get((other, column), {})
    return paired_difference(one, two) if one.keys() & two.keys() else None


def two_sided(found: Summary, bound: float) -> float:
    """Return the two-sided probability of a mean at least so far from a bound."""
    error = found.sd or 0.0
    return min(1.0, 2 * min(above(found.mean, error, found.n, bound), above(-found.mean, error, found.n, -bound)))


def _together(judged: Sequence[tuple[Answer, float]], pairs: int) -> float | None:
    """Return the probability behind an answer of several pairs: all must hold, or one does not (Bonferroni)."""
    against = [p for answer, p in judged if answer == "does not hold"]
    if against:
        return min(1.0, pairs * min(against))
    return max(p for _, p in judged) if judged and len(judged) == pairs else None


def _swapped(found: Difference) -> Difference:
    """Return the difference with its two runs swapped."""
    return Difference(tuple(-value for value in found.values))


def effect_of(
    pair: str, column: str, found: Difference, unit: str, names: Names, margins: tuple[float, ...] = (0.0,)
) -> Effect:
    """Return a difference as a forest plot shows it."""
    low, high = found.interval or (None, None)
    return Effect(
        pair, f"{names.column(column)}{',' * bool(unit)}{in_points(unit)}", found.mean, low, high, found.n, margins
    )


def difference(found: Difference, unit: str, side: Literal["above", "below"]) -> str:
    """Format a difference with its interval, and the share of starts in which it lies on a side."""
    text = with_interval(found.mean, found.interval, in_points(unit), signed=True)
    share = (_swapped(found) if side == "below" else found).superiority
    return f"{text}, {side} in {share * found.n:g} of {found.n}"
