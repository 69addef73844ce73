"""Early exit of each sample, on a trained run: calibrated on validation, timed beside plain evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from bntt.analysis import (
    Accuracy,
    Choice,
    Operations,
    SampleChoice,
    SampleExits,
    choose_sample_exit,
    count_operations,
    exit_each,
    record_running,
)
from bntt.analysis.exit.early_exit import ROUNDING, choice_at
from bntt.analysis.energy.operations import Synaptic
from bntt.analysis.accuracy.batches import Leaves
from bntt.analysis.exit.sample_exit import CRITERIA, Criterion, leaving
from bntt.runs.measures.exits import Asked, measure_split
from bntt.runs.open_run import LoadedRun


@dataclass(frozen=True)
class SampleExitResult:
    """Samples that leave by themselves, by every criterion, beside all that stop alike."""

    asked: Asked
    dataset: str
    choices: dict[Criterion, SampleChoice]
    exits: dict[Criterion, SampleExits]
    seconds: dict[Criterion, float]
    """Of the pass over the split."""
    truncated: Accuracy
    """Of all samples stopped alike after every number of steps."""
    whole_seconds: float
    """Of a pass of all steps."""
    alike: dict[Criterion, Choice]
    """The fewest steps for all alike that are at least as right on validation, or as right as any."""
    alike_seconds: dict[int, float]
    """Of a pass of so many steps."""
    operations: dict[Criterion, Operations]
    """Of those who were still there."""
    whole_operations: Operations


PASSES = 2 + 3 * len(CRITERIA)
"""Over the split: timed, with all steps, by every criterion and with those of all alike; and to count operations."""


def sample_exit_run(
    loaded: LoadedRun, asked: Asked, *, progress: Callable[[int], None] = lambda images: None
) -> SampleExitResult:
    """Choose a threshold for every criterion on validation; measure accuracy, steps and time on the split.

    Args:
        progress: called with the number of images of every batch, of all passes.

    Raises:
        ValueError: on a loss that is negative or no number.
    """
    model, recipe, draws = loaded.model, loaded.recipe, asked.draws
    running = record_running(model, loaded.loader("validation"), seed=recipe.seed, draws=draws, progress=progress)
    choices = {criterion: choose_sample_exit(running, criterion, asked.loss) for criterion in CRITERIA}
    over_time = tuple(running.right.double().mean(0).tolist())
    alike = {criterion: _alike(over_time, choice) for criterion, choice in choices.items()}

    def timed(steps: int | None) -> tuple[Accuracy, float]:
        began = time.perf_counter()
        found = measure_split(loaded, asked.split, asked, steps=steps, progress=progress)
        return found, time.perf_counter() - began

    truncated, whole = timed(None)
    exits, seconds = dict[Criterion, SampleExits](), dict[Criterion, float]()
    for criterion, choice in choices.items():
        loader, began = loaded.loader(asked.split), time.perf_counter()
        exits[criterion] = exit_each(
            model, loader, criterion, choice.threshold, seed=recipe.seed, draws=draws, progress=progress
        )
        seconds[criterion] = time.perf_counter() - began
    counts = {choice.steps for choice in alike.values()}
    alike_seconds = {count: timed(count)[1] for count in sorted(counts)}
    progress((len(CRITERIA) - len(counts)) * truncated.samples * draws)

    def counted(leaves: Leaves | None) -> Operations:
        loader = loaded.loader(asked.split)
        return count_operations(model, loader, seed=recipe.seed, draws=draws, leaves=leaves, progress=progress)

    operations = {criterion: counted(leaving(criterion, choice.threshold)) for criterion, choice in choices.items()}
    return SampleExitResult(
        asked,
        loaded.data.label,
        choices,
        exits,
        seconds,
        truncated,
        whole,
        alike,
        alike_seconds,
        operations,
        counted(None),
    )


def _alike(over_time: tuple[float, ...], choice: SampleChoice) -> Choice:
    """The fewest steps for all alike that are as right on validation as samples that leave by themselves, or as any."""
    wanted = min(choice.accuracy, max(over_time)) - ROUNDING
    return choice_at(over_time, 1 + next(t for t, share in enumerate(over_time) if share >= wanted), None)


def sample_exit_rows(result: SampleExitResult) -> list[dict[str, object]]:
    """A row for every criterion."""
    rows = list[dict[str, object]]()
    for criterion, choice in result.choices.items():
        exits, alike = result.exits[criterion], result.alike[criterion]
        rows.append(
            {
                "criterion": criterion,
                "threshold": choice.threshold if math.isfinite(choice.threshold) else None,
                "validation_accuracy": choice.accuracy,
                "validation_lost": choice.lost,
                f"{result.asked.split}_accuracy": exits.accuracy,
                "mean_steps": exits.mean_steps,
                "spikes_per_image": float(exits.spikes.sum()),
                "seconds": result.seconds[criterion],
                **_synaptic("", result.operations[criterion].synaptic()),
                "alike_steps": alike.steps,
                f"alike_{result.asked.split}_accuracy": result.truncated.over_time[alike.steps - 1],
                "alike_seconds": result.alike_seconds[alike.steps],
                **_synaptic("alike_", result.whole_operations.synaptic(alike.steps)),
            }
        )
    return rows


def _synaptic(who: str, work: Synaptic) -> dict[str, float]:
    return {f"{who}additions_per_image": work.additions, f"{who}macs_per_image": work.macs}


def sample_exit_json(result: SampleExitResult) -> dict[str, object]:
    """The numbers of a result with their names."""
    return {
        "dataset": result.dataset,
        "split": result.asked.split,
        "loss_allowed": result.asked.loss,
        "images": result.truncated.samples,
        "draws": len(result.truncated.correct),
        "whole_accuracy": result.truncated.mean,
        "whole_steps": len(result.truncated.over_time),
        "whole_seconds": result.whole_seconds,
        **_synaptic("whole_", result.whole_operations.synaptic()),
        "accuracy_over_time": result.truncated.over_time,
        "criteria": sample_exit_rows(result),
        "leave_after_step": {criterion: exits.distribution for criterion, exits in result.exits.items()},
    }
