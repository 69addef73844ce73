"""How far BNTT is a threshold that varies with time: a network beside what it folds to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from bntt.analysis.measurement import NO_SPIKES, Facts, Measurement, Opened, Progress, Split

if TYPE_CHECKING:
    from bntt.analysis.equivalence.result import EquivalenceResult


@dataclass(frozen=True)
class EquivalenceArguments:
    """What can be asked for."""

    split: Split = "validation"
    """Which images."""
    images: Annotated[int, Ge(1)] = 1000
    """How many, as many of each class as the split's shares allow."""


def result() -> type[EquivalenceResult]:
    """The record of what is found."""
    from bntt.analysis.equivalence.result import EquivalenceResult

    return EquivalenceResult


def run(opened: Sequence[Opened], asked: EquivalenceArguments, progress: Progress) -> EquivalenceResult:
    """Measure one run."""
    from bntt.analysis.equivalence.measure import measure_equivalence

    return measure_equivalence(opened[0], asked, progress)


def refuses(facts: Facts, asked: EquivalenceArguments) -> str:
    """Say why a run folds to nothing; "" where it does."""
    if facts.is_ann:
        return NO_SPIKES
    return "there is nothing to fold, its norm holds no statistics" if facts.norm in ("none", "layer") else ""


EQUIVALENCE = Measurement(
    "equivalence",
    """Compare a run's best epoch with four networks without norms (Section 3.3): the exact fold, the same without the
    mean, without the ratio in the leak, and without both, which is the paper's Eq. 15.

    Says which share of the neurons fires otherwise, by layer, on true spikes and on each network's own, and what that
    does to the accuracy.

    Example: bntt equivalence runs/fashion-mnist --images 500""",
    EquivalenceArguments,
    result,
    run,
    refuses=refuses,
)
