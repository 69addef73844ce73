"""Accuracy over time and spike activity in one pass over a test set; comparison of two networks on the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bntt.analysis.accuracy import Accuracy
from bntt.doors import OldName
from bntt.nn.blocks import SpikingLayer
from bntt.nn.network.classifier import SpikingClassifier, check_answers, check_classifier
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.measured import Measure, Measured, watching
from bntt.nn.network.spiking_network import STEPS_AT_ONCE
from bntt.nn.tensor_checks import NonFiniteError, first_non_finite

ExitRule = Callable[[Tensor], Tensor]
"""Logits ``[B, K]`` of the remaining samples → mask of those that leave, ``[B]``."""
FIRST_DRAW = 1 << 32
"""First draw number of evaluation, so that its noise never coincides with that of a training epoch."""


@dataclass(frozen=True)
class Activity:
    """Spikes of every layer, step and channel, summed over all ``presentations`` of samples.

    >>> import torch
    >>> Activity(2, {"conv1": torch.tensor([[3.0], [1.0]])}, {"conv1": 4}).rate("conv1")
    tensor([0.3750, 0.1250])
    """

    presentations: int
    """Samples times draws."""
    spikes: dict[str, Tensor]
    """``[T, C]`` for each layer."""
    neurons: dict[str, int]
    """Neurons of each layer."""
    images = OldName("images", "presentations")
    spikes_per_image = OldName("spikes_per_image", "spikes_per_sample")

    def rate(self, layer: str) -> Tensor:
        """Return the firing rate at every step, ``[T]``: spikes per neuron, 0 to 1."""
        return self.spikes[layer].sum(1) / (self.presentations * self.neurons[layer])

    def spike_rate(self, layer: str) -> float:
        """Return Supplement D's S_l: the spikes of the layer over all T steps, per neuron and sample."""
        return float(self.spikes[layer].sum() / (self.presentations * self.neurons[layer]))

    def spikes_per_sample(self) -> float:
        """Count the spikes of all layers and steps, per sample."""
        return sum(float(counts.sum()) for counts in self.spikes.values()) / self.presentations


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation; returned by :func:`evaluate`."""

    accuracy: Accuracy
    """Accuracy after every step."""
    activity: Activity
    """Spikes of every layer."""
    right: Bool[Tensor, "draws N"]
    """True where the answer after the last step was right. Samples are in the loader's order; to compare networks
    image by image (:func:`paired`), the loader must not shuffle."""
    loss: float
    """Mean cross entropy of the logits after the last step."""


def evaluate(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draws: int = 5,
    steps: int | None = None,
    part: bool = False,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """Return accuracy and activity over all samples, each shown ``draws`` times with fresh noise, in evaluation mode.

    The model is left unchanged.

    Args:
        model: the classifier to evaluate.
        batches: a ``SampleLoader``, or any iterable of ``(inputs, labels)`` that can be iterated again.
        seed: of the noise; draw d of the evaluation is the noise's ``draw`` number 2**32 + d.
        draws: number of times each sample is shown, 1 or more.
        steps: number of steps to run, 1 to T; fewer take less time. All T by default.
        part: True to take a loader with a ``share``: one process's part of the samples.
        progress: called after every batch, with its number of samples.

    Raises:
        NonFiniteError: if weights, statistics or logits are not finite; argmax would still return a class.
        TypeError: if the model is not a classifier, a hook or ``forward`` of your own on it or its network would be
            bypassed, or the samples of a batch are not a tensor.
        ValueError: if there are no samples, ``draws`` is below 1, ``steps`` is not 1 to T, or a label is not a class.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> evaluate(model, loader, draws=2).accuracy.samples
    1000
    """
    check_classifier(model, "evaluate() takes")
    hits, answers, spikes, neurons = dict[int, Tensor](), list[Tensor](), dict[str, Tensor](), dict[str, int]()
    loss = torch.zeros((), dtype=torch.float64)
    for number, inputs, labels, noise in presented(model, batches, "evaluate", seed, draws, progress, part=part):
        trace = model.trace(inputs, steps=steps, **noise)
        right = right_answers(trace.logits, labels)
        add_to(hits, number, right.sum(1))
        answers.append(right[-1].cpu())
        loss += cross_entropy(trace.logits[-1], labels.to(inputs.device), reduction="sum").cpu()
        for name, counts in trace.spikes.items():
            add_to(spikes, name, counts)
        neurons = trace.neurons
    right = torch.cat(answers).view(draws, -1)
    activity = Activity(right.numel(), {name: counts.cpu() for name, counts in spikes.items()}, neurons)
    return Evaluation(counted(hits, right.shape[1]), activity, right, float(loss) / right.numel())


def presented(
    model: SpikingClassifier,
    batches: Loader,
    what: str,
    seed: int,
    draws: int,
    progress: Callable[[int], None],
    *,
    draw: int = FIRST_DRAW,
    part: bool = False,
) -> Iterator[tuple[int, Tensor, Tensor, dict[str, Any]]]:
    """Yield every batch of every draw: number of the draw, inputs on the model's device, labels, and their noise."""
    check_draws(draws)
    if not part and (share := getattr(batches, "share", (0, 1))) != (0, 1):
        raise ValueError(f"the loader has only the share {share} of its samples: give one of all of them")
    check_answers(model, "analyses take")
    check_weights(model)
    device = next(model.parameters()).device
    for number in range(draws):
        seen = 0
        for inputs, labels, index in samples(batches, 0):
            if len(labels):  # a process can get no samples of a batch that several share
                yield number, inputs.to(device), labels, {"seed": seed, "index": index, "draw": draw + number}
            seen += len(labels)
            progress(len(labels))
        if not seen:
            raise ValueError(f"there are no samples to {what}")


