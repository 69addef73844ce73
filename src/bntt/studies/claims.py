"""Claims of a study: a statement, and the rule, written down before its runs are made, that decides it.

Every rule looks at the numbers of starts and has four answers. "holds" and "does not hold" need at least two starts,
"not decided" means that the numbers leave the claim open, "not run" that there are none. With fewer than five starts an
answer is shown but not tested, and says so.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import floor, isclose, isnan, log10, sqrt
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, stdtr, stdtrit
from scipy.stats import chi

from bntt.analysis.accuracy import FEW, Difference, Summary, paired_difference
from bntt.analysis.result import Count, Number, Record
from bntt.io.files import unknown_key

LEVEL = 0.05
"""Level of all tests."""
POWER = 0.8
"""Share of studies in which the difference is found."""
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
Answer = Literal["holds", "does not hold", "not decided", "not run"]
_OPEN: Answer = "not decided"
Named = Callable[[str], str]
"""Label of a run, or title of a column, by its key."""
Bound = tuple[str, float, Literal["at least", "at most"]]
"""Column, and a value that its mean must not miss."""
RUNS = ("run", "than", "runs", "later", "later_than")
COLUMNS = ("of", "saved", "lost", "first", "last", "beside")
"""Keys of a claim that name runs, and those that name columns."""


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
            missed = float(nctdtr(degrees, errors, quantile))
            return POWER - 1 + (0.0 if isnan(missed) else missed)  # SciPy has no value where next to none are missed
        inside = errors / quantile * sqrt(degrees)  # beyond it, both tests cannot be decided
        found = quad(lambda s: chi.pdf(s, degrees) * (2 * ndtr(errors - quantile * s / sqrt(degrees)) - 1), 0, inside)
        return POWER - float(found[0])

    return float(brentq(lacks, 0.0, 1000.0))


def above(mean: float, error: float | None, starts: int, bound: float = 0.0) -> float:
    """Return the one-sided probability of a mean at least so far above a bound if the bound were true."""
    if not error:
        return 0.0 if mean > bound else 1.0
    return 1 - float(stdtr(starts - 1, (mean - bound) * sqrt(starts) / error))


def two_sided(found: Summary, bound: float) -> float:
    """Return the two-sided probability of a mean at least so far from a bound."""
    sides = above(found.mean, found.sd, found.n, bound), above(-found.mean, found.sd, found.n, -bound)
    return min(1.0, 2 * min(sides))


def holm(values: Sequence[float]) -> list[bool]:
    """Say which of several tests are decided together (Holm 1979)."""
    decided, open_ = [False] * len(values), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        open_ = open_ and values[place] <= LEVEL / (len(values) - rank)
        decided[place] = open_
    return decided


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


class ClaimRecord(Record):
    """A claim of the paper, or a question of our own, and the verdict on it."""

    says: str
    quotation: str = ""
    source: str = ""
    paper: str = ""
    verdict: Answer
    because: str
    starts: Count = 0
    """Fewest starts of a comparison."""
    p: Number = None
    """Probability of evidence at least so strong if the opposite were true; None if the rule is no test of means."""
    rule: str
    effects: tuple[EffectRecord, ...] = ()

    @property
    def few(self) -> bool:
        """True if its starts are too few for a test: the verdict is shown, not tested."""
        return bool(self.effects) and min(effect.starts for effect in self.effects) < FEW


class Part(NamedTuple):
    """One comparison of a claim."""

    answer: Answer
    said: str = ""
    p: float | None = None
    """None if there are too few starts for a test."""
    effect: EffectRecord | None = None


@dataclass(frozen=True)
class Findings:
    """Numbers of a study's starts; runs and columns without a label are called by their keys."""

    numbers: Mapping[tuple[str, str], Mapping[int, float]]
    """Number of every start, by seed, for each run and column."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of each column."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Run that each duplicate run equals by definition."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of runs."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Titles of columns."""

    def run(self, name: str) -> str:
        return self.labels.get(name, name)

    def column(self, key: str) -> str:
        return self.titles.get(key, key)

    def difference(self, run: str, other: str) -> str:
        """Name a difference of two runs; a group that both labels begin with is named once, at the end."""
        (group, colon, one), (of, _, two) = (self.run(name).partition(": ") for name in (run, other))
        return f"{one} − {two} ({group})" if colon and group == of else f"{self.run(run)} − {self.run(other)}"

    def mean(self, key: str, found: Summary) -> str:
        unit = self.units.get(key, "")
        return f"{self.column(key)} {with_interval(found.mean, found.interval, f' {unit}' * bool(unit))}"

    def shared(self, places: Sequence[tuple[str, str]]) -> list[Mapping[int, float]]:
        """Return the numbers of some runs and columns, of the starts that all of them have."""
        rows = [self.numbers.get(place, {}) for place in places]
        seeds = sorted(set.intersection(*(set(row) for row in rows)))
        return [{seed: row[seed] for seed in seeds} for row in rows]

    def effect(self, name: str, column: str, unit: str, found: Summary, *bounds: float) -> EffectRecord:
        (low, high), of = found.interval or (None, None), self.column(column) + f",{unit}" * bool(unit)
        return EffectRecord(name=name, of=of, mean=found.mean, low=low, high=high, starts=found.n, bounds=bounds)


