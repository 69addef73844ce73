"""Accuracy over time with its spread and interval, together with γ and firing rates."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Draws, Measurement

Longer = Literal["hold", "interpolate", "re-estimate"]
"""γ and statistics for steps beyond training: "hold" repeats those of the last step, "interpolate" stretches those of
all steps, "re-estimate" holds γ and re-estimates the statistics of all steps from training batches."""


@dataclass(frozen=True)
class EvaluateArguments:
    """The flags of bntt evaluate."""

    draws: Draws | None = None
    """Number of draws, each with fresh noise; by default the recipe's (5 by default), or 1 if nothing is random."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, stratified by class; by default the recipe's (all by default)."""
    split: Literal["test", "validation", "train"] = "test"
    """Split to measure; choices are always made on validation. "train": the training images, without augmentation."""
    exit: bool = False
    """Stop after the number of steps that bntt exit RUN chose."""
    num_steps: int | None = None
    """Use another T than in training: a smaller T keeps the first steps (truncate), a larger one needs --longer."""
    longer: Longer | None = None
    """Fill added steps from the last step ("hold"), by stretching all steps ("interpolate"), or by "re-estimate".

    "re-estimate" holds γ and measures the statistics of all steps on 20 training batches.
    """

    def __post_init__(self) -> None:
        if self.num_steps is not None and self.exit:
            raise ArgumentError("--exit and --num-steps both say when to stop: pass only one of them")
        if self.longer is not None and self.num_steps is None:
            raise ArgumentError(f"--longer {self.longer} needs a number of steps: --num-steps")


def variant(arguments: EvaluateArguments) -> str:
    """Name the settings in which a measurement differs from the default.

    >>> variant(EvaluateArguments(split="validation", num_steps=16, longer="hold", images=100))
    'validation-16-steps-hold-100-images'
    """
    parts = {
        arguments.split: arguments.split != "test",
        "exit": arguments.exit,
        f"{arguments.num_steps}-steps-{arguments.longer or 'truncate'}": arguments.num_steps is not None,
        f"{arguments.images}-images": arguments.images is not None,
    }
    return "-".join(part for part, there in parts.items() if there)


EVALUATE = Measurement(
    "evaluate",
    """Evaluate a run's best epoch on every image, with fresh noise in every draw.

    Writes evaluation.json and evaluation.png; evaluation-validation.* for the other split, evaluation-exit.* with
    --exit, evaluation-T-steps-HOW.* with --num-steps T, and evaluation-N-images.* with --images N.

    Example: bntt evaluate runs/fashion-mnist --draws 10""",
    EvaluateArguments,
    "result:EvaluationResult",
    lambda run, arguments, progress: run.evaluate(arguments, progress),
    needs_spikes=False,
    variant=variant,
    files_by_split=False,
    file="evaluation",
)
