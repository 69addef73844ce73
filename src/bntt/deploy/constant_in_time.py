"""Make a network constant in time, for targets without parameters per step, and measure what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bntt.deploy.description import Description, Layer, require
from bntt.deploy.runtime.runtime import EVALUATION, Runtime
from bntt.nn.network.labelled_batch import EpochLoader

EXACT = "exact"


@dataclass(frozen=True, eq=False)
class Constant:
    """A network made constant in time, and how it was chosen; returned by :func:`choose_constant`."""

    description: Description
    """The network: weights that hold scale and shift, hard resets, the rule ``fire_after``."""
    by: str
    """What replaces the steps: "median", "mean", or "step 3"."""
    accuracies: dict[str, float]
    """Accuracies on the validation samples, by what replaces the steps; "exact" is the network's own."""
    samples: int
    """Number of validation samples."""


def make_constant(description: Description, by: str = "median") -> Description:
    """Return the network made constant in time: ``a_t y + b_t`` becomes ``a y + b``, folded into weights and bias.

    Neurons get what every framework has: the hard reset and the rule ``fire_after``; leak and threshold stay. γ, and
    with it the exit by γ, is gone. The result is a different network: measure it, or use :func:`choose_constant`.

    Args:
        description: the network.
        by: the source of a and b: their "median" or "mean" over the steps, or one step, "step 1" to "step T".

    Raises:
        DeployError: naming a layer whose neurons are folded; or on an unknown ``by``.

    >>> import bntt
    >>> from bntt import deploy
    >>> made = make_constant(deploy.describe(bntt.models.pretrained()))
    >>> made.layers[0].neurons.reset, bool((made.layers[0].scale == 1).all())
    ('hard', True)
    """
    known = candidates(description)
    require(by in known, f"steps become constant by {', '.join(known)}, got {by!r}")
    nodes = [_constant(node, by) if isinstance(node, Layer) else node for node in description.nodes]
    return replace(description, nodes=tuple(nodes))


def candidates(description: Description) -> list[str]:
    """List the names of what can replace the steps."""
    return ["median", "mean", *(f"step {t + 1}" for t in range(description.num_steps))]


def _constant(layer: Layer, by: str) -> Layer:
    neurons, weights = layer.neurons, layer.weights
    if neurons is not None:
        why = "its neurons are folded, which cannot be constant: export the unfolded network"
        require(neurons.is_plain, f"{layer.name!r}: {why}")
        neurons = replace(neurons, rule="after", reset="hard")
    if by in ("median", "mean"):
        scale, shift = (getattr(np, by)(table, 0) for table in (layer.scale, layer.shift))
    else:
        t = int(by.removeprefix("step ")) - 1
        scale, shift = layer.scale[t], layer.shift[t]
    size = layer.scale.shape
    if weights is not None:
        values = (weights.values * scale.reshape(-1, *[1] * (weights.values.ndim - 1))).astype(weights.values.dtype)
        bias = shift if weights.bias is None else shift + scale * weights.bias
        kept = bias.astype(values.dtype) if weights.bias is not None or bias.any() else None
        weights, scale, shift = replace(weights, values=values, bias=kept), np.ones(size[1]), np.zeros(size[1])
    scale, shift = (np.array(np.broadcast_to(row, size)) for row in (scale, shift))
    return replace(layer, scale=scale, shift=shift, weights=weights, neurons=neurons, gamma=None, driven=(0, 0))


def choose_constant(
    description: Description,
    validation: Iterable[Any],
    *,
    seed: int = 0,
    tell: Callable[[str, float], None] = lambda by, accuracy: None,
) -> Constant:
    """Return a network made constant in time, in the way with the highest accuracy on validation samples.

    If several are equally accurate, the first wins.

    Args:
        description: the network.
        validation: batches ``(samples, labels)``, or ``(samples, labels, places)``, read once for each candidate: a
            DataLoader, a :class:`~bntt.data.SampleLoader` or a list; not the test samples.
        seed: seed of the encoder's noise, the same for all candidates.
        tell: called with each candidate's name and its accuracy.

    Raises:
        DeployError: as :func:`make_constant`, or if there are no samples.

    >>> import bntt, torch
    >>> from bntt import deploy
    >>> images = bntt.data.fashion_mnist_bundled().train.select(torch.arange(20))
    >>> batches = [(images.batch(torch.arange(20)), images.labels)]
    >>> choose_constant(deploy.describe(bntt.models.pretrained()), batches).samples
    20
    """
    accuracies, count = dict[str, float](), 0
    for by in (EXACT, *candidates(description)):
        made = description if by == EXACT else make_constant(description, by)
        accuracies[by], count = accuracy(made, validation, seed)
        tell(by, accuracies[by])
    best = max((by for by in accuracies if by != EXACT), key=lambda by: accuracies[by])
    told = {
        "constant": f"scale and shift by their {best}, hard reset; {accuracies[best]:.4f} right of {count} validation "
        f"samples, {accuracies[EXACT]:.4f} before"
    }
    made = make_constant(description, best)
    return Constant(replace(made, provenance={**made.provenance, **told}), best, accuracies, count)


def accuracy(description: Description, samples: Iterable[Any], seed: int = 0) -> tuple[float, int]:
    """Return the share of correct answers, and the number of samples, by :class:`~bntt.deploy.Runtime`."""
    runtime, right, count = Runtime(description), 0, 0
    for x, labels, *places in samples.epoch(0) if isinstance(samples, EpochLoader) else samples:
        index = np.asarray(places[0]) if places else np.arange(count, count + len(x))
        answers = runtime.run(np.asarray(x), seed=seed, index=index, draw=EVALUATION).argmax(1)
        true = np.asarray(labels)
        came = f"{true.dtype} {true.shape}"
        fits = true.shape == answers.shape and true.dtype.kind in "iu"
        require(fits, f"validation must give a class for each of {len(x)} samples, got {came}")
        last = len(description.classes) - 1
        fits = true.min() >= 0 and true.max() <= last
        require(fits, f"labels must be from 0 to {last}, got {true.min()} to {true.max()}")
        right, count = right + int((answers == true).sum()), count + len(x)
    require(count, "validation has no samples, or is an iterator that was read before: give a list or a loader")
    return right / count, count
