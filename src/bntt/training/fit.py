"""The training loop (paper Algorithm 2): encode, run, cross entropy, back-propagate through time, step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, optim

from bntt.nn.classifier import SpikingClassifier
from bntt.nn.samples import Loader, samples
from bntt.nn.statistics import hold_statistics
from bntt.training.guard import check_finite
from bntt.training.objective import cross_entropy
from bntt.training.optimizer import PAPER_DROPS, drops_reached, sgd


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
    """Of the optimiser's first group, in this step."""


@dataclass(frozen=True)
class EpochRecord:
    """One whole epoch."""

    epoch: int
    loss: float
    """Mean over the epoch's samples, each taken before its update."""
    accuracy: float
    lr: float
    """Of the optimiser's first group, when the epoch began."""


def fit(
    model: SpikingClassifier,
    loader: Loader,
    *,
    epochs: int,
    lr: float = 0.3,
    lr_drops: Sequence[int] | None = None,
    weight_decay: float = 5e-4,
    seed: int = 0,
    optimizer: optim.Optimizer | None = None,
    start_epoch: int = 0,
) -> Iterator[StepRecord | EpochRecord]:
    """Train while the result is iterated: a record after every step and every epoch; nothing happens unless asked for.

    Between two records the model may be measured.

    Args:
        model: trained in place; put into training mode before every step.
        loader: a ``bntt.data.SampleLoader`` (its true indices and ``draw = epoch`` make the noise), or any iterable of
            ``(inputs, labels)`` such as a torch ``DataLoader``, whose samples are numbered as they come.
        epochs: of the whole schedule.
        lr, weight_decay: of the default optimiser, the paper's SGD.
        lr_drops: percentages of ``epochs`` at which every group's rate falls to a tenth; the paper's 50, 70 and 90 for
            the default optimiser. Without it the rates of your own optimiser are yours: nothing here changes them.
        seed: of the encoder's noise.
        optimizer: yours, instead of the default. With ``lr_drops``, the schedule begins at the rates that its groups
            have when training starts.
        start_epoch: how many epochs of the schedule are already done; the groups' ``initial_lr``, which the beginning
            of a schedule leaves there, is then its first rate.

    Raises:
        NonFiniteError: on a loss or gradient that is not finite, before weights or running statistics are touched.
        ValueError: on a label outside the classes, or a loader that gives no batch.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500, shuffle=True)
    >>> [type(record).__name__ for record in bntt.fit(model, loader, epochs=1)]
    ['StepRecord', 'StepRecord', 'EpochRecord']
    """
    if epochs < 1 or not 0 <= start_epoch <= epochs:
        raise ValueError(f"epochs must be 1 or more and start_epoch from 0 to epochs, got {epochs} and {start_epoch}")
    if optimizer is None:
        optimizer = sgd(model, lr=lr, weight_decay=weight_decay)
        lr_drops = PAPER_DROPS if lr_drops is None else lr_drops
    return _epochs(model, loader, optimizer, range(start_epoch, epochs), epochs, lr_drops, seed)


def _epochs(
    model: SpikingClassifier,
    loader: Loader,
    optimizer: optim.Optimizer,
    todo: range,
    epochs: int,
    lr_drops: Sequence[int] | None,
    seed: int,
) -> Iterator[StepRecord | EpochRecord]:
    for epoch in todo:
        if lr_drops is not None:
            _set_rates(optimizer, epoch, epochs, lr_drops)
        first_rate = _rate(optimizer)
        loss_sum, correct, seen = 0.0, 0, 0
        for step, batch in enumerate(samples(loader, epoch)):
            rate = _rate(optimizer)
            loss, hits = _step(model, optimizer, *batch, seed=seed, draw=epoch)
            count = len(batch[1])
            loss_sum, correct, seen = loss_sum + loss * count, correct + hits, seen + count
            yield StepRecord(epoch, step, loss, hits, count, rate)
        if not seen:
            raise ValueError(
                f"the loader gave 0 training batches in epoch {epoch + 1}: it must be iterable every epoch"
            )
        yield EpochRecord(epoch, loss_sum / seen, correct / seen, first_rate)


def _set_rates(optimizer: optim.Optimizer, epoch: int, epochs: int, lr_drops: Sequence[int]) -> None:
    """The schedule's rates of an epoch; its first epoch takes the groups' rates as the schedule's first."""
    for group in optimizer.param_groups:
        if epoch == 0:
            group["initial_lr"] = group["lr"]
        first = group.setdefault("initial_lr", group["lr"])
        group["lr"] = first / 10 ** drops_reached(epoch, epochs, lr_drops)


def _rate(optimizer: optim.Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _step(
    model: SpikingClassifier,
    optimizer: optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    index: Tensor,
    *,
    seed: int,
    draw: int,
) -> tuple[float, int]:
    """Forward, backward, update: ``(loss, correct answers)``. Statistics move with the weights, or not at all."""
    model.train()
    device = next(model.parameters()).device
    labels = labels.to(device)
    with hold_statistics(model) as held:
        logits = model(inputs.to(device), seed=seed, index=index, draw=draw)
    loss = cross_entropy(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    check_finite(model, loss.detach())
    optimizer.step()
    held.take_in()
    return float(loss.detach()), int((logits.detach().argmax(1) == labels).sum())