def advance_batch(
    model: SpikingClassifier,
    inputs: Tensor,
    measure: Measure,
    noise: Mapping[str, Any],
    *,
    leaves: ExitRule | None = None,
    unlisted: Mapping[str, SpikingLayer] = {},
) -> Iterator[tuple[Float[Tensor, "S there K"], Measured, Int[Tensor, " there"]]]:
    """Advance a batch from rest, in the model's current mode, to its last step or until all samples have left.

    Yields the logits of some steps, what was measured, and the places in the batch of the samples still in it.
    """
    total, state = model.encoder.num_steps, None
    at_once, there = 1, torch.arange(len(inputs), device=inputs.device)
    if leaves is None:
        shape = model.encoder(inputs, steps=range(1), **noise).shape[1:]
        at_once = 1 if model.network.plan((total, *shape)).reason else STEPS_AT_ONCE
    while (done := 0 if state is None else state.steps) < total and len(there):
        steps = min(at_once, total - done)
        with watching(unlisted, torch.empty(steps, len(inputs), device="meta"), measure) as found:
            logits, state = model.advance(
                inputs, state, steps=steps, measure=measure, **(noise if state is None else {})
            )
        yield logits, (state.measured or {}) | found, there
        if leaves is not None and bool((gone := leaves(logits[-1])).any()):
            inputs, state, there = inputs[~gone], state.rows(~gone), there[~gone]


def first_input(model: SpikingClassifier, inputs: Tensor, noise: Mapping[str, Any]) -> Tensor:
    """Return the network's input of a batch's first sample in the first step, ``[1, 1, ...]``."""
    drawn: Tensor = model.encoder(inputs[:1], **{**noise, "index": noise["index"][:1]}, steps=range(1))
    return drawn


def check_weights(model: nn.Module) -> None:
    """Refuse weights or statistics that are not finite: a NaN membrane never fires, so logits alone can look sound."""
    if site := first_non_finite((*model.named_parameters(), *model.named_buffers())):
        raise NonFiniteError(f"{site} is not finite, so the model has no answer: train it again")


def right_answers(logits: Float[Tensor, "*steps B K"], labels: Tensor) -> Bool[Tensor, "*steps B"]:
    """Return where the answer is right; refuse labels that are not classes and logits that are not finite."""
    check_labels(labels, logits.shape[-1])
    check_logits(logits)
    return logits.argmax(-1) == labels.to(logits.device)


def check_draws(draws: int) -> None:
    """Refuse less than one draw."""
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")


def check_logits(logits: Tensor) -> None:
    """Refuse logits that are not finite: argmax would still return a class."""
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteError("the logits are not finite, so the model has no answer: weights or input are too large")


def add_to(sums: dict[Any, Any], key: object, more: Any) -> None:
    """Add to the sum under a key, or start it."""
    sums[key] = sums[key] + more if key in sums else more


def counted(hits: dict[int, Tensor], samples: int) -> Accuracy:
    """Return the accuracy from the number of right answers, by draw and step."""
    return Accuracy(samples, tuple(tuple(row.tolist()) for row in hits.values()))


def check_labels(labels: Tensor, classes: int) -> None:
    """Reject labels that are not classes."""
    if labels.ndim != 1 or labels.is_floating_point() or labels.min() < 0 or labels.max() >= classes:
        got = f"{labels.dtype} {list(labels.shape)}, from {labels.min()} to {labels.max()}"
        raise ValueError(f"labels must be integers from 0 to {classes - 1}, one a sample, got {got}")


@dataclass(frozen=True)
class Paired:
    """The difference of two accuracies, with its interval; returned by :func:`paired`."""

    difference: float
    """Accuracy of ``one`` minus that of ``other``, each the mean over its draws."""
    interval: tuple[float, float]
    """The 95 % interval by the rule of :func:`paired`: the uncertainty from the choice of images."""


def paired(one: Bool[Tensor, "D N"], other: Bool[Tensor, "E M"], z: float = 1.959964) -> Paired:
    """Return the difference of the accuracies of two networks on the same N images, with an interval over images.

    For image i, d_i is the difference of its two shares of right answers over the draws, from -1 to 1. The interval is
    Agresti and Min's "Wald+2" (Statistics in Medicine 24, 2005, p. 729): half an image is added to each of the four
    cells (both right, both wrong, only one right, only the other right), so that ``d̃ = Σ d / (N + 2)`` and

    ``d̃ ± z sqrt((Σ d² + 1) / (N + 2) - d̃²) / sqrt(N + 2)``, within -1 to 1.

    For one draw it is exactly their interval; with more draws, it is never too narrow, and its width is never 0.

    Args:
        one, other: ``Evaluation.right`` of the two networks, images in the same order; numbers of draws may differ.
        z: the normal quantile for the interval's coverage, 95 % by default.

    Raises:
        ValueError: if the numbers of images differ.

    >>> import torch
    >>> right = torch.tensor([[True, True, False, True]])
    >>> paired(right, right).difference, paired(right, ~right).difference
    (0.0, 0.5)
    """
    if (here := one.shape[1]) != (there := other.shape[1]):
        raise ValueError(f"both networks must have answered the same images, got {here} and {there} of them")
    each = one.double().mean(0) - other.double().mean(0)
    count = len(each) + 2
    middle = float(each.sum()) / count
    half = z * sqrt(((float(each.square().sum()) + 1) / count - middle * middle) / count)
    return Paired(float(each.mean()), (max(-1.0, middle - half), min(1.0, middle + half)))
