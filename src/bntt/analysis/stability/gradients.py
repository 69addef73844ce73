"""Stability of training at one moment: gradients by layer and step, and how well a gradient predicts the loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Integer
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.stability import AlongGradient
from bntt.nn.network.classifier import SpikingClassifier, check_answers, check_classifier
from bntt.nn.network.measured import Measure

Loss = Callable[[Tensor, Tensor], Tensor]
"""``(logits [B, K], labels)`` → scalar loss."""


@dataclass(frozen=True)
class GradientNorms:
    """Gradient norms of one training pass over a batch; returned by :func:`gradient_norms`."""

    loss: float
    """Loss of the batch."""
    norms: dict[str, Float64[Tensor, " T"]]
    """``‖dL/dx_t‖₂`` for every layer with a norm, even an identity; x_t is the synaptic current of step t."""


def gradient_norms(
    model: SpikingClassifier,
    inputs: Tensor,
    labels: Tensor,
    *,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    loss: Loss = F.cross_entropy,
) -> GradientNorms:
    """Return the norm of a batch's gradient with respect to every layer's synaptic current, step by step.

    It runs a pass as in training, with the batch's own statistics, on a copy: the model and its gradients are left
    unchanged. With ``Compute(reduce=)``, call it in every process.

    Args:
        model: the classifier.
        inputs: samples as the encoder takes them, two or more.
        labels: as ``loss`` takes them.
        index, seed, draw: identify the noise, see :class:`~bntt.nn.SpikingClassifier`.
        loss: a function of the logits after all steps; the paper's Eq. 5 by default.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> gradient_norms(model, torch.rand(5, 1, 2, 2), torch.arange(5)).norms["fc1"].shape
    torch.Size([3])
    """
    check_answers(model, "gradient_norms() takes")
    probe = copy.deepcopy(model).train().requires_grad_()  # a frozen layer's current has a gradient too
    logits, state = probe.advance(
        inputs, steps=probe.encoder.num_steps, measure=Measure(gradient=True), seed=seed, index=index, draw=draw
    )
    value = loss(logits[-1], labels)
    value.backward()  # type: ignore[no-untyped-call]
    found = {name: layer.gradient for name, layer in (state.measured or {}).items()}
    return GradientNorms(float(value.detach()), {name: row.cpu() for name, row in found.items() if row is not None})


def loss_along_gradient(
    model: SpikingClassifier,
    inputs: Tensor,
    labels: Tensor,
    steps: Sequence[float],
    *,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    loss: Loss = F.cross_entropy,
) -> AlongGradient:
    """Return how loss and gradient change if the weights move along a batch's gradient.

    Every point sees the same batch with the same noise, normalised by its own statistics as in training. If the
    gradient at the start is not finite, its norm and every loss and change are None.

    Args:
        model: the classifier; a copy is moved.
        inputs, labels, index, seed, draw, loss: as for :func:`gradient_norms`.
        steps: step sizes η, each above 0, for example around the learning rate.

    Raises:
        ValueError: if there are no step sizes, one is not a finite number above 0, or no parameter requires a gradient.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> found = loss_along_gradient(model, torch.rand(5, 1, 2, 2), torch.arange(5), (0.1, 0.3))
    >>> len(found.loss), found.predicted[1] < found.start
    (2, True)
    """
    check_classifier(model, "loss_along_gradient() takes")
    if not steps or not all(0 < eta < math.inf for eta in steps):
        raise ValueError(f"step sizes along the gradient must be finite numbers above 0, got {list(steps)}")
    probe = copy.deepcopy(model).train()
    parameters = [parameter for parameter in probe.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("no parameter of the model learns: there is no gradient to move along")

    def at_probe() -> tuple[float, list[Tensor]]:
        value = loss(probe(inputs, seed=seed, index=index, draw=draw), labels)
        grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return float(value.detach()), list(grads)

    start, gradient = at_probe()
    weights, norm = [parameter.detach().clone() for parameter in parameters], _norm(gradient)
    if not math.isfinite(norm):
        lost = (None,) * len(steps)
        return AlongGradient(steps=tuple(steps), start=start, norm=norm, loss=lost, change=lost)
    losses, changes = [], []
    for eta in steps:
        with torch.no_grad():
            for parameter, weight, slope in zip(parameters, weights, gradient, strict=True):
                parameter.copy_(weight - eta * slope)
        value, there = at_probe()
        losses.append(value)
        changes.append(_norm([one - other for one, other in zip(gradient, there, strict=True)]))
    return AlongGradient(steps=tuple(steps), start=start, norm=norm, loss=tuple(losses), change=tuple(changes))


def _norm(parts: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2 for part in parts))
