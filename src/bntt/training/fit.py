"""The training loop (paper Algorithm 2): encode, run, cross entropy, back-propagate through time, step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, optim

from bntt.nn.classifier import SpikingClassifier
from bntt.training.guard import check_finite
from bntt.training.objective import cross_entropy
from bntt.training.optimizer import learning_rate, sgd

Samples = tuple[Tensor, Tensor, Tensor]
"""``(images, labels, index)``, index naming each sample in its dataset."""


@runtime_checkable
class EpochLoader(Protocol):
    """A loader whose order and augmentation are a function of the epoch, such as ``bntt.data.ImageLoader``."""

    def __len__(self) -> int: ...

    def epoch(self, draw: int) -> Iterator[Samples]: ...


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step."""

    epoch: int
    """0-based."""
    step: int
    """0-based, within the epoch."""
    loss: float
    correct: int
    samples: int
    lr: float


@dataclass(frozen=True)
class EpochRecord:
    """One whole epoch."""

    epoch: int
    loss: float
    """Mean over the epoch's images, each taken before its update."""
    accuracy: float
    lr: float


def fit(
    model: SpikingClassifier,
    loader: EpochLoader | Iterable[tuple[Tensor, Tensor]],
    *,
    epochs: int,
    lr: float = 0.3,
    lr_drops: Sequence[int] = (50, 70, 90),
    weight_decay: float = 5e-4,
    seed: int = 0,
    optimizer: optim.Optimizer | None = None,
    start_epoch: int = 0,
) -> Iterator[StepRecord | EpochRecord]:
    """Train, yielding a record after every step and every epoch; between two records the model may be measured.

    Args:
        model: trained in place; put into training mode before every step.
        loader: an :class:`EpochLoader` (its true indices and ``draw = epoch`` make the noise), or any iterable of
            ``(images, labels)`` such as a torch ``DataLoader``, whose samples are numbered as they come.
        epochs: of the whole schedule.
        lr: the first learning rate, set on the optimiser at every epoch's start.
        lr_drops: percentages of ``epochs`` at which it falls to a tenth.
        weight_decay: of the default optimiser, the paper's SGD.
        seed: of the encoder's noise.
        optimizer: yours, instead of the default.
        start_epoch: how many epochs of the schedule are already done.

    Raises:
        NonFiniteError: on a loss or gradient that is not finite, before the update.
        ValueError: on a label outside the classes, or a loader without batches.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2), net, mean=[0.29], std=[0.35])
    >>> loader = bntt.data.ImageLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500, shuffle=True)
    >>> [type(record).__name__ for record in bntt.fit(model, loader, epochs=1)]
    ['StepRecord', 'StepRecord', 'EpochRecord']
    """
    optimizer = optimizer or sgd(model, lr=lr, weight_decay=weight_decay)
    device = next(model.parameters()).device
    for epoch in range(start_epoch, epochs):
        rate = learning_rate(epoch, lr=lr, epochs=epochs, drops=lr_drops)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss_sum, correct, seen = 0.0, 0, 0
        for step, (images, labels, index) in enumerate(_samples(loader, epoch)):
            model.train()
            labels = labels.to(device)
            logits = model(images.to(device), seed=seed, index=index, draw=epoch)
            loss = cross_entropy(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            check_finite(model, loss.detach())
            optimizer.step()
            hits = int((logits.detach().argmax(1) == labels).sum())
            record = StepRecord(epoch, step, float(loss.detach()), hits, len(labels), rate)
            loss_sum, correct, seen = loss_sum + record.loss * len(labels), correct + hits, seen + len(labels)
            yield record
        if not seen:
            raise ValueError("the loader gave 0 training batches")
        yield EpochRecord(epoch, loss_sum / seen, correct / seen, rate)


def _samples(loader: EpochLoader | Iterable[tuple[Tensor, Tensor]], epoch: int) -> Iterator[Samples]:
    """An epoch's batches with their indices; a plain loader's samples are numbered in the order they come."""
    if isinstance(loader, EpochLoader):
        yield from loader.epoch(epoch)
        return
    first = 0
    for images, labels in loader:
        yield images, labels, torch.arange(first, first + len(labels))
        first += len(labels)
