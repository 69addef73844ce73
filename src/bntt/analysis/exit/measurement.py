"""Number of steps after which a trained network may stop: one for all samples, or one for each sample."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from bntt.analysis.measurement import ArgumentError, Draws, Facts, Measurement, Split

PER_SAMPLE = "per-sample"
"""Part of the file's name for an exit of each sample individually."""


@dataclass(frozen=True)
class ExitArguments:
    """Arguments of the exit measurement."""

    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    """Largest loss of accuracy on validation, in percentage points."""
    threshold: Annotated[float, Ge(0)] | None = None
    """Use this threshold of mean |γ| instead of choosing one; the paper's is 0.1."""
    per_sample: bool = False
    """Stop each image individually, as soon as the network is sure of it."""
    split: Split = "test"
    """Split to measure the exit on; "validation" needs --threshold."""
    choose_on: Literal["validation"] = "validation"
    """Split to choose the exit on; never the split that measures it.

    The whole grid is kept for both splits, to show what another choice would have given.
    """
    draws: Draws | None = None
    """Number of draws, each with fresh noise; by default the recipe's."""

    def __post_init__(self) -> None:
        if self.threshold == math.inf:
            raise ArgumentError(f"--threshold must be 0 or above, in units of γ, got {self.threshold}")
        if self.threshold is not None and self.per_sample:
            raise ArgumentError("--threshold applies to γ, which --per-sample does not use: pass only one of them")


def refuses(facts: Facts, arguments: ExitArguments) -> str:
    """Return the reason why a run has no such exit; "" if it has one."""
    if arguments.per_sample or facts.norm_facts.step_gamma:
        return ""
    return (
        "its norm has no γ for each step (bntt has one; so has a custom norm with facts = NormFacts(step_gamma=True) "
        "and step_tables()); --per-sample needs no γ either"
    )


EXIT = Measurement(
    "exit",
    """Choose from γ the number of steps after which a network may stop, and compare its cost with plain truncation.

    It chooses the highest threshold of mean |γ| that loses at most --loss on validation, and writes it to the run's
    exit.json, which bntt evaluate RUN --exit reads. With --per-sample each image stops as soon as the network is sure
    of it (confidence, margin or entropy of its logits so far); bntt evaluate does not use that.

    Example: bntt exit runs/fashion-mnist --loss 0.5""",
    ExitArguments,
    refuses=refuses,
    chooses=lambda arguments: arguments.threshold is None,
    variant=lambda arguments: PER_SAMPLE if arguments.per_sample else "",
    variants={PER_SAMPLE: ("sample_result:SampleExitResult", "measure:measure_sample_exit")},
    files_by_split=False,
)
