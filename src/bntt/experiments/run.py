"""One training run: train, validate after every epoch, keep the best, and measure the test split at the end.

A run directory holds ``recipe.toml`` (resolved), ``environment.json``, ``metrics.jsonl`` (a line an epoch),
``checkpoints/`` and, once evaluated, ``evaluation.json``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bntt.analysis import Evaluation, GammaProfile, evaluate, gamma_profile
from bntt.data import ImageLoader
from bntt.experiments.build import Parts, build_model
from bntt.experiments.environment import environment
from bntt.experiments.recipe import Recipe, dump_recipe
from bntt.training.checkpoint import load_checkpoint, save_checkpoint
from bntt.training.fit import EpochRecord, StepRecord, fit
from bntt.training.optimizer import sgd


@dataclass(frozen=True)
class EpochResult:
    """An epoch and what the validation part said after it."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float
    lr: float
    seconds: float
    """Since the run began, validation included."""
    best: bool
    """Whether no earlier epoch validated better."""


@dataclass(frozen=True)
class RunResult:
    """The best epoch's network, measured on the test split."""

    epoch: int
    evaluation: Evaluation
    gamma: GammaProfile


def new_run_directory(name: str, root: Path) -> Path:
    """``root/name``, or ``root/name-2`` and so on: no run is ever overwritten."""
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            (folder / "checkpoints").mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def train_run(recipe: Recipe, data: Parts, folder: Path) -> Iterator[StepRecord | EpochResult]:
    """Train as the recipe says; yields every step and, with its validation accuracy, every epoch."""
    model = build_model(recipe, data)
    (folder / "recipe.toml").write_text(dump_recipe(recipe), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment(), indent=1) + "\n", encoding="utf-8")
    settings = recipe.train
    optimizer = sgd(model, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    loader = ImageLoader(data.train, settings.batch_size, shuffle=True, augment=recipe.data.augment, seed=recipe.seed)
    held_out = ImageLoader(data.validation, recipe.evaluate.batch_size)
    records = fit(
        model,
        loader,
        epochs=settings.epochs,
        lr=settings.lr,
        lr_drops=settings.lr_drops,
        seed=recipe.seed,
        optimizer=optimizer,
    )
    began, best = time.monotonic(), -1.0
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        for record in records:
            if isinstance(record, StepRecord):
                yield record
                continue
            accuracy = evaluate(model, held_out, seed=recipe.seed, draws=1).accuracy.mean
            result = _epoch_result(record, accuracy, time.monotonic() - began, accuracy > best)
            notes = {"epoch": str(record.epoch)}
            save_checkpoint(folder / "checkpoints" / "last.safetensors", model, optimizer, notes)
            if result.best:
                best = accuracy
                save_checkpoint(folder / "checkpoints" / "best.safetensors", model, optimizer, notes)
            metrics.write(json.dumps(asdict(result)) + "\n")
            metrics.flush()
            yield result


def _epoch_result(record: EpochRecord, accuracy: float, seconds: float, best: bool) -> EpochResult:
    return EpochResult(record.epoch, record.loss, record.accuracy, accuracy, record.lr, seconds, best)


def evaluate_run(
    recipe: Recipe, data: Parts, folder: Path, progress: Callable[[int], None] = lambda images: None
) -> RunResult:
    """Measure the best epoch of a run on every test image and write ``evaluation.json``."""
    model = build_model(recipe, data)
    notes = load_checkpoint(folder / "checkpoints" / "best.safetensors", model)
    loader = ImageLoader(data.test, recipe.evaluate.batch_size)
    evaluation = evaluate(model, loader, seed=recipe.seed, draws=recipe.evaluate.draws, progress=progress)
    result = RunResult(int(notes["epoch"]), evaluation, gamma_profile(model.network))
    (folder / "evaluation.json").write_text(json.dumps(as_json(result), indent=1) + "\n", encoding="utf-8")
    return result


def as_json(result: RunResult) -> dict[str, object]:
    """The numbers of a result with their names, ready for ``json``."""
    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    return {
        "epoch": result.epoch,
        "images": accuracy.images,
        "draws": len(accuracy.correct),
        "accuracy": accuracy.mean,
        "accuracy_sd_over_draws": accuracy.spread,
        "accuracy_wilson_95": accuracy.interval,
        "accuracy_per_draw": accuracy.per_draw,
        "accuracy_over_time": accuracy.over_time,
        "gamma_magnitude": {name: row.tolist() for name, row in result.gamma.magnitude.items()},
        "gamma_signed": {name: row.tolist() for name, row in result.gamma.signed.items()},
        "firing_rate": {name: activity.rate(name).tolist() for name in activity.spikes},
        "spikes_per_image": activity.spikes_per_image(),
    }
