"""How steady training is at one moment: gradients by layer and step, and how far a step along one keeps its promise."""

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
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import Measure

Loss = Callable[[Tensor, Tensor], Tensor]
"""``(logits [B, K], labels)`` → a number."""


@dataclass(frozen=True)
class GradientNorms:
    """One training pass over a batch, and back."""

    loss: float
    norms: dict[str, Float64[Tensor, " T"]]
    """Of every layer with a norm, even one that does nothing: ``‖dL/dx_t‖₂``, x_t the synaptic current of step t."""


@dataclass(frozen=True)
class AlongGradient:
    """The loss at ``w - η g``, where ``g = dL/dw`` of the same batch (Santurkar et al. 2018, Figure 4).

    All parameters are moved, γ among them; momentum and weight decay are no part of it.
    """

    steps: tuple[float, ...]
    """η."""
    start: float
    """L(w)."""
    norm: float
    """‖g‖₂."""
    loss: tuple[float, ...]
    """L(w - η g) of each η."""
    change: tuple[float, ...]
    """Gradient predictiveness: ``‖g(w) - g(w - η g)‖₂`` of each η."""

    @property
    def predicted(self) -> tuple[float, ...]:
        """What the gradient promises: ``L(w) - η ‖g‖²``."""
        return tuple(self.start - eta * self.norm**2 for eta in self.steps)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest loss of the steps; NaN where one of them is no number.

        >>> AlongGradient((0.5, 1.0), 2.0, 1.0, (1.5, 3.0), (0.1, 2.0)).range
        (1.5, 3.0)
        """
        if any(map(math.isnan, self.loss)):
            return math.nan, math.nan
        return min(self.loss), max(self.loss)

    @property
    def smoothness(self) -> float:
        """Effective β: the largest change of the gradient over the distance moved, ``‖g(w) - g(w - η g)‖ / (η ‖g‖)``.

        >>> AlongGradient((0.5, 1.0), 2.0, 2.0, (1.5, 3.0), (4.0, 2.0)).smoothness
        4.0
        """
        pairs = zip(self.steps, self.change, strict=True)
        each = [change / (eta * self.norm) if self.norm else math.nan for eta, change in pairs]
        return math.nan if any(map(math.isnan, each)) else max(each)


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
    """The gradient of a batch's loss towards every layer's synaptic current, step by step.

    A pass as in training, with the batch's own statistics, of a copy: nothing in the model changes, its gradients
    included. With ``Compute(reduce=)`` every process makes the call.

    Args:
        inputs: samples as the encoder takes them, two or more.
        labels: as ``loss`` takes them.
        index, seed, draw: which noise, see :class:`~bntt.nn.SpikingClassifier`.
        loss: of the logits after all steps; the paper's Eq. 5 by default.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> gradient_norms(model, torch.rand(5, 1, 2, 2), torch.arange(5)).norms["fc1"].shape
    torch.Size([3])
    """
    check_classifier(model, "gradient_norms() takes")
    probe = _probe(model)
    logits, state = probe.advance(
        inputs,
        steps=probe.encoder.num_steps,
        measure=Measure(gradient=True),
        seed=seed,
        index=index,
        draw=draw,
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
    """Go from the weights along a batch's gradient, and look how loss and gradient change on the way.

    Every point sees the same batch with the same noise, normalised by its own statistics as in training. A copy is
    moved: nothing in the model changes. Where the gradient at the start is not finite, there is no way to go: NaN.

    Args:
        inputs, labels, index, seed, draw, loss: as :func:`gradient_norms`'s.
        steps: η, each above 0: around the learning rate, say.

    Raises:
        ValueError: if there are no step sizes, or one is not a finite number above 0.

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
    probe = _probe(model)
    parameters = [parameter for parameter in probe.parameters() if parameter.requires_grad]

    def at_probe() -> tuple[float, list[Tensor]]:
        value = loss(probe(inputs, seed=seed, index=index, draw=draw), labels)
        grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return float(value.detach()), list(grads)

    start, gradient = at_probe()
    begin, norm = [parameter.detach().clone() for parameter in parameters], _norm(gradient)
    if not math.isfinite(norm):
        lost = (math.nan,) * len(steps)
        return AlongGradient(tuple(steps), start, norm, lost, lost)
    losses, changes = [], []
    for eta in steps:
        with torch.no_grad():
            for parameter, from_, slope in zip(parameters, begin, gradient, strict=True):
                parameter.copy_(from_ - eta * slope)
        value, there = at_probe()
        losses.append(value)
        changes.append(_norm([one - other for one, other in zip(gradient, there, strict=True)]))
    return AlongGradient(tuple(steps), start, norm, tuple(losses), tuple(changes))


def _probe(model: SpikingClassifier) -> SpikingClassifier:
    """A copy in training mode, whose running statistics, weights and gradients are nobody's."""
    return copy.deepcopy(model).train()


def _norm(parts: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2 for part in parts))
