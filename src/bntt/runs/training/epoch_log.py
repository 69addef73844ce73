"""Records that a run emits while it trains: epochs, notices, and warnings before the first update."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bntt.analysis import Evaluation, gamma_profile, health, untrained_activity
from bntt.data import SampleLoader
from bntt.engine.kernels import find_backend
from bntt.runs.evaluation import combine_activities
from bntt.runs.recipe.schema import Recipe
from bntt.training.session import EpochRecord, Session, StepRecord


@dataclass(frozen=True)
class EpochResult:
    """Results of an epoch and the validation after it."""

    epoch: int
    """Number of the epoch, from 0."""
    train_loss: float
    """Mean loss of the training samples, taken while the weights changed."""
    train_accuracy: float
    """Share of the training samples that were classified correctly."""
    validation_accuracy: float | None
    """Validation accuracy; None if this epoch was not validated."""
    lr: float
    """Learning rate of the epoch's first update."""
    updates: int
    """Optimiser updates since the run began."""
    seconds: float
    """Seconds since the run began, including validation but not interruptions."""
    best: bool
    """True if no earlier epoch validated as well."""
    gamma: dict[str, float]
    """Mean |γ| of each layer over steps and channels."""
    firing_rate: dict[str, float]
    """Spikes per neuron and step of each layer in validation; empty without validation."""
    steps: int
    """T of this epoch and its validation; below the network's while a training grows."""
    validation_loss: float | None = None
    """Mean cross entropy of the validation part; None if this epoch was not validated."""

    def __str__(self) -> str:
        accuracy = self.validation_accuracy
        validated = "" if accuracy is None else f"validation {accuracy:.1%}  "
        return f"loss {self.train_loss:.3f}  train {self.train_accuracy:.1%}  {validated}lr {self.lr:.3g}"


@dataclass(frozen=True)
class Notice:
    """A one-line message to the user."""

    text: str


TrainingRecord = StepRecord | EpochResult | Notice


def machine_facts(session: Session) -> dict[str, Any]:
    """Return the facts, apart from the recipe, that affect rounding of sums."""
    kernels = find_backend("cpu")
    return {
        "device": str(next(session.model.parameters()).device),
        "processes": session.processes.count,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "kernels": kernels.detail if kernels.available else "none",
    }


def resume_notices(
    changed: Mapping[str, tuple[Any, Any]], recipe: Recipe, facts: Mapping[str, Any], session: Session
) -> Iterator[Notice]:
    """Yield a line for each difference since the run stopped, and for the point where it resumes."""
    for key, (then, now) in changed.items():
        yield Notice(f"{key} is {now!r} from here on, it was {then!r}")
    done, epochs = facts["epochs_done"], recipe.train.epochs
    if "train.epochs" in changed and session.rates is not None:
        lr = session.optimizer.param_groups[0]["initial_lr"]  # the recipe's, or that of your own optimizer
        rates = [lr * session.rates.factor(epoch, 0) for epoch in range(done, epochs)]
        yield Notice(f"rates from epoch {done + 1} on: {', '.join(f'{rate:.3g}' for rate in rates)}")
    ran, runs = {"processes": 1, **facts["machine"]}, machine_facts(session)
    other = [f"{key} is {runs[key]}, it was {ran.get(key)}" for key in runs if ran.get(key) != runs[key]]
    if other:
        yield Notice(f"warning: {', '.join(other)}: sums may round differently, so the bits will not be the same")
    if done >= epochs:
        yield Notice(f"all {epochs} epochs are done: there is nothing to train")
    else:
        now = session.position
        yield Notice(f"resuming in epoch {done + 1} of {epochs}, after update {now.updates}")


def epoch_result(
    record: EpochRecord, session: Session, evaluation: Evaluation | None, best: float | None, seconds: float
) -> EpochResult:
    """Combine the results of an epoch and its validation."""
    accuracy = None if evaluation is None else evaluation.accuracy.mean
    gammas = gamma_profile(session.measured.network).magnitude
    return EpochResult(
        record.epoch,
        record.loss,
        record.accuracy,
        accuracy,
        record.lr,
        session.position.updates,
        seconds,
        session.grown and accuracy is not None and (best is None or accuracy > best),
        {name: float(row.mean()) for name, row in gammas.items()},
        firing_rates(evaluation),
        session.steps,
        None if evaluation is None else evaluation.loss,
    )


def firing_rates(evaluation: Evaluation | None) -> dict[str, float]:
    """Return spikes per neuron and step of each layer; empty without an evaluation."""
    if evaluation is None:
        return {}
    activity = evaluation.activity
    return {name: float(activity.rate(name).mean()) for name in activity.spikes}


def describe_jump(record: StepRecord) -> str:
    """Describe a loss that jumped: its value, the update and the samples."""
    shown = ", ".join(map(str, record.jumped[:8])) + (", ..." if len(record.jumped) > 8 else "")
    where = f"epoch {record.epoch + 1}, update {record.step + 1}"
    return f"warning: the loss jumped to {record.loss:.3g} in {where}, with the training samples {shown}"


def no_better_than_chance(result: EpochResult, images: int, classes: int) -> Iterator[Notice]:
    """Yield a line if an epoch's training accuracy is within three standard deviations of ``1 / classes``."""
    chance = 1 / classes
    within = chance + 3 * math.sqrt(chance * (1 - chance) / images)
    if classes > 1 and images >= 100 * classes and result.train_accuracy <= within:
        yield Notice(
            f"warning: epoch {result.epoch + 1} learned nothing: {100 * result.train_accuracy:.1f} % of {images:,} "
            f"training images are right (by chance {100 * chance:.3g} %), the loss is {result.train_loss:.4f} (by "
            f"chance {math.log(classes):.4f}); try another train.lr, and look for layers without spikes"
        )


def is_out_of_memory(error: object) -> bool:
    """Return True for a lack of memory, which PyTorch raises on a CPU as a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


@contextmanager
def explain_out_of_memory(recipe: Recipe) -> Iterator[None]:
    """Add to an out-of-memory error what was requested, and what would take less; change no setting silently."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            error.add_note(
                f"a batch of train.batch_size={recipe.train.batch_size} samples with network.num_steps="
                f"{recipe.network.num_steps} does not fit the free memory: take a smaller batch (`bntt train RECIPE "
                f"--fit-batch` measures which fits), fewer steps, or compute.recompute=K, which keeps K steps at a "
                f"time in blocks on the kernels; a run that has a checkpoint can be resumed from it"
            )
        raise


def startup_warnings(session: Session, training: SampleLoader) -> Iterator[Notice]:
    """Yield warnings before the first update: layers with faults on a batch."""
    model, batch = session.model, next(training.epoch(0))
    activity = untrained_activity(model, batch.inputs, index=batch.indices, seed=session.seed)
    for fault in health(combine_activities(activity, session.processes), model.network):
        yield Notice(f"warning, before training: {fault.text}")


def updates_to_forget(average: float | None) -> int:
    """Return the updates after which a moving average holds at most 5 % of the initial weights; 0 without one."""
    return math.ceil(math.log(0.05) / math.log(average)) if average else 0
