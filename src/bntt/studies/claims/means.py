"""Rules that judge one run by means over its starts: Student's 95 % interval lies on the right side of a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW, Summary
from bntt.studies.claims.claim import (
    NONE_SAME,
    Answer,
    Claim,
    Numbers,
    Same,
    Verdict,
    all_agree,
    could_see,
    with_starts,
)
from bntt.studies.claims.pairs import two_sided
from bntt.studies.claims.words import KEYS, Effect, Names, with_interval

ROUNDING = 1e-9
"""Tolerance at a bound: 100 (1 - 20 / 25) is a little less than 20."""
BY_INTERVAL = (
    f"by the 95 % interval of the mean over starts; does not hold where it lies on the other side, and is not decided "
    f"where fewer than {FEW} starts all agree"
)


@dataclass(frozen=True)
class Bound:
    """A bound on the mean of a column."""

    column: str
    value: float
    upper: bool = False
    """True if the mean must not be above it, False if not below."""

    def judge(self, found: Summary) -> Answer:
        """Judge two or more starts."""
        if all_agree(found.values):
            return "not decided"
        low, high = found.interval or (found.mean, found.mean)
        if self.upper:
            low, high, value = -high, -low, -self.value
        else:
            value = self.value
        return "holds" if low >= value - ROUNDING else "does not hold" if high < value - ROUNDING else "not decided"

    def chance(self, found: Summary) -> float:
        """Return the two-sided probability of a mean at least so far from the bound."""
        return two_sided(found, self.value) if found.sd else 0.0


class _Means(Claim):
    """Bounds on the means of one run's columns, all of which must hold."""

    run: str
    beside: list[str] = Field(default=[])
    """Columns that are reported too, and decide nothing."""

    def bounds(self) -> list[Bound]:
        """Return the bounds that decide the claim."""
        raise NotImplementedError  # each rule says its own

    def uses(self) -> tuple[list[str], list[str]]:
        runs, columns = self.decided_by()
        return runs, [*dict.fromkeys([*columns, *self.beside])]

    def decided_by(self) -> tuple[list[str], list[str]]:
        return [self.run], [*dict.fromkeys(bound.column for bound in self.bounds())]

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        bounds = self.bounds()
        found = [numbers.get((self.run, bound.column), {}) for bound in bounds]
        seeds = sorted(set.intersection(*(set(one) for one in found)))
        if not seeds:
            return Verdict("not run", f"no start of {names.run(self.run)} has these numbers")
        means = [Summary(tuple(one[seed] for seed in seeds)) for one in found]
        few = len(seeds) < 2
        answers: list[Answer] = [
            "not decided" if few else bound.judge(mean) for bound, mean in zip(bounds, means, strict=True)
        ]
        said = [
            _told(bound.column, mean, units, names)
            + _open(mean, units.get(bound.column, "")) * (answer == "not decided")
            for bound, mean, answer in zip(bounds, means, answers, strict=True)
        ]
        beside = [(key, row) for key in self.beside if (row := numbers.get((self.run, key)))]
        more = "; ".join(_told(key, Summary(tuple(row.values())), units, names) for key, row in beside)
        text = f"{names.run(self.run)}: {'; '.join(said)}{f' (beside: {more})' * bool(more)}"
        chances = [] if few else [bound.chance(mean) for bound, mean in zip(bounds, means, strict=True)]
        wrong = [p for p, one in zip(chances, answers, strict=not few) if one == "does not hold"]
        p = None if few else min(1.0, len(bounds) * min(wrong)) if wrong else max(chances)
        answer: Answer = "does not hold" if wrong else "holds" if set(answers) == {"holds"} else "not decided"
        effects = tuple(
            _effect(names.run(self.run), bound, mean, units, names) for bound, mean in zip(bounds, means, strict=True)
        )
        return Verdict(answer, with_starts(text, len(seeds)), len(seeds), p, effects)