class TomlTable(BaseModel):
    """A table of a study's file: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                raise fault_at(key, unknown_key(key, list(cls.model_fields)))
        return values


def fault_at(key: str, said: str) -> PydanticCustomError:
    """Return a fault of a table, which names the key below it."""
    return PydanticCustomError("fault", "{said}", {"key": key, "said": said})


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

    def uses(self, columns: Sequence[str] = COLUMNS) -> tuple[list[str], list[str]]:
        """Return the runs and the columns that the rule reads."""
        held = [[getattr(self, key, "") for key in keys] for keys in (RUNS, columns)]
        runs, read = ([name for one in part for name in ([one] if isinstance(one, str) else one)] for part in held)
        return list(dict.fromkeys(filter(None, runs))), list(dict.fromkeys(filter(None, read)))

    def decided_by(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns without which there is no answer."""
        return self.uses(COLUMNS[:-1])

    def compared(self) -> list[list[str]]:
        """Return the groups of runs that are compared start by start, with the same seed."""
        return [self.uses()[0]]

    @abstractmethod
    def judge(self, found: Findings) -> ClaimRecord:
        """Return the answer that these numbers give."""

    @abstractmethod
    def in_words(self, run: Named = str, column: Named = str) -> str:
        """Describe the rule in a sentence, with the labels of runs and the titles of columns."""

    def finds(self, error: float, starts: int, level: float) -> float:
        """Return the smallest difference that ``starts`` starts of standard deviation ``error`` decide."""
        return smallest_difference(error, starts, level)

    def decides(self, spreads: Mapping[str, float], starts: int, level: float) -> dict[str, float]:
        """Return the smallest difference of each column that ``starts`` starts decide."""
        known = [column for column in self.decided_by()[1] if column in spreads and starts >= self.fewest]
        return {column: self.finds(self.scatter * spreads[column], starts, level) for column in known}

    def verdict(self, found: Findings, parts: Sequence[Part], text: str, p: float | None = None) -> ClaimRecord:
        """Join the answers of all parts: all must hold, or one does not (Bonferroni)."""
        answers = [part.answer for part in parts]
        order: tuple[Answer, ...] = ("does not hold", "not run", "not decided")
        answer: Answer = next((one for one in order if one in answers), "holds" if answers else "not decided")
        tested = [part.p for part in parts if part.p is not None]
        if p is None and answer == "does not hold":
            against = [part.p for part in parts if part.answer == answer and part.p is not None]
            p = min(1.0, len(parts) * min(against))
        elif p is None and len(tested) == len(parts):
            p = max(tested, default=None)
        effects = tuple(part.effect for part in parts if part.effect)
        starts = min((effect.starts for effect in effects), default=0)
        return ClaimRecord(
            **self.model_dump(include={"says", "quotation", "source", "paper"}),
            verdict=answer,
            because=with_starts(text, starts),
            starts=starts,
            p=p,
            rule=self.in_words(found.run, found.column),
            effects=effects,
        )


