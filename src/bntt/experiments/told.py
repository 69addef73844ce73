"""What a run tells of itself while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bntt.experiments.schema import Recipe
from bntt.training.records import StepRecord
from bntt.training.session import Session


@dataclass(frozen=True)
class EpochResult:
    """An epoch and what the validation part said after it."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    """None where this epoch was not validated."""
    lr: float
    seconds: float
    """Since the run began, validation included, interruptions not."""
    best: bool
    """Whether no earlier epoch validated as well."""
    gamma: dict[str, float]
    """Mean |γ| of each layer over steps and channels."""
    firing_rate: dict[str, float]
    """Spikes per neuron and step of each layer in validation; empty without one."""


@dataclass(frozen=True)
class Notice:
    """Something that a user should know, in one line."""

    text: str


Told = StepRecord | EpochResult | Notice


def differences(
    changed: Mapping[str, tuple[Any, Any]], recipe: Recipe, facts: Mapping[str, Any], session: Session
) -> Iterator[Notice]:
    """What is not as it was when the run stopped, one line each, and where it goes on."""
    for key, (then, now) in changed.items():
        yield Notice(f"{key} is {now!r} from here on, it was {then!r}")
    done, epochs = facts["epochs_done"], recipe.train.epochs
    if "train.epochs" in changed and session.rates is not None:
        rates = [recipe.train.lr * session.rates.factor(epoch, 0) for epoch in range(done, epochs)]
        yield Notice(f"rates from epoch {done + 1} on: {', '.join(f'{rate:.3g}' for rate in rates)}")
    if facts["threads"] != torch.get_num_threads():
        yield Notice(
            f"warning: {torch.get_num_threads()} threads, it ran on {facts['threads']}: sums may round differently, "
            f"so this is not the run to the bit that it would have been"
        )
    if done >= epochs:
        yield Notice(f"all {epochs} epochs are done: there is nothing to train")
    else:
        now = session.position
        yield Notice(f"going on in epoch {done + 1} of {epochs}, after update {now.updates}")


def jump_of(record: StepRecord) -> str:
    """A line that names the loss that jumped, where, and with which samples."""
    shown = ", ".join(map(str, record.jumped[:8])) + (", ..." if len(record.jumped) > 8 else "")
    where = f"epoch {record.epoch + 1}, step {record.step + 1}"
    return f"warning: the loss jumped to {record.loss:.3g} in {where}, with the training samples {shown}"
