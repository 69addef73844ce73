"""Every rule by its name, and the verdicts on all claims of a study together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW, Difference, Summary, paired_difference
from bntt.studies.claims.claim import (
    KEYS,
    LEVEL,
    NONE_SAME,
    Answer,
    Claim,
    EffectRecord,
    Names,
    Numbers,
    Same,
    Verdict,
    above,
    all_agree,
    could_see,
    holm,
    in_points,
    same_but_for_rounding,
    smallest_margin,
    with_interval,
    with_starts,
)

SUPERIOR = 0.75
"""P(A > B) required for "better" (Bouthillier et al. 2021)."""
ENOUGH = 6
"""Fewest starts a side for equivalence."""
ROUNDING = 1e-9
"""Tolerance at a bound: 100 (1 - 20 / 25) is a little less than 20."""
ALIKE = f"not decided where fewer than {FEW} starts all differ by the same"
BY_INTERVAL = (
    f"by the 95 % interval of the mean over starts; does not hold where it lies on the other side, and is not decided "
    f"where fewer than {FEW} starts all agree"
)
Side = Literal["above", "below"]


class _Pairs(Claim):
    """Pairwise comparison of runs, over the starts whose seed they share."""

    scatter: ClassVar[float] = sqrt(2)
    of: str
    """Column that is compared."""

    @property
    def side(self) -> Side:
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
        return two_sided(found, self.margins()[0])

    def could_show(self, found: Difference, unit: str) -> str:
        """Name what starts with this scatter could have shown about a pair that they leave open."""
        return could_see(found, unit)

    def margins(self) -> tuple[float, ...]:
        """Return the differences that a pair is compared with."""
        return (0.0,)

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        pairs, once = _distinct(self.pairs(), same, names)
        answers, said, starts = list[Answer](), list[str](), list[int]()
        chances, effects, unit = list[tuple[Answer, float]](), list[EffectRecord](), units.get(self.of, "")
        for run, other in pairs:
            one, two = numbers.get((run, self.of), {}), numbers.get((other, self.of), {})
            if not one.keys() & two.keys():
                answers.append("not run")
                said.append(f"{names.run(run)} and {names.run(other)} share no start with this number")
                continue
            found, pair = paired_difference(one, two), names.pair(run, other)
            alike = found.mean != 0 and all_agree(found.values)  # as those of identical networks do
            answer: Answer = "not decided" if found.n < self.fewest or alike else self.judge_pair(found)
            left_open = self.could_show(found, unit) if answer == "not decided" else ""
            answers.append(answer)
            said.append(f"{pair}: {_difference(found, unit, self.side)}{left_open}")
            starts.append(found.n)
            effects.append(_effect(pair, names.column(self.of), in_points(unit), found, self.margins()))
            if found.n >= self.fewest:
                chances.append((answer, self.chance(found)))
        order: tuple[Answer, ...] = ("does not hold", "not run", "not decided")
        answer = next((one for one in order if one in answers), "holds" if answers else "not decided")
        fewest = min(starts, default=0)
        p = _together(chances, len(answers))
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
    def side(self) -> Side:
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
            f"{SUPERIOR:.0%} of the shared starts, with a paired 95 % interval on that side of 0{by}; does not hold "
            f"where the whole interval {less}; {ALIKE}"
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

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"{names.run(self.run)} at most {self.margin:g} below {names.all_runs(self.than)} in "
            f"{names.column(self.of)}: the paired 95 % interval lies above -{self.margin:g}; does not hold where it "
            f"lies below; {ALIKE}"
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

    def in_words(self, names: Names = KEYS) -> str:
        return f"{names.all_runs(self.runs, ' > ')} in {names.column(self.of)}, each pair by the rule of better"


def _ahead(found: Difference, by: float = 0.0) -> Answer:
    """Judge if the first run is above the other by more than chance, and by at least ``by`` on average."""
    low, high = found.interval or (0.0, 0.0)
    if found.mean >= by and low > 0 and found.superiority >= SUPERIOR:
        return "holds"
    return "does not hold" if high < by else "not decided"


class Closes(Claim):
    """``closes``: the lead of one run over another is smaller between two later runs, such as those trained longer."""

    rule: Literal["closes"]
    scatter: ClassVar[float] = 2.0
    of: str
    """Column that is compared."""
    run: str
    than: str
    later: str
    later_than: str
    lower: bool = False
    """True if lower is better: the lead is then that of the lower one."""

    @property
    def side(self) -> Side:
        """Side on which the lead lies."""
        return "below" if self.lower else "above"

    def uses(self) -> tuple[list[str], list[str]]:
        return list(dict.fromkeys([self.run, self.than, self.later, self.later_than])), [self.of]

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS) -> Verdict:
        keys = [same.get(name, name) for name in (self.run, self.than, self.later, self.later_than)]
        every = names.all_runs(self.uses()[0], ", ")
        if len(set(keys)) < len(keys):
            return Verdict("not decided", f"two of {every} are one run by definition")
        rows = [numbers.get((key, self.of), {}) for key in keys]
        seeds = set.intersection(*(set(row) for row in rows))
        if not seeds:
            return Verdict("not run", f"{every} share no start with this number")
        run, than, later, later_than = ({seed: row[seed] for seed in seeds} for row in rows)
        first, second = paired_difference(run, than), paired_difference(later, later_than)
        sign, unit = -1 if self.lower else 1, units.get(self.of, "")
        lead = Difference(tuple(sign * value for value in first.values))
        closed = Difference(tuple(a - sign * b for a, b in zip(lead.values, second.values, strict=True)))
        answer, why = self._decide(lead, closed, unit)
        pairs = [names.pair(self.run, self.than), names.pair(self.later, self.later_than)]
        said = [
            f"{pairs[0]}: {_difference(first, unit, self.side)}",
            f"{pairs[1]}: {_difference(second, unit, self.side)}",
            f"closed by {_difference(closed, unit, 'above')}{why}",
        ]
        told = zip([*pairs, "closed by"], (first, second, closed), strict=True)
        effects = tuple(_effect(pair, names.column(self.of), in_points(unit), found, (0.0,)) for pair, found in told)
        p = None if lead.n < 2 else max(min(1.0, 2 * above(lead.mean, lead.sd, lead.n)), two_sided(closed, 0.0))
        return Verdict(answer, with_starts("; ".join(said), lead.n), lead.n, p, effects)

    def _decide(self, lead: Difference, closed: Difference, unit: str) -> tuple[Answer, str]:
        """Return the answer, and a note on what left the claim open."""
        if lead.n < 2:
            return "not decided", ""
        if (lead.interval or (0.0, 0.0))[0] <= 0 or all_agree(lead.values):
            return "not decided", "; no first lead is shown that could close"
        if all_agree(closed.values):
            return "not decided", f"; all {closed.n} starts agree"
        low, high = closed.interval or (0.0, 0.0)
        if low <= 0 <= high:
            return "not decided", could_see(closed, unit)
        return "holds" if low > 0 else "does not hold", ""

    def in_words(self, names: Names = KEYS) -> str:
        return (
            f"{names.run(self.run)} leads {names.run(self.than)} in {names.column(self.of)} ({self.side}) by more than "
            f"{names.run(self.later)} leads {names.run(self.later_than)}: over the starts that all four share, the "
            f"95 % intervals of the first lead and of what the second is less, start by start, both lie above 0; does "
            f"not hold where the second lead is more, by the same intervals; not decided where no first lead is shown, "
            f"or fewer than {FEW} starts all agree"
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
        (low, high), value = found.interval or (found.mean, found.mean), self.value
        if self.upper:
            low, high, value = -high, -low, -value
        return "holds" if low >= value - ROUNDING else "does not hold" if high < value - ROUNDING else "not decided"


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
        bounds, run = self.bounds(), names.run(self.run)
        rows = [numbers.get((self.run, bound.column), {}) for bound in bounds]
        seeds = sorted(set.intersection(*(set(row) for row in rows)))
        if not seeds:
            return Verdict("not run", f"no start of {run} has these numbers")
        answers, said = list[Answer](), list[str]()
        chances, effects = list[tuple[Answer, float]](), list[EffectRecord]()
        for bound, row in zip(bounds, rows, strict=True):
            found, unit = Summary(tuple(row[seed] for seed in seeds)), units.get(bound.column, "")
            answers.append(bound.judge(found) if found.n > 1 else "not decided")
            left_open = ""
            if answers[-1] == "not decided":
                agree = f"; all {found.n} starts agree, so that nothing says how far another would be"
                left_open = agree if all_agree(found.values) else could_see(found, unit)
            said.append(f"{_told(names.column(bound.column), found, unit)}{left_open}")
            chances.append((answers[-1], two_sided(found, bound.value) if found.sd else 0.0))
            effects.append(_effect(run, names.column(bound.column), f" {unit}" * bool(unit), found, (bound.value,)))
        beside = "; ".join(
            _told(names.column(key), Summary(tuple(other.values())), units.get(key, ""))
            for key in self.beside
            if (other := numbers.get((self.run, key)))
        )
        text = f"{run}: {'; '.join(said)}{f' (beside: {beside})' * bool(beside)}"
        answer: Answer = "holds" if set(answers) == {"holds"} else "not decided"
        answer = "does not hold" if "does not hold" in answers else answer
        p = _together(chances, len(bounds)) if len(seeds) > 1 else None
        return Verdict(answer, with_starts(text, len(seeds)), len(seeds), p, tuple(effects))


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


def _difference(found: Difference, unit: str, side: Side) -> str:
    """Format a difference with its interval, and the share of starts in which it lies on a side."""
    text = with_interval(found.mean, found.interval, in_points(unit), signed=True)
    share = (_swapped(found) if side == "below" else found).superiority
    return f"{text}, {side} in {share * found.n:g} of {found.n}"


def _told(column: str, found: Summary, unit: str) -> str:
    return f"{column} {with_interval(found.mean, found.interval, f' {unit}' * bool(unit))}"


def _effect(name: str, column: str, unit: str, found: Summary, bounds: tuple[float, ...]) -> EffectRecord:
    """Return a number as a forest plot shows it."""
    low, high = found.interval or (None, None)
    of = f"{column},{unit}" if unit else column
    return EffectRecord(name=name, of=of, mean=found.mean, low=low, high=high, starts=found.n, bounds=bounds)


RULES: dict[str, type[Claim]] = {
    "better": Better,
    "no-worse": NoWorse,
    "equivalent": Equivalent,
    "order": Order,
    "closes": Closes,
    "at-least": AtLeast,
    "at-most": AtMost,
    "saves-steps": SavesSteps,
    "peaks-later": PeaksLater,
    "rises-and-falls": RisesAndFalls,
}
"""Rule classes by name."""


def judged(
    claims: Sequence[Claim], numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS
) -> Iterator[dict[str, Any]]:
    """Judge every claim, in the form of a result; runs that are identical by definition are counted once."""
    verdicts = [claim.judge(numbers, units, same, names) for claim in claims]
    for of_paper in (True, False):
        family = [place for place, claim in enumerate(claims) if bool(claim.quotation) is of_paper]
        for place, verdict in zip(family, together([verdicts[place] for place in family]), strict=True):
            verdicts[place] = verdict
    for claim, found in zip(claims, verdicts, strict=True):
        yield {
            "says": claim.says,
            "quotation": claim.quotation,
            "source": claim.source,
            "paper": claim.paper,
            "verdict": found.answer,
            "because": found.because,
            "starts": found.starts,
            "p": found.p,
            "rule": claim.in_words(names),
            "effects": found.effects,
        }


def together(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Withdraw the answers that do not stand under Holm's rule among the tests of one family."""
    places = [i for i, one in enumerate(verdicts) if one.p is not None and one.starts >= FEW]
    found = list(verdicts)
    for place, stands in zip(places, holm([verdicts[i].p or 0.0 for i in places]), strict=True):
        one = verdicts[place]
        if not stands and one.answer in ("holds", "does not hold"):
            why = f"{one.answer} by itself (p = {one.p:.2g}), not among {len(places)} tests (Holm)"
            found[place] = replace(one, answer="not decided", because=f"{one.because}; {why}")
    return found