class SavesSteps(_Means):
    """``saves-steps``: an early exit leaves out enough of the steps, and costs little."""

    rule: Literal["saves-steps"]
    saved: str = "exit-saved"
    """Column of steps saved, in %."""
    lost: str = "exit-lost"
    """Column of points lost."""
    share: Annotated[float, Field(gt=0, lt=100)] = 20.0
    points: Annotated[float, Field(ge=0)] = 0.5

    def bounds(self) -> list[Bound]:
        return [Bound(self.saved, self.share), Bound(self.lost, self.points, upper=True)]

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"the exit of {names.run(self.run)} saves at least {self.share:g} % of the steps "
            f"({names.column(self.saved)}) for at most {self.points:g} points on test images "
            f"({names.column(self.lost)}), by the 95 % intervals of both means over starts; does not hold where one "
            f"lies on the other side, and is not decided where fewer than {FEW} starts all agree in one"
        )


class RisesAndFalls(_Means):
    """``rises-and-falls``: from a low first step to a peak and down to a low last step, in layers after the first."""

    rule: Literal["rises-and-falls"]
    first: str
    """Column of values at the first step, in % of the peak."""
    last: str
    """Column of values at the last step, in % of the peak."""
    most: Annotated[float, Field(gt=0, lt=100)] = 75.0
    """Highest share of the peak at both ends."""

    def bounds(self) -> list[Bound]:
        return [Bound(self.first, self.most, upper=True), Bound(self.last, self.most, upper=True)]

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"in the layers of {names.run(self.run)} behind the first, the first step ({names.column(self.first)}) "
            f"and the last ({names.column(self.last)}) both have at most {self.most:g} % of the peak, by the 95 % "
            f"intervals of both means over starts; does not hold where one lies above: what never falls does not rise "
            f"and fall; not decided where fewer than {FEW} starts all agree in one"
        )


class AtLeast(_Means):
    """``at-least``: the mean reaches a value."""

    rule: Literal["at-least"]
    of: str
    value: float

    def bounds(self) -> list[Bound]:
        return [Bound(self.of, self.value)]

    def in_words(self, names: Names = KEYS) -> str:
        return f"{names.column(self.of)} of {names.run(self.run)} is at least {self.value:g}, {BY_INTERVAL}"


class AtMost(_Means):
    """``at-most``: the mean does not exceed a value."""

    rule: Literal["at-most"]
    of: str
    value: float

    def bounds(self) -> list[Bound]:
        return [Bound(self.of, self.value, upper=True)]

    def in_words(self, names: Names = KEYS) -> str:
        return f"{names.column(self.of)} of {names.run(self.run)} is at most {self.value:g}, {BY_INTERVAL}"


class PeaksLater(_Means):
    """``peaks-later``: peaks come later in deeper layers, and values fall again: what only rises has no peak."""

    rule: Literal["peaks-later"]
    of: str
    """Column of rank correlations of peak and depth."""
    least: Annotated[float, Field(gt=0, le=1)] = 0.5
    last: str = ""
    """Column of values at the last step, in % of the peak; "" asks for none."""
    most: Annotated[float, Field(gt=0, lt=100)] = 75.0
    """Highest share of the peak at the last step."""

    def bounds(self) -> list[Bound]:
        return [Bound(self.of, self.least), *[Bound(self.last, self.most, upper=True)] * bool(self.last)]

    def in_words(self, names: Names = KEYS) -> str:
        left = f", and the last step ({names.column(self.last)}) has at most {self.most:g} % of it" if self.last else ""
        return (
            f"{names.column(self.of)} of {names.run(self.run)}, the rank correlation of a layer's peak with its "
            f"depth, is at least {self.least:g}{left}, {BY_INTERVAL}"
        )


def _told(column: str, found: Summary, units: Mapping[str, str], names: Names) -> str:
    unit = units.get(column, "")
    return f"{names.column(column)} {with_interval(found.mean, found.interval, f' {unit}' * bool(unit))}"


def _effect(run: str, bound: Bound, found: Summary, units: Mapping[str, str], names: Names) -> Effect:
    unit = units.get(bound.column, "")
    low, high = found.interval or (None, None)
    of = f"{names.column(bound.column)}{f', {unit}' * bool(unit)}"
    return Effect(run, of, found.mean, low, high, found.n, (bound.value,))


def _open(found: Summary, unit: str) -> str:
    """Say what starts that decide nothing leave open: the difference that they could have shown, or that they agree."""
    if all_agree(found.values):
        return f"; all {found.n} starts agree, so that nothing says how far another would be"
    return could_see(found, unit)
