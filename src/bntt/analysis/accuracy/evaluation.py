"""One pass over a test set: accuracy over time and spike activity together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.activity.firing_rate import Activity
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, samples

FIRST_DRAW = 1 << 32
"""Draws of evaluation count from here, so that they never meet the noise of a training epoch."""


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` measured."""

    accuracy: Accuracy
    activity: Activity
    right: Bool[Tensor, "draws N"]
    """Whether each answer after the last step was right, the samples in the order in which they came."""


def evaluate(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draws: int = 5,
    steps: int | None = None,
    progress: Callable[[int], None] = lambda samples: None,
) -> Evaluation:
    """Evaluate every sample ``draws`` times, each with fresh encoder noise, in evaluation mode.

    Args:
        batches: a ``SampleLoader``, or any iterable of ``(inputs, labels)`` that can be iterated again.
        seed: of the noise; draw d of the evaluation is the noise's ``draw`` number 2**32 + d.
        steps: t, to stop after the first t of the T steps, which saves the time of the others.
        progress: called with the number of samples of every batch done.

    Nothing in the model changes: parameters, running statistics and mode are as before.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> evaluate(model, loader, draws=2).accuracy.samples
    1000
    """
    check_classifier(model, "evaluate() takes")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    device = next(model.parameters()).device
    correct, answers, spikes, neurons, seen = [], list[Tensor](), dict[str, Tensor](), dict[str, int](), 0
    for draw in range(draws):
        hits: Tensor | None = None
        for inputs, labels, index in samples(batches, 0):
            if not len(labels):  # of a batch that several processes share
                progress(0)
                continue
            trace = model.trace(inputs.to(device), seed=seed, index=index, draw=FIRST_DRAW + draw, steps=steps)
            check_labels(labels, trace.logits.shape[2])
            right = trace.logits.argmax(2) == labels.to(device)
            hits = right.sum(1) if hits is None else hits + right.sum(1)
            answers.append(right[-1].cpu())
            for name, counts in trace.spikes.items():
                spikes[name] = spikes[name] + counts if name in spikes else counts
            neurons, seen = trace.neurons, seen + len(labels)
            progress(len(labels))
        if hits is None:
            raise ValueError("there are no samples to evaluate")
        correct.append(tuple(hits.tolist()))
    activity = Activity(seen, {name: counts.cpu() for name, counts in spikes.items()}, neurons)
    return Evaluation(Accuracy(seen // draws, tuple(correct)), activity, torch.cat(answers).view(draws, -1))


def check_labels(labels: Tensor, classes: int) -> None:
    """Refuse labels that are no class.

    Raises:
        ValueError: saying what they must be.
    """
    if labels.ndim != 1 or labels.is_floating_point() or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must be integers from 0 to {classes - 1}, one a sample, got {labels.dtype} {list(labels.shape)}"
        )
