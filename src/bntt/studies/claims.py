"""Claims of a study: a statement, and the rule, written down before its runs are made, that decides it.

Every rule looks at the numbers of starts and has four answers. "holds" and "does not hold" need at least two starts,
"not decided" means that the numbers leave the claim open, "not run" that there are none. With fewer than five starts an
answer is shown but not tested, and says so.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isclose, log10, sqrt
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError
from scipy.special import stdtr

from bntt.analysis.accuracy import FEW, Difference, Summary, paired_difference
from bntt.analysis.result import Count, Number, Record
from bntt.io.files import unknown_key

LEVEL = 0.05
"""Level of all tests."""
SUPERIOR = 0.75
"""P(A > B) required for "better" (Bouthillier et al. 2021)."""
ENOUGH = 6
"""Fewest starts a side for equivalence."""
ROUNDING = 1e-9
"""Tolerance at a bound: 100 (1 - 20 / 25) is a little less than 20."""
Answer = Literal["holds", "does not hold", "not decided", "not run"]
_OPEN: Answer = "not decided"


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
    """One number behind a verdict: mean, interval, and the values that decide."""

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
    """Probability of evidence at least so strong if the opposite were true; None if there are too few starts."""
    effects: tuple[EffectRecord, ...] = ()


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
    return PydanticCustomError("fault", "{key}: {said}", {"key": key, "said": said})


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

    @abstractmethod
    def uses(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns that the rule reads."""

    @abstractmethod
    def judge(self, found: Findings) -> ClaimRecord:
        """Return the answer that these numbers give."""

    def verdict(self, parts: Sequence[Part], text: str, p: float | None = None) -> ClaimRecord:
        """Join the answers of all parts: all must hold, or one does not (Bonferroni)."""
        answers = [part.answer for part in parts]
        order: tuple[Answer, ...] = ("does not hold", "not run", "not decided")
        answer: Answer = next((one for one in order if one in answers), "holds")
        tested = [part.p for part in parts if part.p is not None]
        if p is None and answer == "does not hold":
            against = [part.p for part in parts if part.answer == answer and part.p is not None]
            p = min(1.0, len(parts) * min(against))
        elif p is None and len(tested) == len(parts):
            p = max(tested)
        effects = tuple(part.effect for part in parts if part.effect)
        starts = min((effect.starts for effect in effects), default=0)
        return ClaimRecord(
            **self.model_dump(include={"says", "quotation", "source", "paper"}),
            verdict=answer,
            because=with_starts(text, starts),
            starts=starts,
            p=p,
            effects=effects,
        )


