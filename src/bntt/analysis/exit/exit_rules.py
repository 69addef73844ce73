"""Early exit of each sample individually: samples that are certain enough leave the batch, the others continue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bntt.analysis.accuracy.batches import ExitRule, advance_batch
from bntt.analysis.accuracy.evaluation import check_labels, check_logits, presented
from bntt.analysis.exit.early_exit import ROUNDING, check_loss
from bntt.engine.graph.layer import CHUNK_BYTES
from bntt.nn.fusion.plan import samples_at_once
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Measure, evaluating
from bntt.nn.network.spiking_network import STEPS_AT_ONCE

Criterion = Literal["confidence", "margin", "entropy"]
CRITERIA: tuple[Criterion, ...] = ("confidence", "margin", "entropy")
CANDIDATES = 500
"""Number of thresholds tried for a choice: quantiles of the observed values."""


def certainty(logits: Float[Tensor, "... K"], criterion: Criterion) -> Float[Tensor, "..."]:
    """Return the certainty of a network, from 0 to 1, with p the softmax of its logits so far."""
    if logits.shape[-1] == 1:
        return torch.ones_like(logits[..., 0])
    if criterion == "entropy":
        logs = logits.log_softmax(-1)
        return (1 + (logs.exp() * logs).sum(-1) / math.log(logits.shape[-1])).clamp(0, 1)  # rounding
    best = logits.softmax(-1).topk(2, dim=-1).values
    return best[..., 0] if criterion == "confidence" else best[..., 0] - best[..., 1]


def exit_rule(criterion: Criterion, threshold: float) -> ExitRule:
    """Return the rule by which samples leave: all whose certainty reaches the threshold."""
    return lambda logits: certainty(logits, criterion) >= threshold


def _check_criterion(criterion: str) -> None:
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}: choose one of {', '.join(CRITERIA)}")


@dataclass(frozen=True)
class Running:
    """Certainty and correctness of every presentation of a sample after each step, for choosing a threshold."""

    certainty: dict[Criterion, Float[Tensor, "N T"]]
    right: Bool[Tensor, "N T"]
    """True if the class was right after step t."""


@torch.no_grad()
def record_running(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> Running:
    """Return certainty, by each criterion, and correctness at every step of every sample, in evaluation mode.

    Each is a tensor ``[N, T]``; N counts every draw of a sample. The model is left unchanged.

    Args:
        model, batches, seed, draws, progress: as :func:`~bntt.analysis.evaluate`'s, with the same noise.

    Raises:
        ValueError: if there are no samples, a label is not a class, or draws is below 1.
        NonFiniteError: on weights, statistics or logits that are not finite.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=4)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> record_running(model, loader).right.shape
    torch.Size([1000, 4])
    """
    check_classifier(model, "record_running() takes")
    right, sure = list[Tensor](), {criterion: list[Tensor]() for criterion in CRITERIA}
    for _, inputs, labels, noise in presented(model, batches, "look at", seed, draws, progress):
        logits = model.trace(inputs, **noise).logits
        check_labels(labels, logits.shape[2])
        check_logits(logits)
        right.append((logits.argmax(2) == labels.to(inputs.device)).T.cpu())
        for criterion, found in sure.items():
            found.append(certainty(logits, criterion).T.cpu())
    return Running({criterion: torch.cat(found) for criterion, found in sure.items()}, torch.cat(right))


def exits_at(sure: Float[Tensor, "N T"], threshold: float) -> Int[Tensor, " N"]:
    """Return the number of steps after which each sample leaves: the first at which it is that certain, or all."""
    leaves = sure >= threshold
    leaves[:, -1] = True
    return leaves.to(torch.uint8).argmax(1) + 1


@dataclass(frozen=True)
class SampleChoice:
    """A threshold for each sample's exit, as chosen on validation; returned by :func:`choose_sample_exit`."""

    criterion: Criterion
    """What is compared with the threshold."""
    threshold: float
    """The threshold; ∞ if no sample may leave early."""
    accuracy: float
    """Accuracy on validation."""
    lost: float
    """Accuracy lost on validation compared with all steps."""
    mean_steps: float
    """Mean number of steps over the samples."""


def choose_sample_exit(running: Running, criterion: Criterion, loss: float) -> SampleChoice:
    """Return the threshold with the fewest mean steps among those within the allowed loss; 500 quantiles are tried.

    Args:
        running: certainty and correctness at every step, from :func:`record_running`.
        criterion: what is compared with the threshold.
        loss: the largest allowed loss, as a share: 0.005 is half a point.

    Raises:
        ValueError: on another criterion, or a loss that is no share.

    >>> seen = Running({"margin": torch.tensor([[0.1, 0.9], [0.6, 0.9]])}, torch.tensor([[False, True], [True, True]]))
    >>> choose_sample_exit(seen, "margin", 0.0).mean_steps
    1.5
    """
    _check_criterion(criterion)
    check_loss(loss)
    sure, right = running.certainty[criterion], running.right
    whole = float(right[:, -1].double().mean())
    early = sure[:, :-1].flatten().double().sort().values
    last = len(early) - 1  # beyond 2²⁴ float32 rounds it up
    places = torch.linspace(0, last, min(CANDIDATES, len(early))).round().long().clamp(max=last)
    choices = []
    for threshold in (math.inf, *sorted(set(early[places].tolist()))):
        steps = exits_at(sure, threshold)
        accuracy = float(right.gather(1, steps[:, None] - 1).double().mean())
        choices.append(SampleChoice(criterion, threshold, accuracy, whole - accuracy, float(steps.double().mean())))
    return min((one for one in choices if one.lost <= loss + ROUNDING), key=lambda one: one.mean_steps)


