"""Rules that judge one run start by start: every start meets a condition, or none does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from bntt.studies.claims import NONE_SAME, Answer, Better, Claim, NoWorse, Numbers, Order, Same, Verdict, with_starts


class _Starts(Claim):
    """Condition on one run that every start meets, or none does."""

    run: str

    def met(self, numbers: Sequence[float]) -> bool:
        """Return True if a start meets the condition, given its number in each column."""
        raise NotImplementedError  # each rule says its own

    def columns(self) -> list[str]:
        """Return the columns that the condition reads."""
        raise NotImplementedError  # each rule says its own

    def uses(self) -> tuple[list[str], list[str]]:
        return [self.run], self.columns()

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME) -> Verdict:
        found = [numbers.get((self.run, column), {}) for column in self.columns()]
        seeds = sorted(set.intersection(*(set(one) for one in found)))
        if not seeds:
            return Verdict("not run", f"no start of {self.run} has these numbers")
        met = [self.met([one[seed] for one in found]) for seed in seeds]
        answer: Answer = "holds" if all(met) else "not decided" if any(met) else "does not hold"
        said = "; ".join(_listed(c, [o[s] for s in seeds], units) for c, o in zip(self.columns(), found, strict=True))
        return Verdict(answer if len(seeds) > 1 else "not decided", with_starts(f"{self.run}: {said}", len(seeds)))


class _Column(_Starts):
    """Condition on one column."""

    of: str

    def columns(self) -> list[str]:
        return [self.of]


class AtLeast(_Column):
    """``at-least``: every start reaches a value."""

    rule: Literal["at-least"]
    value: float

    def met(self, numbers: Sequence[float]) -> bool:
        return numbers[0] >= self.value

    def in_words(self) -> str:
        return f"{self.of} of {self.run} is at least {self.value:g} in every start; does not hold where in none"


class AtMost(_Column):
    """``at-most``: no start exceeds a value."""

    rule: Literal["at-most"]
    value: float

    def met(self, numbers: Sequence[float]) -> bool:
        return numbers[0] <= self.value

    def in_words(self) -> str:
        return f"{self.of} of {self.run} is at most {self.value:g} in every start; does not hold where in none"


class SavesSteps(_Starts):
    """``saves-steps``: an early exit leaves out enough of the steps, and costs little."""

    rule: Literal["saves-steps"]
    saved: str = "exit-saved"
    """Column of steps saved, in %."""
    lost: str = "exit-lost"
    """Column of points lost."""
    share: Annotated[float, Field(gt=0, lt=100)] = 20.0
    points: Annotated[float, Field(ge=0)] = 0.5

    def columns(self) -> list[str]:
        return [self.saved, self.lost]

    def met(self, numbers: Sequence[float]) -> bool:
        return numbers[0] >= self.share and numbers[1] <= self.points

    def in_words(self) -> str:
        return (
            f"the exit of {self.run} saves at least {self.share:g} % of the steps for at most {self.points:g} points "
            f"on test images, in every start; does not hold where in none"
        )


class PeaksLater(_Column):
    """``peaks-later``: peaks move to later steps with depth."""

    rule: Literal["peaks-later"]
    of: str
    """Column of rank correlations of peak and depth."""
    least: Annotated[float, Field(gt=0, le=1)] = 0.5

    def met(self, numbers: Sequence[float]) -> bool:
        return numbers[0] >= self.least

    def in_words(self) -> str:
        return (
            f"{self.of} of {self.run}, the rank correlation of a layer's peak with its depth, is at least "
            f"{self.least:g} in every start; does not hold where in none"
        )


class RisesAndFalls(_Column):
    """``rises-and-falls``: most layers behind the first peak between the first step and the last."""

    rule: Literal["rises-and-falls"]
    of: str
    """Column of shares of layers, in %."""
    most: Annotated[float, Field(gt=0, le=100)] = 75.0

    def met(self, numbers: Sequence[float]) -> bool:
        return numbers[0] >= self.most

    def in_words(self) -> str:
        return (
            f"at least {self.most:g} % of the layers of {self.run} behind the first peak between the first and the "
            f"last step ({self.of}), in every start; does not hold where in none"
        )


def _listed(column: str, values: Sequence[float], units: Mapping[str, str]) -> str:
    unit = units.get(column, "")
    return f"{column} {', '.join(f'{value:.3g}' for value in values)}{f' {unit}' if unit else ''}"


RULES: dict[str, type[Claim]] = {
    "better": Better,
    "no-worse": NoWorse,
    "order": Order,
    "at-least": AtLeast,
    "at-most": AtMost,
    "saves-steps": SavesSteps,
    "peaks-later": PeaksLater,
    "rises-and-falls": RisesAndFalls,
}
"""Rule classes by name."""


def judged(
    claims: Sequence[Claim], numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME
) -> Iterator[dict[str, Any]]:
    """Judge every claim, in the form of a result; runs that are identical by definition are counted once."""
    for claim in claims:
        found = claim.judge(numbers, units, same)
        yield {
            "says": claim.says,
            "source": claim.source,
            "verdict": found.answer,
            "because": found.because,
            "rule": claim.in_words(),
        }
