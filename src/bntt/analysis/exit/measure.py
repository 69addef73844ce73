"""The early exit of one run, read from γ: chosen on validation, and measured on the split that is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import evaluate
from bntt.analysis.exit.early_exit import (
    PAPER_THRESHOLD,
    READINGS,
    Choice,
    LossBudgetError,
    NoGammaError,
    Reading,
    choice_at,
    choose_exit,
    choose_truncation,
    envelope,
    exit_step,
    stretches,
)
from bntt.analysis.exit.gamma import GammaProfile, gamma_profile
from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.exit.result import ExitResult, GridRow, Stop
from bntt.analysis.measurement import ArgumentError, Opened, Progress, Split, draws_of


def measure_exit(opened: Opened, asked: ExitArguments, progress: Progress) -> ExitResult:
    """Choose on validation where to stop, by every reading of γ and by truncation, and measure it on the split.

    Raises:
        ArgumentError: if the network has no γ for each step; before anything is measured.
        LossBudgetError: if no threshold keeps the loss.
    """
    profile = gamma_profile(opened.model.network)
    try:
        stated = None if asked.threshold is None else exit_step(profile, asked.threshold)
        lines = envelope(profile).tolist()
    except NoGammaError as error:
        raise ArgumentError(f"{opened.path}: {error}; --per-sample needs no γ either") from None
    draws, splits = draws_of(opened.facts, asked.draws), tuple[Split, ...](dict.fromkeys(("validation", asked.split)))
    progress.expect(draws * sum(len(opened.loader(split).places) for split in splits))
    measured = {split: accuracy_of(opened, split, draws, progress) for split in splits}
    over_time, loss = measured["validation"].over_time, asked.loss / 100
    readings = {reading: _chosen(profile, over_time, loss, reading) for reading in READINGS}
    if stated is None:
        chosen = readings["magnitude"] or choose_exit(profile, over_time, loss)  # which says what the gentlest loses
    else:
        chosen = choice_at(over_time, stated, asked.threshold)
    with warnings.catch_warnings(action="ignore"):
        paper = choice_at(over_time, exit_step(profile, PAPER_THRESHOLD), PAPER_THRESHOLD)

    def stop(choice: Choice) -> Stop:
        values = {"steps": choice.steps, "threshold": choice.threshold}
        return Stop.model_validate(values | _accuracies(measured, choice.steps, lost=True))

    return ExitResult(
        arguments=asked,
        dataset=opened.dataset,
        split=asked.split,
        epoch=opened.epoch,
        steps=chosen.steps,
        threshold=chosen.threshold,
        chosen_on="validation" if stated is None else "stated",
        loss_allowed=loss,
        data_sha256=opened.data_sha256,
        weights_sha256=opened.weights_sha256,
        num_steps=len(over_time),
        validation_images=measured["validation"].samples,
        draws=draws,
        **({"test_images": measured["test"].samples} if "test" in measured else {}),
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
    """Accuracy over time on every image of a split, of so many steps; all of them by default."""
    loader = opened.loader(split)
    return evaluate(opened.model, loader, seed=opened.seed, draws=draws, steps=steps, progress=progress).accuracy


def _chosen(profile: GammaProfile, over_time: Sequence[float], loss: float, reading: Reading) -> Choice | None:
    try:
        return choose_exit(profile, over_time, loss, reading)
    except LossBudgetError:
        return None


def _accuracies(measured: dict[Split, Accuracy], steps: int, *, lost: bool = False) -> dict[str, float | None]:
    """What each split gives when stopped after so many steps, by the names that a file has for it."""
    found = dict[str, float | None]()
    for split, accuracy in measured.items():
        here, whole = accuracy.over_time[steps - 1], accuracy.over_time[-1]
        found |= {f"{split}_accuracy": here} | ({f"{split}_lost": whole - here} if lost else {})
    return found


def _grid(profile: GammaProfile, lines: list[float], measured: dict[Split, Accuracy]) -> list[GridRow]:
    """A row for every number of steps: accuracy when stopped there, and which thresholds stop there."""
    reachable = {stretch.steps: (stretch.above, stretch.to) for stretch in stretches(profile)}
    rows = []
    for steps, line in enumerate(lines, 1):
        above, to = reachable.get(steps, (None, None))
        thresholds = {"largest_mean_gamma": line, "threshold_above": above, "threshold_to": to}
        rows.append(GridRow.model_validate({"steps": steps} | thresholds | _accuracies(measured, steps)))
    return rows