@dataclass(frozen=True)
class SampleExits:
    """Answers and exit times of samples that left individually; returned by :func:`exit_each`.

    Every draw of a sample counts separately.
    """

    classes: Int[Tensor, " N"]
    """The predicted class of each."""
    right: Bool[Tensor, " N"]
    """True where that class is the label."""
    steps: Int[Tensor, " N"]
    """Number of steps after which each left."""
    spikes: Float[Tensor, " T"]
    """Spikes of all layers at each step, of the samples still present, per presentation of a sample."""
    num_steps: int
    """T."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.right.double().mean())

    @property
    def mean_steps(self) -> float:
        """Mean number of steps."""
        return float(self.steps.double().mean())

    @property
    def distribution(self) -> tuple[float, ...]:
        """The share of samples that left after 1, 2, ... T steps."""
        counts = self.steps.bincount(minlength=self.num_steps + 1)[1:]
        return tuple((counts / len(self.steps)).tolist())


@torch.no_grad()
def exit_each(
    model: SpikingClassifier,
    batches: Loader,
    criterion: Criterion,
    threshold: float,
    *,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> SampleExits:
    """Return answers and exit times: samples whose :func:`certainty` reaches the threshold leave with their class.

    The model runs step by step and is left unchanged. A sample's noise does not depend on which others have left: it
    gets the answer that it would get alone.

    Args:
        model: the classifier.
        batches, seed, draws, progress: as for :func:`~bntt.analysis.evaluate`.
        criterion: what is compared with the threshold.
        threshold: 0 or more; ∞ lets no sample leave early.

    Raises:
        ValueError: on a threshold that is negative or NaN, draws below 1, or if there are no samples.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=4)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> exit_each(model, loader, "margin", 0.0).mean_steps
    1.0
    """
    check_classifier(model, "exit_each() takes")
    if not threshold >= 0:
        raise ValueError(f"a threshold of certainty must be 0 or above, got {threshold}")
    _check_criterion(criterion)
    total, rule = model.encoder.num_steps, exit_rule(criterion, threshold)
    classes, right, steps = list[Tensor](), list[Tensor](), list[Tensor]()
    spikes = torch.zeros(total, dtype=torch.float64)
    with evaluating(model):
        for inputs, labels, noise in _merged(model, presented(model, batches, "classify", seed, draws, progress)):
            answer, left = (torch.zeros(len(labels), dtype=torch.int64, device=inputs.device) for _ in range(2))
            for step, part in enumerate(advance_batch(model, inputs, Measure(spikes=True), noise, leaves=rule)):
                spikes[step] += sum(float(one.spikes.sum()) for one in part.measured.values() if one.spikes is not None)
                check_labels(labels, part.logits.shape[2])
                check_logits(part.logits)
                answer[part.there], left[part.there] = part.logits[-1].argmax(1), step + 1
            classes.append(answer.cpu())
            right.append(classes[-1] == labels.cpu())
            steps.append(left.cpu())
    return SampleExits(torch.cat(classes), torch.cat(right), torch.cat(steps), spikes / sum(map(len, steps)), total)


def _merged(
    model: SpikingClassifier, batches: Iterable[tuple[int, Tensor, Tensor, dict[str, Any]]]
) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """Merge as many batches of a draw as fill the memory of a pass: a step of few samples takes as long as one of many.

    Answers do not change: neither a sample nor its noise depends on the rest of the batch.
    """
    for _, group in groupby(batches, key=lambda one: (one[0], one[1].shape[1:])):
        for batch in (alike := iter(group)):
            _, inputs, _, noise = batch
            shape = model.encoder(inputs[:1], **{**noise, "index": noise["index"][:1]}, steps=range(1)).shape
            full = min(
                samples_at_once(model.network.plan(shape), shape[2:]),
                STEPS_AT_ONCE * len(inputs),
                CHUNK_BYTES // max(1, inputs[0].nbytes),
            )
            some = chain([batch], islice(alike, max(0, full // len(inputs) - 1)))
            own = [(x.clone(), y.clone(), told["index"].clone()) for _, x, y, told in some]  # loaders may reuse tensors
            inputs, labels, index = map(torch.cat, zip(*own, strict=True))
            yield inputs, labels, {**noise, "index": index}
