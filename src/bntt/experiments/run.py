"""One training run: train, validate after every epoch, keep the best, and measure the test split at the end.

A run directory holds ``recipe.toml`` (resolved), ``environment.json``, ``metrics.jsonl`` (a line an epoch),
``checkpoints/``, TensorBoard events where tensorboard is installed and, once evaluated, ``evaluation.json``.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bntt.analysis import Evaluation, GammaProfile, evaluate, gamma_profile
from bntt.data import SampleLoader
from bntt.experiments.build import Parts, build_model
from bntt.experiments.environment import environment
from bntt.experiments.identity import MEASURING, RESUMING, check_same_data, check_same_recipe
from bntt.experiments.recipe import Recipe, RecipeError, dump_recipe
from bntt.experiments.tracking import event_writer
from bntt.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
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
    """Since the run began, validation included, interruptions not."""
    best: bool
    """Whether no earlier epoch validated as well."""


@dataclass(frozen=True)
class RunResult:
    """The best epoch's network, measured."""

    epoch: int
    split: str
    dataset: str
    evaluation: Evaluation
    gamma: GammaProfile


@dataclass(frozen=True)
class RunDirectory:
    """Where a run's files are."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def checkpoint(self, which: Literal["best", "last"]) -> Path:
        return self.path / "checkpoints" / f"{which}.safetensors"


def new_run_directory(name: str, root: Path) -> RunDirectory:
    """``root/name``, or ``root/name-2`` and so on: no run is ever overwritten."""
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        (folder / "checkpoints").mkdir()
        return RunDirectory(folder)
    raise AssertionError("there is always a next number")


def find_run(path: Path) -> RunDirectory:
    """The run in this directory.

    Raises:
        CheckpointError: if there is none.
    """
    run = RunDirectory(path)
    if not run.recipe.is_file():
        raise CheckpointError(f"{path} is not a run directory: it has no recipe.toml")
    return run


def check_resumable(recipe: Recipe, run: RunDirectory, data: Parts | None = None) -> None:
    """Look whether the run can go on with this recipe and, where they are read already, these images.

    Raises:
        CheckpointError: if no epoch was finished, or recipe or data are not those that the run began with.
    """
    if not run.checkpoint("last").exists():
        raise CheckpointError(f"{run.path} has not finished an epoch yet: there is nothing to resume, start anew")
    check_same_recipe(recipe, run.checkpoint("last"), RESUMING)
    if data is not None:
        check_same_data(run.path, data.manifest)


def train_run(
    recipe: Recipe, data: Parts, run: RunDirectory, *, resume: bool = False, device: str = "cpu"
) -> Iterator[StepRecord | EpochResult]:
    """Train as the recipe says; yields every step and, with its validation accuracy, every epoch.

    With ``resume``, training goes on after the last epoch that was saved, with the same numbers as if it had never
    stopped: order, augmentation and noise are functions of the epoch.

    Raises:
        CheckpointError: if the run cannot be resumed, or recipe or data are not those that it began with.
    """
    if resume:
        check_resumable(recipe, run, data)
    written = dump_recipe(recipe)
    model = build_model(recipe, data, device)
    settings = recipe.train
    optimizer = sgd(model, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    done, best, seconds = 0, -1.0, 0.0
    if resume:
        notes = load_checkpoint(run.checkpoint("last"), model, optimizer, needs=("epoch", "best", "seconds"))
        done, best, seconds = int(notes["epoch"]) + 1, float(notes["best"]), float(notes["seconds"])
        _keep_epochs(run.metrics, done)
    else:
        run.recipe.write_text(written, encoding="utf-8")
    _write_environment(run, data, device, done)
    loader, held_out = _loaders(recipe, data, device)
    records = fit(
        model,
        loader,
        epochs=settings.epochs,
        lr=settings.lr,
        lr_drops=settings.lr_drops,
        seed=recipe.seed,
        optimizer=optimizer,
        start_epoch=done,
    )
    began = time.monotonic() - seconds
    with run.metrics.open("a", encoding="utf-8") as metrics, event_writer(run.path) as write_events:
        for record in records:
            if isinstance(record, StepRecord):
                yield record
                continue
            accuracy = evaluate(model, held_out, seed=recipe.seed, draws=1).accuracy.mean
            result = _epoch_result(record, accuracy, time.monotonic() - began, accuracy > best)
            best = max(best, accuracy)
            notes = {"epoch": str(result.epoch), "best": repr(best), "seconds": repr(result.seconds), "recipe": written}
            if result.best:
                save_checkpoint(run.checkpoint("best"), model, optimizer, notes)
            metrics.write(json.dumps(asdict(result)) + "\n")
            metrics.flush()
            save_checkpoint(run.checkpoint("last"), model, optimizer, notes)  # last: a resumed run cuts what is beyond
            write_events(result.epoch, asdict(result))
            yield result


def _loaders(recipe: Recipe, data: Parts, device: str) -> tuple[SampleLoader, SampleLoader]:
    """Of the training images, in a new order every epoch, and of the validation images."""
    training = SampleLoader(
        data.train,
        recipe.train.batch_size,
        shuffle=True,
        augment=recipe.data.augment,
        seed=recipe.seed,
        device=device,
    )
    return training, SampleLoader(data.validation, recipe.evaluate.batch_size, device=device)


def evaluate_run(
    recipe: Recipe,
    data: Parts,
    run: RunDirectory,
    *,
    split: Literal["test", "validation"] = "test",
    draws: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
) -> RunResult:
    """Measure the best epoch of a run on every image of a split and write ``evaluation.json`` (test) beside it.

    Raises:
        CheckpointError: if recipe or data are not those that the run was trained with.
        RecipeError: if more than one draw is asked for where nothing is drawn.
    """
    draws = draws_of(recipe, draws)
    check_same_recipe(recipe, run.checkpoint("best"), MEASURING)
    check_same_data(run.path, data.manifest)
    if recipe.compute.precision == "bf16-grad":  # without gradients it is fp32, which every machine has
        recipe = recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"precision": "fp32"})})
    model = build_model(recipe, data, device)
    notes = load_checkpoint(run.checkpoint("best"), model, needs=("epoch",))
    images = data.test if split == "test" else data.validation
    loader = SampleLoader(images, recipe.evaluate.batch_size, device=device)
    evaluation = evaluate(model, loader, seed=recipe.seed, draws=draws, progress=progress)
    result = RunResult(int(notes["epoch"]), split, data.label, evaluation, gamma_profile(model.network))
    name = "evaluation.json" if split == "test" else f"evaluation-{split}.json"
    (run.path / name).write_text(json.dumps(as_json(result), indent=1) + "\n", encoding="utf-8")
    return result


def draws_of(recipe: Recipe, asked: int | None = None) -> int:
    """How often every image is measured: as often as asked, or as the recipe says; once where nothing is drawn.

    Raises:
        RecipeError: if more than one draw is asked for where nothing is drawn.
    """
    if recipe.encoder.name != "direct":
        return recipe.evaluate.draws if asked is None else asked
    if asked is not None and asked > 1:
        raise RecipeError(
            f"--draws {asked}: direct coding draws nothing (encoder.name = 'direct'), every pass would be the same; "
            f"leave --draws away"
        )
    return 1


def as_json(result: RunResult) -> dict[str, object]:
    """The numbers of a result with their names, ready for ``json``."""
    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    return {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "images": accuracy.samples,
        "draws": len(accuracy.correct),
        "accuracy": accuracy.mean,
        "accuracy_sd_over_draws": accuracy.spread,
        "accuracy_wilson_95": accuracy.interval,
        "accuracy_per_draw": accuracy.per_draw,
        "accuracy_over_time": accuracy.over_time,
        "gamma_magnitude": {name: row.tolist() for name, row in result.gamma.magnitude.items()},
        "gamma_signed": {name: row.tolist() for name, row in result.gamma.signed.items()},
        "firing_rate": {name: activity.rate(name).tolist() for name in activity.spikes},
        "spikes_per_image": activity.spikes_per_sample(),
    }


def _epoch_result(record: EpochRecord, accuracy: float, seconds: float, best: bool) -> EpochResult:
    return EpochResult(record.epoch, record.loss, record.accuracy, accuracy, record.lr, seconds, best)


def _keep_epochs(metrics: Path, done: int) -> None:
    """Drop lines of epochs that no checkpoint holds, as a kill between two writes can leave them."""
    if not metrics.is_file():
        raise CheckpointError(f"{metrics} is missing: this run cannot be resumed")
    lines = metrics.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["epoch"] < done]
    metrics.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _write_environment(run: RunDirectory, data: Parts, device: str, done: int) -> None:
    """What this start ran on; a resumed run has a file for each start."""
    facts = {**environment(), "device": device, "data": asdict(data.manifest)}
    name = f"environment-from-epoch-{done + 1}.json" if done else "environment.json"
    (run.path / name).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