class _Pairs(Claim):
    """Pairwise comparison of runs, over the starts whose seed they share."""

    fewest: ClassVar[int] = 2
    """Fewest starts that the rule decides from."""
    of: str
    """Column that is compared."""

    @abstractmethod
    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of runs, the one claimed to be ahead first."""

    @abstractmethod
    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        """Judge one pair from at least :attr:`fewest` starts; return the probability of such a difference too."""

    def margins(self) -> tuple[float, ...]:
        """Return the differences that a pair is compared with."""
        return (0.0,)

    def uses(self) -> tuple[list[str], list[str]]:
        return [run for pair in self.pairs() for run in pair], [self.of]

    def judge(self, found: Findings) -> ClaimRecord:
        parts = [self._part(found, *pair) for pair in self.pairs()]
        return self.verdict(parts, "; ".join(part.said for part in parts))

    def _part(self, found: Findings, run: str, other: str) -> Part:
        one, two = found.shared([(run, self.of), (other, self.of)])
        if not one:
            return Part("not run", f"{found.run(run)} and {found.run(other)} share no start with this number")
        difference, name, unit = paired_difference(one, two), found.difference(run, other), found.units.get(self.of, "")
        answer, p = _OPEN, None
        if difference.n >= self.fewest:
            answer, p = self.judge_pair(difference)
            if difference.mean != 0 and all_agree(difference.values):  # as those of identical networks do
                answer = "not decided"
        effect = found.effect(name, self.of, in_points(unit), difference, *self.margins())
        return Part(answer, f"{name}: {_difference(difference, unit, lower=getattr(self, 'lower', False))}", p, effect)


class _Against(_Pairs):
    """Comparison of one run with each of several others."""

    run: str
    than: Annotated[list[str], Field(min_length=1)]

    def pairs(self) -> list[tuple[str, str]]:
        return [(self.run, other) for other in self.than]


class Better(_Against):
    """``better``: in at least three quarters of the starts above the other, by an interval that excludes 0."""

    rule: Literal["better"]
    lower: bool = False
    """True if lower is better."""

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        return _ahead(_turned(found) if self.lower else found)


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


class Order(_Pairs):
    """``order``: each run is better than the next one."""

    rule: Literal["order"]
    runs: Annotated[list[str], Field(min_length=2)]

    def pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.runs, self.runs[1:], strict=False))

    def judge_pair(self, found: Difference) -> tuple[Answer, float]:
        return _ahead(found)


class Closes(Claim):
    """``closes``: the lead of one run over another is smaller between two later runs, such as those trained longer.

    The intervals of the first lead, and of what the second is less, start by start, must both lie above 0.
    """

    rule: Literal["closes"]
    of: str
    """Column that is compared."""
    run: str
    than: str
    later: str
    later_than: str

    def uses(self) -> tuple[list[str], list[str]]:
        return [self.run, self.than, self.later, self.later_than], [self.of]

    def judge(self, found: Findings) -> ClaimRecord:
        names, unit = self.uses()[0], found.units.get(self.of, "")
        run, than, later, later_than = found.shared([(name, self.of) for name in names])
        if not run:
            said = f"{', '.join(map(found.run, names))} share no start with this number"
            return self.verdict([Part("not run")], said)
        lead, left = paired_difference(run, than), paired_difference(later, later_than)
        closed = Difference(tuple(a - b for a, b in zip(lead.values, left.values, strict=True)))
        told = {found.difference(*names[:2]): lead, found.difference(*names[2:]): left, "closed by": closed}
        text = "; ".join(f"{name}: {_difference(one, unit)}" for name, one in told.items())
        effects = [found.effect(name, self.of, in_points(unit), one, 0.0) for name, one in told.items()]
        p = None if lead.n < 2 else max(min(1.0, 2 * above(lead.mean, lead.sd, lead.n)), two_sided(closed, 0.0))
        answer = self._decide(lead, closed)
        return self.verdict([Part(answer, effect=effect, p=p) for effect in effects], text, p)

    def _decide(self, lead: Difference, closed: Difference) -> Answer:
        low, high = _interval(closed)
        if lead.n < 2 or _interval(lead)[0] <= 0 or all_agree(lead.values) or all_agree(closed.values):
            return "not decided"
        return "holds" if low > 0 else "does not hold" if high < 0 else "not decided"


class Bounds(Claim):
    """``bounds``: means over the starts of a run are at least, or at most, some values, by their intervals."""

    rule: Literal["bounds"]
    run: str
    at_least: dict[str, float] = Field(default={})
    """Lowest values, by column."""
    at_most: dict[str, float] = Field(default={})
    """Highest values, by column."""

    def uses(self) -> tuple[list[str], list[str]]:
        return [self.run], [*self.at_least, *self.at_most]

    def judge(self, found: Findings) -> ClaimRecord:
        run, parts = found.run(self.run), list[Part]()
        rows = found.shared([(self.run, column) for column in self.uses()[1]])
        if not rows[0]:
            return self.verdict([Part("not run")], f"no start of {run} has these numbers")
        sides = [(1, *bound) for bound in self.at_least.items()] + [(-1, *bound) for bound in self.at_most.items()]
        for (side, column, value), row in zip(sides, rows, strict=True):
            here, unit, answer, p = Summary(tuple(row.values())), found.units.get(column, ""), _OPEN, None
            if here.n > 1:
                answer = _OPEN if all_agree(here.values) else _beyond(here, value, side)
                p = two_sided(here, value) if here.sd else 0.0
            unit = f" {unit}" * bool(unit)
            said = f"{found.column(column)} {with_interval(here.mean, here.interval, unit)}"
            parts.append(Part(answer, said, p, found.effect(run, column, unit, here, value)))
        return self.verdict(parts, f"{run}: {'; '.join(part.said for part in parts)}")


AnyClaim = Annotated[Better | NoWorse | Equivalent | Order | Closes | Bounds, Field(discriminator="rule")]


def _interval(found: Summary) -> tuple[float, float]:
    return found.interval or (found.mean, found.mean)


def _ahead(found: Difference) -> tuple[Answer, float]:
    """Judge if the first run is above the other by more than chance."""
    (low, high), answer = _interval(found), _OPEN
    if low > 0 and found.superiority >= SUPERIOR:
        answer = "holds"
    elif high < 0:
        answer = "does not hold"
    return answer, two_sided(found, 0.0)


def _beyond(found: Summary, value: float, side: int) -> Answer:
    """Judge if the interval of a mean lies above a value (side 1), or below it (-1)."""
    low, high = sorted(side * end for end in _interval(found))
    bound = side * value - ROUNDING
    return "holds" if low >= bound else "does not hold" if high < bound else "not decided"


def _turned(found: Difference) -> Difference:
    return Difference(tuple(-value for value in found.values))


def _difference(found: Difference, unit: str, *, lower: bool = False) -> str:
    """Format a difference with its interval, and the share of starts in which it lies on the side claimed."""
    text = with_interval(found.mean, found.interval, in_points(unit), signed=True)
    share = (_turned(found) if lower else found).superiority
    return f"{text}, {'below' if lower else 'above'} in {share * found.n:g} of {found.n}"


def judged(claims: Sequence[Claim], found: Findings) -> list[ClaimRecord]:
    """Judge every claim, and withdraw what does not stand under Holm's rule.

    The paper's claims are one family of tests, our own questions another.
    """
    verdicts = [claim.judge(found) for claim in claims]
    for papers in (True, False):
        family = [n for n, one in enumerate(verdicts) if bool(one.quotation) is papers]
        tests = [n for n in family if verdicts[n].p is not None and verdicts[n].starts >= FEW]
        for place, stands in zip(tests, holm([verdicts[n].p or 0.0 for n in tests]), strict=True):
            one = verdicts[place]
            if not stands and one.verdict in ("holds", "does not hold"):
                why = f"{one.verdict} by itself (p = {one.p:.2g}), not among {len(tests)} tests (Holm)"
                verdicts[place] = one.model_copy(update={"verdict": "not decided", "because": f"{one.because}; {why}"})
    return verdicts


def with_starts(said: str, starts: int) -> str:
    """Append the number of starts behind a finding."""
    if not starts:
        return said
    few = f" (shown, not tested: fewer than {FEW})" if starts < FEW else ""
    return f"{said}; {starts} start{'s' * (starts > 1)}{few}"


def all_agree(values: Sequence[float]) -> bool:
    """Return True if a few starts, but more than one, have the same value but for rounding, as whole numbers often do.

    Nothing then says how far another start would be.
    """
    return 1 < len(values) < FEW and isclose(min(values), max(values), rel_tol=1e-9, abs_tol=1e-12)


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