class _Pairs(Claim):
    """Pairwise comparison of runs, over the starts whose seed they share."""

    scatter: ClassVar[float] = sqrt(2)
    side: ClassVar[str] = "above"
    of: str
    """Column that is compared."""

    @abstractmethod
    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of runs, the one claimed to be ahead first."""

    def compared(self) -> list[list[str]]:
        return [list(pair) for pair in self.pairs()]

    def margins(self) -> tuple[float, ...]:
        """Return the differences that a pair is compared with."""
        return (0.0,)

    @abstractmethod
    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        """Judge one pair from at least :attr:`fewest` starts; return the probability of such a difference too."""

    def could_show(self, found: Difference, unit: str) -> str:
        """Name what starts with this scatter could have shown about a pair that they leave open."""
        return could_see(found, unit)

    def judge(self, found: Findings) -> ClaimRecord:
        counted, remarks, parts = dict[tuple[str, str], tuple[str, str]](), list[str](), list[Part]()
        for pair in self.pairs():
            run, other = (found.same.get(name, name) for name in pair)
            if run == other:
                remarks.append(f"{found.run(pair[1])} is {found.run(pair[0])} by definition, and no rival")
            elif (had := counted.setdefault((run, other), pair)) != pair:
                remarks.append(f"{found.run(pair[1])} is {found.run(had[1])} by definition, and counted once")
        for run, other in counted.values():
            one, two = found.shared([(run, self.of), (other, self.of)])
            if one:
                parts.append(self._part(found, found.difference(run, other), paired_difference(one, two)))
            else:
                said = f"{found.run(run)} and {found.run(other)} share no start with this number"
                parts.append(Part("not run", said))
        return self.verdict(found, parts, "; ".join([*(part.said for part in parts), *remarks]))

    def _part(self, found: Findings, pair: str, difference: Difference) -> Part:
        answer, p, unit = _OPEN, None, found.units.get(self.of, "")
        if difference.n >= self.fewest:
            answer, p = self.judge_pair(difference)
            if difference.mean != 0 and all_agree(difference.values):  # as those of identical networks do
                answer = "not decided"
        left_open = self.could_show(difference, unit) if answer == "not decided" else ""
        said = f"{pair}: {_difference(difference, unit, self.side)}{left_open}"
        return Part(answer, said, p, found.effect(pair, self.of, in_points(unit), difference, *self.margins()))


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
    def side(self) -> str:  # type: ignore[override]
        return "below" if self.lower else "above"

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        return _ahead(_turned(found) if self.lower else found, self.by)

    def margins(self) -> tuple[float, ...]:
        return (-self.by if self.lower else self.by,)

    def in_words(self, run: Named = str, column: Named = str) -> str:
        by = f" and a mean of at least {self.by:g}" if self.by else ""
        less = f"lies short of {self.by:g} on that side" if self.by else "is on the other side"
        return (
            f"{run(self.run)} {self.side} {_all(run, self.than)} in {column(self.of)}: in at least {SUPERIOR:.0%} of "
            f"the shared starts, with a paired 95 % interval on that side of 0{by}; does not hold where the whole "
            f"interval {less}; {ALIKE}"
        )


class NoWorse(_Against):
    """``no-worse``: the first run is at most a given margin below the other."""

    rule: Literal["no-worse"]
    margin: Annotated[float, Field(gt=0)]

    def margins(self) -> tuple[float, ...]:
        return (-self.margin,)

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        low, high = _interval(found)
        answer: Answer = "holds" if low > -self.margin else "does not hold" if high < -self.margin else "not decided"
        return answer, two_sided(found, -self.margin)

    def in_words(self, run: Named = str, column: Named = str) -> str:
        return (
            f"{run(self.run)} at most {self.margin:g} below {_all(run, self.than)} in {column(self.of)}: the paired "
            f"95 % interval lies above -{self.margin:g}; does not hold where it lies below; {ALIKE}"
        )


class Equivalent(_Against):
    """``equivalent``: two runs are alike within a margin, by two one-sided tests (Schuirmann 1987)."""

    fewest: ClassVar[int] = ENOUGH
    rule: Literal["equivalent"]
    margin: Annotated[float, Field(gt=0)]

    def margins(self) -> tuple[float, ...]:
        return -self.margin, self.margin

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        if abs(found.mean) > self.margin:
            chance = two_sided(found, self.margin if found.mean > 0 else -self.margin)
        else:
            chance = max(above(mean, found.sd, found.n, -self.margin) for mean in (found.mean, -found.mean))
        low, high = _interval(found)
        if low > self.margin or high < -self.margin:
            return "does not hold", chance
        return "holds" if chance <= LEVEL else "not decided", chance

    def could_show(self, found: Difference, unit: str) -> str:
        asked = f"; within {self.margin:g}{in_points(unit)} was asked"
        if found.n < ENOUGH:
            return f"{asked}, of {ENOUGH} starts or more"
        if not found.sd or same_but_for_rounding(found.values):
            return asked
        shown = smallest_margin(found.sd, found.n)
        return f"{asked}, and such starts could have shown two as alike within {shown:.2g}{in_points(unit)}"

    def finds(self, error: float, starts: int, level: float) -> float:
        return smallest_margin(error, starts, level)

    def in_words(self, run: Named = str, column: Named = str) -> str:
        return (
            f"{run(self.run)} within {self.margin:g} of {_all(run, self.than)} in {column(self.of)}: both one-sided "
            f"tests at {LEVEL:.0%}, from at least {ENOUGH} starts a side; does not hold where the paired 95 % interval "
            f"lies outside; {ALIKE}"
        )


class Order(_Pairs):
    """``order``: each run is better than the next one."""

    rule: Literal["order"]
    runs: Annotated[list[str], Field(min_length=2)]

    def pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.runs, self.runs[1:], strict=False))

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        return _ahead(found)

    def in_words(self, run: Named = str, column: Named = str) -> str:
        return f"{' > '.join(map(run, self.runs))} in {column(self.of)}, each pair by the rule of better"


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

    def judge(self, found: Findings) -> ClaimRecord:
        names, unit = [self.run, self.than, self.later, self.later_than], found.units.get(self.of, "")
        keys, every = [found.same.get(name, name) for name in names], ", ".join(map(found.run, self.uses()[0]))
        if len(set(keys)) < len(keys):
            return self.verdict(found, [], f"two of {every} are one run by definition")
        run, than, later, later_than = found.shared([(key, self.of) for key in keys])
        if not run:
            return self.verdict(found, [Part("not run")], f"{every} share no start with this number")
        first, second = paired_difference(run, than), paired_difference(later, later_than)
        lead, left = (_turned(first), _turned(second)) if self.lower else (first, second)
        closed = Difference(tuple(a - b for a, b in zip(lead.values, left.values, strict=True)))
        answer, why = self._decide(lead, closed, unit)
        one, two = found.difference(*names[:2]), found.difference(*names[2:])
        side = "below" if self.lower else "above"
        text = (
            f"{one}: {_difference(first, unit, side)}; {two}: {_difference(second, unit, side)}; "
            f"closed by {_difference(closed, unit, 'above')}{why}"
        )
        effects = [
            found.effect(name, self.of, in_points(unit), difference, 0.0)
            for name, difference in ((one, first), (two, second), ("closed by", closed))
        ]
        p = None if lead.n < 2 else max(min(1.0, 2 * above(lead.mean, lead.sd, lead.n)), two_sided(closed, 0.0))
        return self.verdict(found, [Part(answer, effect=effect, p=p) for effect in effects], text, p)

    def _decide(self, lead: Difference, closed: Difference, unit: str) -> tuple[Answer, str]:
        """Return the answer, and a note on what left the claim open."""
        if lead.n < 2:
            return "not decided", ""
        if _interval(lead)[0] <= 0 or all_agree(lead.values):
            return "not decided", "; no first lead is shown that could close"
        if all_agree(closed.values):
            return "not decided", f"; all {closed.n} starts agree"
        low, high = _interval(closed)
        if low <= 0 <= high:
            return "not decided", could_see(closed, unit)
        return "holds" if low > 0 else "does not hold", ""

    def in_words(self, run: Named = str, column: Named = str) -> str:
        side = "below" if self.lower else "above"
        return (
            f"{run(self.run)} leads {run(self.than)} in {column(self.of)} ({side}) by more than {run(self.later)} "
            f"leads {run(self.later_than)}: over the starts that all four share, the 95 % intervals of the first lead "
            f"and of what the second is less, start by start, both lie above 0; does not hold where the second lead is "
            f"more, by the same intervals; not decided where no first lead is shown, or fewer than {FEW} starts all "
            f"agree"
        )


class _Means(Claim):
    """Bounds on the means of one run's columns, all of which must hold."""

    run: str
    beside: list[str] = Field(default=[])
    """Columns that are reported too, and decide nothing."""

    @abstractmethod
    def bounds(self) -> list[Bound]:
        """Return the bounds that decide the claim."""

    def judge(self, found: Findings) -> ClaimRecord:
        bounds, run, parts = self.bounds(), found.run(self.run), list[Part]()
        rows = found.shared([(self.run, column) for column, _, _ in bounds])
        if not rows[0]:
            return self.verdict(found, [Part("not run")], f"no start of {run} has these numbers")
        for (column, value, side), row in zip(bounds, rows, strict=True):
            here, unit, answer, p = Summary(tuple(row.values())), found.units.get(column, ""), _OPEN, None
            agree = all_agree(here.values)
            if here.n > 1:
                answer = _OPEN if agree else _within(here, value, side)
                p = two_sided(here, value) if here.sd else 0.0
            left_open = could_see(here, unit) if answer == "not decided" else ""
            if agree:
                left_open = f"; all {here.n} starts agree, so that nothing says how far another would be"
            effect = found.effect(run, column, f" {unit}" * bool(unit), here, value)
            parts.append(Part(answer, f"{found.mean(column, here)}{left_open}", p, effect))
        beside = "; ".join(
            found.mean(key, Summary(tuple(other.values())))
            for key in self.beside
            if (other := found.numbers.get((self.run, key)))
        )
        text = f"{run}: {'; '.join(part.said for part in parts)}{f' (beside: {beside})' * bool(beside)}"
        return self.verdict(found, parts, text)


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
        return [(self.saved, self.share, "at least"), (self.lost, self.points, "at most")]

    def in_words(self, run: Named = str, column: Named = str) -> str:
        return (
            f"the exit of {run(self.run)} saves at least {self.share:g} % of the steps ({column(self.saved)}) for at "
            f"most {self.points:g} points on test images ({column(self.lost)}), by the 95 % intervals of both means "
            f"over starts; does not hold where one lies on the other side, and is not decided where fewer than {FEW} "
            f"starts all agree in one"
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
        return [(self.first, self.most, "at most"), (self.last, self.most, "at most")]

    def in_words(self, run: Named = str, column: Named = str) -> str:
        return (
            f"in the layers of {run(self.run)} behind the first, the first step ({column(self.first)}) and the last "
            f"({column(self.last)}) both have at most {self.most:g} % of the peak, by the 95 % intervals of both means "
            f"over starts; does not hold where one lies above: what never falls does not rise and fall; not decided "
            f"where fewer than {FEW} starts all agree in one"
        )


class AtLeast(_Means):
    """``at-least`` and ``at-most``: the mean reaches a value, or does not exceed it."""

    rule: Literal["at-least", "at-most"]
    of: str
    value: float

    def bounds(self) -> list[Bound]:
        return [(self.of, self.value, "at least" if self.rule == "at-least" else "at most")]

    def in_words(self, run: Named = str, column: Named = str) -> str:
        ((_, _, side),) = self.bounds()
        return f"{column(self.of)} of {run(self.run)} is {side} {self.value:g}, {BY_INTERVAL}"


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
        peak: Bound = (self.of, self.least, "at least")
        return [peak, (self.last, self.most, "at most")] if self.last else [peak]

    def in_words(self, run: Named = str, column: Named = str) -> str:
        left = f", and the last step ({column(self.last)}) has at most {self.most:g} % of it" if self.last else ""
        return (
            f"{column(self.of)} of {run(self.run)}, the rank correlation of a layer's peak with its depth, is at least "
            f"{self.least:g}{left}, {BY_INTERVAL}"
        )


AnyClaim = Annotated[
    Better | NoWorse | Equivalent | Order | Closes | AtLeast | SavesSteps | PeaksLater | RisesAndFalls,
    Field(discriminator="rule"),
]


def _all(run: Named, names: list[str]) -> str:
    return " and ".join(map(run, names))


def _interval(found: Summary) -> tuple[float, float]:
    return found.interval or (found.mean, found.mean)


def _ahead(found: Difference, by: float = 0.0) -> tuple[Answer, float]:
    """Judge if the first run is above the other by more than chance, and by at least ``by`` on average."""
    (low, high), answer = _interval(found), _OPEN
    if found.mean >= by and low > 0 and found.superiority >= SUPERIOR:
        answer = "holds"
    elif high < by:
        answer = "does not hold"
    return answer, two_sided(found, 0.0 if found.mean >= by else by)


def _within(found: Summary, value: float, side: str) -> Answer:
    """Judge if the interval of a mean lies on a side of a value."""
    low, high = _interval(found)
    if side == "at most":
        low, high, value = -high, -low, -value
    return "holds" if low >= value - ROUNDING else "does not hold" if high < value - ROUNDING else "not decided"


def _turned(found: Difference) -> Difference:
    return Difference(tuple(-value for value in found.values))


def _difference(found: Difference, unit: str, side: str) -> str:
    """Format a difference with its interval, and the share of starts in which it lies on a side."""
    text = with_interval(found.mean, found.interval, in_points(unit), signed=True)
    share = (_turned(found) if side == "below" else found).superiority
    return f"{text}, {side} in {share * found.n:g} of {found.n}"


def judged(claims: Sequence[Claim], found: Findings) -> list[ClaimRecord]:
    """Judge every claim."""
    return together([claim.judge(found) for claim in claims])


def together(verdicts: Sequence[ClaimRecord]) -> list[ClaimRecord]:
    """Withdraw what does not stand under Holm's rule among the paper's claims, or among the questions of our own."""
    found = list(verdicts)
    for papers in (True, False):
        family = [n for n, one in enumerate(found) if bool(one.quotation) is papers]
        tests = [n for n in family if found[n].p is not None and found[n].starts >= FEW]
        for place, stands in zip(tests, holm([found[n].p or 0.0 for n in tests]), strict=True):
            one = found[place]
            if not stands and one.verdict in ("holds", "does not hold"):
                why = f"{one.verdict} by itself (p = {one.p:.2g}), not among {len(tests)} tests (Holm)"
                found[place] = one.model_copy(update={"verdict": "not decided", "because": f"{one.because}; {why}"})
    return found


def with_starts(said: str, starts: int) -> str:
    """Append the number of starts behind a finding."""
    if not starts:
        return said
    few = f" (shown, not tested: fewer than {FEW})" if starts < FEW else ""
    return f"{said}; {starts} start{'s' * (starts > 1)}{few}"


def all_agree(values: Sequence[float]) -> bool:
    """Return True if a few starts, but more than one, have the same value, as whole numbers often do."""
    return 1 < len(values) < FEW and same_but_for_rounding(values)


def same_but_for_rounding(values: Sequence[float]) -> bool:
    """Return True if numbers are all the same, or differ only in their last digits."""
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
    return f"{value:{sign}.{places}f}".rstrip("0").rstrip(".")


def with_interval(mean: float, interval: tuple[float, float] | None, unit: str = "", *, signed: bool = False) -> str:
    """Format a number with its unit (and the space before it), and its interval if there is one.

    >>> with_interval(4.1, (3.0, 5.25), " points", signed=True), with_interval(2.0, None)
    ('+4.1 points (+3 to +5.25)', '2')
    """
    ends = "" if interval is None else " ({} to {})".format(*(three_digits(end, signed=signed) for end in interval))
    return f"{three_digits(mean, signed=signed)}{unit}{ends}"
