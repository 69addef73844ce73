"""A search without gradients: the Square attack, which only queries the model (Andriushchenko et al. 2020, l∞).

If it succeeds where gradients did not, the gradients are misleading.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from bntt.analysis.attack.descent import AttackedImages, fair_signs
from bntt.analysis.attack.gradient import ATTACK_DRAW
from bntt.analysis.attack.measurement import check_eps
from bntt.nn.encoders.encoder import index_of
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import evaluating
from bntt.ops.random import Purpose, sample_keys, uniform

SHARE = 0.8
"""Share of an image's area that the first squares cover."""
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Rounds, out of 10,000, after which the area is halved; scaled in proportion for other budgets."""
SURE = 4
"""Number of consecutive wrong draws after which an image leaves."""
SEARCH_DRAW = 2 * ATTACK_DRAW
"""First draw number of a search."""


def search(
    model: SpikingClassifier,
    images: Float[Tensor, "B C H W"],
    labels: Int[Tensor, " B"],
    eps: float,
    *,
    queries: int,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
) -> AttackedImages:
    """Try squares of ±ε at random places, and keep each that reduces the margin ``z_y - max_{k≠y} z_k``.

    It begins with vertical stripes of ±ε. The model is random, so the current image and the one with a square are
    both queried in every round, in the same fresh draw: a lucky draw is never remembered as progress. Squares become
    smaller with the rounds. Images that are wrong four draws in a row leave. The model is left unchanged.

    Args:
        images: pixels in [0, 1].
        queries: the largest number of queries per image: two per round.
        index, seed: identify the noise, and the stripes and squares.

    Raises:
        ValueError: if ε is not a valid bound, or there are fewer than 2 queries.

    >>> from bntt.models import mlp
    >>> from bntt.nn import DirectEncoder
    >>> model = SpikingClassifier(DirectEncoder(2), mlp(in_features=4, hidden=(8,), num_steps=2))
    >>> found = search(model, torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1]), 0.25, queries=8)
    >>> set(found.images.flatten().tolist()) <= {0.25, 0.75}, int(found.queries.max()) <= 8
    (True, True)
    """
    check_classifier(model, "search() takes")
    check_eps(eps)
    if queries < 2:
        raise ValueError(f"queries must be 2 or more, a round of the search, got {queries}")
    places = index_of(index, images)
    best, asked = _stripes(images, eps, places, seed), torch.zeros_like(places)
    wrong, alive = torch.zeros_like(places), torch.arange(len(images), device=images.device)
    with torch.no_grad(), evaluating(model):
        for number in range(queries // 2):
            few, truth, names = best[alive], labels[alive], places[alive]
            side = _side(images.shape[2:], number, queries // 2)
            tried = _with_square(few, images[alive], eps, side, sample_keys(seed, Purpose.SEARCH, 1 + number, names))
            noise = {"seed": seed, "index": names, "draw": SEARCH_DRAW + number}
            before, after = (_margin(model(x, **noise), truth) for x in (few, tried))
            taken = after < before
            best[alive] = torch.where(taken.reshape(-1, 1, 1, 1), tried, few)
            asked[alive] += 2
            wrong[alive] = torch.where(torch.minimum(before, after) < 0, wrong[alive] + 1, 0)
            alive = alive[wrong[alive] < SURE]
            if len(alive) == 0:
                break
    return AttackedImages(best, queries=asked)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    others = logits.scatter(1, labels[:, None], -math.inf)
    return logits.gather(1, labels[:, None])[:, 0] - others.amax(1)


def _stripes(images: Tensor, eps: float, index: Tensor, seed: int) -> Tensor:
    keys = sample_keys(seed, Purpose.SEARCH, 0, index)
    return (images + eps * fair_signs(uniform(keys, images.shape[1], 1, images.shape[3]), images)).clamp(0, 1)


def _side(size: torch.Size, number: int, rounds: int) -> int:
    """Compute the side of a square: the root of its share of the area, at least a pixel, at most the shorter side.

    >>> [_side(torch.Size((28, 28)), number, 10_000) for number in (0, 11, 51, 9000)]
    [25, 18, 13, 1]
    """
    share = SHARE / 2 ** bisect_left(HALVINGS, 10_000 * number / rounds)
    return max(1, min(size[0], size[1], round(math.sqrt(share * size[0] * size[1]))))


def _with_square(x: Tensor, images: Tensor, eps: float, side: int, keys: Tensor) -> Tensor:
    """Place one square on each image, with each channel's ±ε relative to the original image."""
    _, channels, height, width = x.shape
    numbers = uniform(keys, 2 + channels)
    top, left = ((numbers[:, i] * (n - side + 1)).long()[:, None] for i, n in enumerate((height, width)))
    rows, columns = (torch.arange(n, device=x.device)[None] for n in (height, width))
    inside = ((rows >= top) & (rows < top + side))[:, :, None] & ((columns >= left) & (columns < left + side))[:, None]
    moved = (images + eps * fair_signs(numbers[:, 2:], images)[:, :, None, None]).clamp(0, 1)
    return torch.where(inside[:, None], moved, x)
