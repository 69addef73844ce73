"""Measure the early exit of one run: one for all samples, by γ, or one for each sample, by its certainty.

Both are chosen on validation and measured on the requested split.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import evaluate
from bntt.analysis.energy.measure import operations_of
from bntt.analysis.energy.operations import Operations
from bntt.analysis.exit.early_exit import (
    ROUNDING,
    Choice,
    LossBudgetError,
    NoGammaError,
    choice_at,
    choose_exit,
    choose_truncation,
    envelope,
    exit_step,
    threshold_ranges,
)
from bntt.analysis.exit.gamma import GammaProfile, gamma_profile
from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.exit.result import PAPER_THRESHOLD, READINGS, ExitResult, GridRow, Reading, Stop
from bntt.analysis.exit.sample_exit import (
    CRITERIA,
    SampleChoice,
    choose_sample_exit,
    exit_each,
    leave_when,
    record_running,
)
from bntt.analysis.exit.sample_result import Criterion, SampleExitResult
from bntt.analysis.measurement import ArgumentError, Opened, Progress, Split, draws_of, origin

Found = TypeVar("Found")


def measure_exit(opened: Opened, arguments: ExitArguments, progress: Progress) -> ExitResult:
    """Choose the exit on validation, by every reading of γ and by truncation, and measure it on the split.

    Raises:
        ArgumentError: if the network has no γ for each step; raised before anything is measured.
        LossBudgetError: if no threshold stays within the loss.
    """
    profile = gamma_profile(opened.model.network)
    try:
        stated = None if arguments.threshold is None else exit_step(profile, arguments.threshold)
        lines = envelope(profile).tolist()
    except NoGammaError as error:
        raise ArgumentError(f"{opened.path}: {error}; --per-sample needs no γ either") from None
    draws = draws_of(opened.facts, arguments.draws)
    splits = tuple[Split, ...](dict.fromkeys(("validation", arguments.split)))
    progress.expect(draws * sum(len(opened.loader(split).places) for split in splits))
    measured = {split: accuracy_of(opened, split, draws, progress) for split in splits}
    over_time, loss = measured["validation"].over_time, arguments.loss / 100
    readings = {reading: _chosen(profile, over_time, loss, reading) for reading in READINGS}
    if stated is None:
        chosen = readings["magnitude"] or choose_exit(profile, over_time, loss)  # its error states the smallest loss
    else:
        chosen = choice_at(over_time, stated, arguments.threshold)
    with warnings.catch_warnings(action="ignore"):
        paper = choice_at(over_time, exit_step(profile, PAPER_THRESHOLD), PAPER_THRESHOLD)

    def stop(choice: Choice) -> Stop:
        values = {"steps": choice.steps, "threshold": choice.threshold}
        return Stop.model_validate(values | _accuracies(measured, choice.steps, lost=True))

    tested: dict[str, Any] = {"test_images": measured["test"].samples} if "test" in measured else {}
    return ExitResult(
        **origin(opened, arguments),
        steps=chosen.steps,
        threshold=chosen.threshold,
        chosen_on="validation" if stated is None else "stated",
        loss_allowed=loss,
        data_sha256=opened.data_sha256,
        weights_sha256=opened.weights_sha256,
        num_steps=len(over_time),
        validation_images=measured["validation"].samples,
        draws=draws,
        **tested,
        chosen=stop(chosen),
        by_reading={reading: stop(choice) if choice else None for reading, choice in readings.items()},
        truncation=stop(choose_truncation(over_time, loss)),
        paper_threshold=stop(paper),
        grid=_grid(profile, lines, measured),
        deviation={name: row.tolist() for name, row in profile.deviation.items()},
        gamma_magnitude={name: row.tolist() for name, row in profile.magnitude.items()},
        gamma_signed={name: row.tolist() for name, row in profile.signed.items()},
        gamma_relative={name: row.tolist() for name, row in profile.relative.items()},
        driven={name: (steps.start, steps.stop) for name, steps in profile.driven.items()},
    )


def accuracy_of(opened: Opened, split: Split, draws: int, progress: Progress, *, steps: int | None = None) -> Accuracy:
    """Measure accuracy over time on every image of a split, over ``steps`` steps; all of them by default."""
    loader = opened.loader(split)
    return evaluate(opened.model, loader, seed=opened.seed, draws=draws, steps=steps, progress=progress).accuracy


def _chosen(profile: GammaProfile, over_time: Sequence[float], loss: float, reading: Reading) -> Choice | None:
    try:
        return choose_exit(profile, over_time, loss, reading)
    except LossBudgetError:
        return None


def _accuracies(measured: dict[Split, Accuracy], steps: int, *, lost: bool = False) -> dict[str, float | None]:
    """Tabulate the accuracies of each split if stopped after ``steps`` steps, under their names in files."""
    found = dict[str, float | None]()
    for split, accuracy in measured.items():
        here, whole = accuracy.over_time[steps - 1], accuracy.over_time[-1]
        found |= {f"{split}_accuracy": here} | ({f"{split}_lost": whole - here} if lost else {})
    return found


def _grid(profile: GammaProfile, lines: list[float], measured: dict[Split, Accuracy]) -> list[GridRow]:
    """Build a row for every number of steps: its accuracy, and the thresholds that stop there."""
    reachable = {stretch.steps: (stretch.above, stretch.to) for stretch in threshold_ranges(profile)}
    rows = []
    for steps, line in enumerate(lines, 1):
        above, to = reachable.get(steps, (None, None))
        thresholds = {"largest_mean_gamma": line, "threshold_above": above, "threshold_to": to}
        rows.append(GridRow.model_validate({"steps": steps} | thresholds | _accuracies(measured, steps)))
    return rows


def measure_sample_exit(opened: Opened, arguments: ExitArguments, progress: Progress) -> SampleExitResult:
    """Choose a threshold for every criterion on validation; measure accuracy, steps, operations and time on the split.

    Each criterion is compared with one exit for all samples: the fewest steps that are as accurate on validation, or
    that reach the best accuracy of any step if the criterion is more accurate than that.
    """
    model, split, draws = opened.model, arguments.split, draws_of(opened.facts, arguments.draws)
    images = draws * len(opened.loader(split).places)
    progress.expect(draws * len(opened.loader("validation").places) + (2 + 2 * len(CRITERIA)) * images)
    options: dict[str, Any] = {"seed": opened.seed, "draws": draws, "progress": progress}
    running = record_running(model, opened.loader("validation"), **options)
    choices = [choose_sample_exit(running, criterion, arguments.loss / 100) for criterion in CRITERIA]
    alike = [_steps_as_accurate(running.right.double().mean(0).tolist(), choice) for choice in choices]
    progress.expect(len(set(alike)) * images)
    accuracy, whole_seconds = _timed(partial(accuracy_of, opened, split, draws, progress))
    exits = [
        _timed(partial(exit_each, model, opened.loader(split), choice.criterion, choice.threshold, **options))
        for choice in choices
    ]
    seconds = {
        steps: _timed(partial(accuracy_of, opened, split, draws, progress, steps=steps))[1]
        for steps in sorted(set(alike))
    }
    whole = operations_of(opened, split, **options)
    criteria = []
    for choice, (left, took), steps in zip(choices, exits, alike, strict=True):
        leaves = leave_when(choice.criterion, choice.threshold)
        found = {
            "criterion": choice.criterion,
            "threshold": choice.threshold,
            "validation_accuracy": choice.accuracy,
            "validation_lost": choice.lost,
            f"{split}_accuracy": left.accuracy,
            "mean_steps": left.mean_steps,
            "spikes_per_image": float(left.spikes.sum()),
            "seconds": took,
            "alike_steps": steps,
            f"alike_{split}_accuracy": accuracy.over_time[steps - 1],
            "alike_seconds": seconds[steps],
        }
        own = _operations("", operations_of(opened, split, leaves=leaves, **options))
        criteria.append(Criterion.model_validate(found | own | _operations("alike_", whole, steps)))
    return SampleExitResult(
        **origin(opened, arguments),
        loss_allowed=arguments.loss / 100,
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


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    """Return the result of a pass, and its seconds."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _steps_as_accurate(over_time: Sequence[float], choice: SampleChoice) -> int:
    """Find the fewest steps for all samples that are as accurate as individual exits, or reach the best accuracy."""
    wanted = min(choice.accuracy, max(over_time)) - ROUNDING
    return 1 + next(t for t, share in enumerate(over_time) if share >= wanted)


def _operations(prefix: str, work: Operations, steps: int | None = None) -> dict[str, Any]:
    found = work.synaptic(steps)
    return {f"{prefix}additions_per_image": found.additions, f"{prefix}macs_per_image": found.macs}
