"""Early exit of a trained run: chosen on validation, reported on the split asked for, kept beside the weights."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context
from typing import Any

from bntt.io.json_file import read_json
from bntt.io.digest import digest
from bntt.analysis import (
    Accuracy,
    Choice,
    GammaProfile,
    LossBudgetError,
    choose_exit,
    choose_truncation,
    evaluate,
    exit_step,
    gamma_profile,
    stretches,
)
from bntt.analysis.exit.early_exit import PAPER_THRESHOLD, READINGS, Reading, choice_at, envelope
from bntt.io.json_file import parse_json
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import trained_on, weights_hash
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.datasets import Split
from bntt.io.checkpoint import CheckpointError

STEM = "exit"
"""Of the files that keep what was chosen."""


@dataclass(frozen=True)
class Asked:
    """What is asked of an early exit."""

    loss: float = 0.005
    """The share of accuracy that may be lost on validation."""
    split: Split = "test"
    """Where it is measured."""
    draws: int = 1
    """How often every image is."""


@dataclass(frozen=True)
class ExitResult:
    """What an early exit gives, read from γ and by truncation."""

    asked: Asked
    profile: GammaProfile
    validation: Accuracy
    reported: Accuracy
    """On the split that was asked for."""
    dataset: str
    chosen: Choice
    """By mean |γ|, or by the threshold that was stated."""
    stated: bool
    """Whether the threshold was stated and not chosen."""
    by_reading: dict[Reading, Choice | None]
    """The choice by every reading of γ; None where no threshold keeps the loss."""
    truncation: Choice
    """The fewest steps that keep the loss, whatever γ says."""
    paper: Choice
    """Of the paper's threshold, 0.1."""


def exit_run(
    loaded: LoadedRun,
    asked: Asked,
    *,
    threshold: float | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> ExitResult:
    """Choose on validation where to stop, and measure it on the split.

    Args:
        threshold: take this one instead of choosing.

    Raises:
        NoGammaError: if the network has no γ for each step; before anything is measured.
        LossBudgetError: if no threshold keeps the loss.
        ValueError: on a threshold or loss that is negative or no number.
    """
    profile = gamma_profile(loaded.model.network)
    envelope(profile)  # raises where there is no γ
    fixed = None if threshold is None else exit_step(profile, threshold)
    splits: tuple[Split, ...] = ("validation", asked.split)
    measured = {split: measure_split(loaded, split, asked, progress=progress) for split in dict.fromkeys(splits)}
    over_time = measured["validation"].over_time
    by_reading = {reading: _chosen(profile, over_time, asked.loss, reading) for reading in READINGS}
    if fixed is None:
        chosen = by_reading["magnitude"] or choose_exit(profile, over_time, asked.loss)
    else:
        chosen = choice_at(over_time, fixed, threshold)
    with warnings.catch_warnings(action="ignore"):
        paper = choice_at(over_time, exit_step(profile, PAPER_THRESHOLD), PAPER_THRESHOLD)
    return ExitResult(
        asked,
        profile,
        measured["validation"],
        measured[asked.split],
        loaded.data.label,
        chosen,
        fixed is not None,
        by_reading,
        choose_truncation(over_time, asked.loss),
        paper,
    )


def measure_split(
    loaded: LoadedRun,
    split: Split,
    asked: Asked,
    *,
    steps: int | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Accuracy:
    """Accuracy over time on every image of a split."""
    loader = loaded.loader(split)
    seed = loaded.recipe.seed
    return evaluate(loaded.model, loader, seed=seed, draws=asked.draws, steps=steps, progress=progress).accuracy


def _chosen(profile: GammaProfile, over_time: tuple[float, ...], loss: float, reading: Reading) -> Choice | None:
    try:
        return choose_exit(profile, over_time, loss, reading)
    except LossBudgetError:
        return None


def exit_rows(result: ExitResult) -> list[dict[str, object]]:
    """The grid, a row for every number of steps: accuracy when stopped there, and which thresholds stop there."""
    lines = envelope(result.profile).tolist()
    thresholds = {stretch.steps: stretch for stretch in stretches(result.profile)}
    rows = list[dict[str, object]]()
    for t, (validation, reported) in enumerate(
        zip(result.validation.over_time, result.reported.over_time, strict=True)
    ):
        stretch = thresholds.get(t + 1)
        rows.append(
            {
                "steps": t + 1,
                "largest_mean_gamma": _finite(lines[t]),
                "threshold_above": None if stretch is None else stretch.above,
                "threshold_to": None if stretch is None else _finite(stretch.to),
                "validation_accuracy": validation,
                f"{result.asked.split}_accuracy": reported,
            }
        )
    return rows


def exit_json(result: ExitResult, loaded: LoadedRun) -> dict[str, object]:
    """The numbers of a result with their names, and what they belong to: weights and data."""

    def told(choice: Choice | None) -> dict[str, object] | None:
        if choice is None:
            return None
        reported = result.reported.over_time
        return {
            "steps": choice.steps,
            "threshold": None if choice.threshold is None else _finite(choice.threshold),
            "validation_accuracy": choice.accuracy,
            "validation_lost": choice.lost,
            f"{result.asked.split}_accuracy": reported[choice.steps - 1],
            f"{result.asked.split}_lost": reported[-1] - reported[choice.steps - 1],
        }

    profile = result.profile
    return {
        "steps": result.chosen.steps,
        "threshold": None if result.chosen.threshold is None else _finite(result.chosen.threshold),
        "chosen_on": "stated" if result.stated else "validation",
        "loss_allowed": result.asked.loss,
        "dataset": result.dataset,
        "data_sha256": trained_on(loaded.path)["sha256"],
        "weights_sha256": weights_hash(RunDirectory(loaded.path)),
        "split": result.asked.split,
        "num_steps": len(result.validation.over_time),
        "validation_images": result.validation.samples,
        "draws": len(result.validation.correct),
        f"{result.asked.split}_images": result.reported.samples,
        "chosen": told(result.chosen),
        "by_reading": {reading: told(choice) for reading, choice in result.by_reading.items()},
        "truncation": told(result.truncation),
        "paper_threshold": told(result.paper),
        "grid": exit_rows(result),
        "deviation": {name: row.tolist() for name, row in profile.deviation.items()},
        "gamma_magnitude": {name: row.tolist() for name, row in profile.magnitude.items()},
        "gamma_signed": {name: row.tolist() for name, row in profile.signed.items()},
        "gamma_relative": {name: row.tolist() for name, row in profile.relative.items()},
        "driven": {name: [steps.start, steps.stop] for name, steps in profile.driven.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def threshold_told(threshold: float | None, *, stated: bool = False) -> str:
    """A threshold in four figures, rounded down: whoever states it stops no earlier than by the threshold itself.

    >>> threshold_told(0.50651639), threshold_told(1e9, stated=True), threshold_told(None)
    ('0.5065', '1e+09', '')
    """
    if threshold is None or stated or not math.isfinite(threshold):
        return "" if threshold is None else f"{threshold:g}"
    return f"{float(Context(prec=4, rounding=ROUND_FLOOR).create_decimal(repr(threshold))):g}"
