"""Early exit of each sample of one run: calibrated on validation, timed beside plain evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.batches import Leaves
from bntt.analysis.energy.operations import Operations, count_operations
from bntt.analysis.exit.early_exit import ROUNDING
from bntt.analysis.exit.measure import accuracy_of
from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.exit.sample_exit import (
    CRITERIA,
    SampleChoice,
    SampleExits,
    choose_sample_exit,
    exit_each,
    leaving,
    record_running,
)
from bntt.analysis.exit.sample_result import Criterion, SampleExitResult
from bntt.analysis.measurement import Opened, Progress, draws_of

A = TypeVar("A")
Found = TypeVar("Found")


def measure_sample_exit(opened: Opened, asked: ExitArguments, progress: Progress) -> SampleExitResult:
    """Choose a threshold for every criterion on validation; measure accuracy, steps, operations and time on the split.

    Each criterion stands beside the fewest steps for all alike that are as right on validation, or as right as any.
    """
    model, seed, split, draws = opened.model, opened.seed, asked.split, draws_of(opened.facts, asked.draws)
    images = draws * len(opened.loader(split).places)
    progress.expect(draws * len(opened.loader("validation").places) + (2 + 2 * len(CRITERIA)) * images)
    running = record_running(model, opened.loader("validation"), seed=seed, draws=draws, progress=progress)
    choices = [choose_sample_exit(running, criterion, asked.loss / 100) for criterion in CRITERIA]
    over_time = running.right.double().mean(0).tolist()
    alike = [_as_right(over_time, choice) for choice in choices]
    progress.expect(len(set(alike)) * images)

    def truncated(steps: int | None) -> Accuracy:
        return accuracy_of(opened, split, draws, progress, steps=steps)

    def by_itself(choice: SampleChoice) -> SampleExits:
        loader, threshold = opened.loader(split), choice.threshold
        return exit_each(model, loader, choice.criterion, threshold, seed=seed, draws=draws, progress=progress)

    def counted(leaves: Leaves | None) -> Operations:
        loader = opened.loader(split)
        return count_operations(model, loader, seed=seed, draws=draws, leaves=leaves, progress=progress)

    accuracy, whole_seconds = _timed(truncated, None)
    exits = [_timed(by_itself, choice) for choice in choices]
    seconds = {steps: _timed(truncated, steps)[1] for steps in sorted(set(alike))}
    operations, whole = [counted(leaving(choice.criterion, choice.threshold)) for choice in choices], counted(None)
    criteria = []
    for choice, (left, took), work, steps in zip(choices, exits, operations, alike, strict=True):
        beside = {"alike_steps": steps, "alike_seconds": seconds[steps]} | _operations("alike_", whole, steps)
        beside[f"alike_{split}_accuracy"] = accuracy.over_time[steps - 1]
        itself = {f"{split}_accuracy": left.accuracy, "seconds": took} | _operations("", work)
        criteria.append(_criterion(choice, left, itself | beside))
    return SampleExitResult(
        arguments=asked,
        dataset=opened.dataset,
        split=split,
        epoch=opened.epoch,
        loss_allowed=asked.loss / 100,
        images=accuracy.samples,
        draws=draws,
        whole_accuracy=accuracy.mean,
        whole_steps=len(accuracy.over_time),
        whole_seconds=whole_seconds,
        **_operations("whole_", whole),
        accuracy_over_time=accuracy.over_time,
        criteria=criteria,
        leave_after_step={row.criterion: left.distribution for row, (left, _) in zip(criteria, exits, strict=True)},
    )


def _criterion(choice: SampleChoice, left: SampleExits, measured: dict[str, float]) -> Criterion:
    values = {
        "criterion": choice.criterion,
        "threshold": choice.threshold,
        "validation_accuracy": choice.accuracy,
        "validation_lost": choice.lost,
        "mean_steps": left.mean_steps,
        "spikes_per_image": float(left.spikes.sum()),
    }
    return Criterion.model_validate(values | measured)


def _timed(work: Callable[[A], Found], argument: A) -> tuple[Found, float]:
    """What a pass finds, and its seconds."""
    began = time.perf_counter()
    return work(argument), time.perf_counter() - began


def _as_right(over_time: Sequence[float], choice: SampleChoice) -> int:
    """The fewest steps for all alike that are as right as samples that leave by themselves, or as any."""
    wanted = min(choice.accuracy, max(over_time)) - ROUNDING
    return 1 + next(t for t, share in enumerate(over_time) if share >= wanted)


def _operations(of: str, work: Operations, steps: int | None = None) -> dict[str, float]:
    found = work.synaptic(steps)
    return {f"{of}additions_per_image": found.additions, f"{of}macs_per_image": found.macs}
