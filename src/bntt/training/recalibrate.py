"""Recalibration of running statistics from a few batches, for a network whose steps or data have changed."""

from __future__ import annotations

import itertools

import torch

from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.norms import batch_statistics
from bntt.training.processes import Processes, check_share

BATCHES = 20


@torch.no_grad()
def recalibrate(
    model: SpikingClassifier, loader: Loader, *, batches: int = BATCHES, seed: int = 0, draw: int = 0
) -> int:
    """Replace every norm's running statistics by averages over the first batches of a loader; nothing else changes.

    Every batch is normalised by its own statistics, layer after layer, as in training; then
    ``μ̄_t = mean_b μ_t,b`` and ``σ̄²_t = mean_b σ²_t,b n / (n - 1)`` of the batches b, n values each. Dropout is off.

    Args:
        model: changed in place; its modes stay as they are.
        loader: of training samples, as :func:`~bntt.training.updates`'s; its batches should be as large as in training.
        batches: number of batches used, or all if there are fewer.
        seed, draw: seed and draw of order, augmentation and noise.

    Returns:
        The number of samples seen.

    Raises:
        ValueError: if no norm has statistics, or there is no batch.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2), net)
    >>> recalibrate(model, bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().train, 100), batches=3)
    300
    """
    check_classifier(model, "recalibrate() takes")
    if not any(norm_facts(part).running_statistics for part in model.modules()):
        raise ValueError("no norm of the network has running statistics: there is nothing to measure")
    if batches < 1:
        raise ValueError(f"batches must be 1 or more, got {batches}")
    if model.network.compute.reduce is None:
        check_share(loader, Processes())
    device, seen = next(model.parameters()).device, 0
    with batch_statistics(model) as held:
        for inputs, _, index in itertools.islice(samples(loader, draw), batches):
            model(inputs.to(device), seed=seed, index=index, draw=draw)
            seen += len(inputs)
        if not seen:
            raise ValueError("the loader gave no batch to take statistics from")
        held.put_averages()
    return seen
