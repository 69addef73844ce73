"""Who is still classified right, under noise that the attacker has not seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.evaluation import FIRST_DRAW, check_labels
from bntt.nn.classifier import SpikingClassifier
from bntt.nn.trace import evaluating


def right_under(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    draws: int,
    seed: int = 0,
    index: Int[Tensor, " B"] | None = None,
) -> Bool[Tensor, "draws B"]:
    """Whether each image is classified right, in every draw of the noise of :func:`~bntt.analysis.evaluate`.

    Nothing in the model changes.

    Raises:
        ValueError: if draws is below 1, or labels are no classes.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> right_under(model, torch.rand(5, 1, 2, 2), torch.arange(5), draws=2).shape
    torch.Size([2, 5])
    """
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    found = []
    with torch.no_grad(), evaluating(model):
        for draw in range(draws):
            logits = model(images, seed=seed, index=index, draw=FIRST_DRAW + draw)
            check_labels(labels, logits.shape[1])
            found.append(logits.argmax(1) == labels)
    return torch.stack(found)


def accuracy_of(right: Bool[Tensor, "D N"]) -> Accuracy:
    """The same as an :class:`~bntt.analysis.accuracy.Accuracy`, with its interval and deviation over draws.

    >>> accuracy_of(torch.tensor([[True, False], [True, True]])).per_draw
    (0.5, 1.0)
    """
    return Accuracy(right.shape[1], tuple((int(hits),) for hits in right.sum(1)))
