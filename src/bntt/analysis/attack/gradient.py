"""The gradient of a model's loss with respect to the pixels of its images, averaged over the model's noise.

A random spike has no derivative, so an estimator replaces it. The loss is averaged over fresh draws before any sign is
taken (expectation over transformation: Athalye, Carlini & Wagner 2018). For a network whose first layer is linear, the
straight-through estimator is that of Sharmin et al. 2020: the gradient at the first layer's output, summed over time,
goes back through its weights. It is taken at the output, not at the membrane: BNTT's factor of each step lies between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_labels
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import evaluating
from bntt.ops.poisson import GradientEstimator, expected, straight_through

ATTACK_DRAW = FIRST_DRAW << 8
"""First draw number of an attack, which does not know the noise that it is measured with."""
ESTIMATORS: dict[str, GradientEstimator] = {"straight_through": straight_through, "expected": expected}
"""Estimators that can replace the derivative of a random spike, by name."""
EXACT = "exact"
"""The name of an encoder's own derivative."""


class NoGradientError(ValueError):
    """A model without a gradient from its output to its images: gradient attacks are impossible."""


@dataclass(frozen=True)
class InputGradient:
    """Result of :func:`input_gradient`."""

    gradient: Float[Tensor, "B *shape"]
    """``d/dx mean_d L(x; draw d)`` of each image's own loss, independent of the batch size."""
    loss: Float[Tensor, " B"]
    """``mean_d L``."""
    agreement: Float[Tensor, " B"]
    """Share of pixels whose sign agrees between the first and second half of the draws, among pixels with a sign in
    either half; NaN if there is no such pixel, or only one draw."""

    @property
    def zero(self) -> Bool[Tensor, " B"]:
        """True where an image's gradient is zero in every pixel: an attack leaves such an image unchanged."""
        return (self.gradient == 0).flatten(1).all(1)


def estimators_of(model: SpikingClassifier) -> tuple[str, ...]:
    """List the estimators that an attack can use: all, for random spikes; "exact" for any other encoder.

    >>> from bntt.models import mlp
    >>> from bntt.nn import DirectEncoder, PoissonEncoder
    >>> estimators_of(SpikingClassifier(PoissonEncoder(2), mlp(num_steps=2)))
    ('straight_through', 'expected')
    >>> estimators_of(SpikingClassifier(DirectEncoder(2), mlp(num_steps=2)))
    ('exact',)
    """
    check_classifier(model, "estimators_of() takes")
    return tuple(ESTIMATORS) if encoder_facts(model.encoder).estimated else (EXACT,)


def input_gradient(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    estimator: str,
    draws: int = 1,
    seed: int = 0,
    draw: int = ATTACK_DRAW,
    index: Integer[Tensor, " B"] | None = None,
) -> InputGradient:
    """Compute the gradient of cross entropy with respect to the images, in evaluation mode, averaged over draws.

    The model is left unchanged: parameters, their gradients, statistics, modes and the encoder's own estimator.

    Args:
        images: as the encoder takes them: pixels in [0, 1].
        estimator: one of :func:`estimators_of`.
        draws: the number of draws; the noise has the numbers ``draw`` to ``draw + draws - 1``.
        seed, index: identify the noise, see :class:`~bntt.nn.SpikingClassifier`.

    Raises:
        NoGradientError: if no gradient connects the output with the images.
        ValueError: if the estimator does not suit this model, draws is below 1, or labels are not classes.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> images, labels = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    >>> input_gradient(model, images, labels, estimator="expected", draws=4).gradient.shape
    torch.Size([2, 1, 2, 2])
    """
    check_classifier(model, "input_gradient() takes")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    halves, loss = [torch.zeros_like(images), torch.zeros_like(images)], images.new_zeros(len(images))
    with torch.enable_grad(), _estimating(model, estimator):
        for number in range(draws):
            x = images.detach().clone().requires_grad_()
            logits = model(x, seed=seed, index=index, draw=draw + number)
            check_labels(labels, logits.shape[1])
            each = F.cross_entropy(logits, labels, reduction="none")
            halves[2 * number // draws] += _slope(each, x)
            loss += each.detach()
    agreement = _agreement(*halves) if draws > 1 else torch.full_like(loss, torch.nan)
    return InputGradient((halves[0] + halves[1]) / draws, loss / draws, agreement)


def mean_loss(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    draws: int,
    seed: int = 0,
    draw: int = ATTACK_DRAW,
    index: Integer[Tensor, " B"] | None = None,
) -> Float[Tensor, " B"]:
    """Compute the cross entropy of each image, mean over draws, without a gradient."""
    loss = images.new_zeros(len(images))
    with torch.no_grad(), evaluating(model):
        for number in range(draws):
            logits = model(images, seed=seed, index=index, draw=draw + number)
            loss += F.cross_entropy(logits, labels, reduction="none")
    return loss / draws


@contextmanager
def _estimating(model: SpikingClassifier, estimator: str) -> Iterator[None]:
    """Set evaluation mode and this estimator, without parameter gradients, inside the block; then restore everything.

    Raises:
        ValueError: if it is not one of :func:`estimators_of`.
    """
    if estimator not in (known := estimators_of(model)):
        raise ValueError(f"estimator {estimator!r}: for this model choose one of {', '.join(known)}")
    encoder: Any = model.encoder if encoder_facts(model.encoder).estimated else None
    own = encoder and encoder.gradient
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    compute = model.network.compute
    with evaluating(model):
        try:
            model.requires_grad_(False)
            model.network.compute = replace(compute, input_grad="direct")  # Winograd's error is that of a whole tile
            if encoder is not None:
                encoder.gradient = ESTIMATORS[estimator]
            yield
        finally:
            model.network.compute = compute
            if encoder is not None:
                encoder.gradient = own
            for parameter, wants in wanted:
                parameter.requires_grad_(wants)


def _slope(each: Tensor, x: Tensor) -> Tensor:
    found = torch.autograd.grad(each.sum(), x, allow_unused=True)[0] if each.requires_grad else None
    if found is None:
        raise NoGradientError(
            "no gradient connects the model's output with its images, so gradient attacks are impossible: give its "
            "encoder a derivative, such as PoissonEncoder's estimators, or attack only by random search"
        )
    return found


def _agreement(first: Tensor, second: Tensor) -> Tensor:
    first, second = first.sign().flatten(1), second.sign().flatten(1)
    either = (first != 0) | (second != 0)
    same = ((first == second) & either).sum(1).to(first.dtype)
    return same / either.sum(1)  # NaN where neither has a sign
