"""Who is still classified right, under noise that the attacker has not seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_labels
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.trace import evaluating


def right_under(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    draws: int,
    seed: int = 0,
    index: Integer[Tensor, " B"] | None = None,
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
    check_classifier(model, "right_under() takes")
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
    """The same as an :class:`~bntt.analysis.Accuracy`, with its interval and deviation over draws.

    >>> accuracy_of(torch.tensor([[True, False], [True, True]])).per_draw
    (0.5, 1.0)
    """
    return Accuracy(right.shape[1], tuple((int(hits),) for hits in right.sum(1)))


def worst_of(right: Bool[Tensor, "A D N"], *, random: bool) -> Bool[Tensor, "D N"]:
    """What is left of several attacks for who attacks each image with the one that turns it.

    Of a model that draws noise that attack is found in the other draws than the one it is then counted in: an attacker
    does not know the noise that the model will draw, and an image counted as turned because any attack turned it in
    that very draw would be turned by chance as well, the more so the more attacks there are. Where that turns no more
    images than the best attack alone, as with one draw, in which there is nothing to find it, that one is counted. A
    model without noise answers as it did.

    Args:
        right: who is classified right, by attack and draw.
        random: whether every draw has noise of its own.

    >>> worst_of(torch.tensor([[[True, False]], [[False, True]]]), random=False).tolist()
    [[False, False]]
    >>> draws = torch.tensor([[[True], [False], [True]], [[False], [True], [False]]])  # two attacks of one image
    >>> worst_of(draws, random=True).tolist()
    [[False], [True], [False]]
    """
    if not random:
        return right.all(0)
    strongest_first = right[right.flatten(1).sum(1).argsort(stable=True)]
    in_others = strongest_first.sum(1, keepdim=True) - strongest_first.long()
    each = strongest_first.gather(0, in_others.argmin(0, keepdim=True))[0]
    return min(each, strongest_first[0], key=lambda one: int(one.sum()))
