"""Mix two images, with soft labels: partner and share depend on (seed, draw, index), not on the batch.

The papers' code pairs the images of a batch with one another and draws one share for all of them. Here every image has
a partner from the whole set and its own share, so that neither the batch's size nor its order changes anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer
from torch import Tensor

from bntt.data.augment import inside
from bntt.ops.random import Purpose, child_keys, sample_keys, uniform

GRID = 1 << 24
"""Resolution of shares: with multiples of 2⁻²⁴, 1 - share is exact in float32, and no mixed pixel exceeds 1."""


@dataclass(frozen=True)
class Pairs:
    """Partners and shares for mixing a batch of images."""

    partner: Int[Tensor, " B"]
    """Place of the second image in the set."""
    share: Float[Tensor, " B"]
    """λ, float32 in [0, 1]: the share of the first image."""
    place: Float[Tensor, "B 2"]
    """Centre of a box, down and to the right, in [0, 1)."""


def pair(*, seed: int, draw: int, index: Integer[Tensor, " B"], count: int, alpha: float) -> Pairs:
    """Draw a partner for each sample, from the whole set (itself included), and a share λ from Beta(α, α)."""
    keys = sample_keys(seed, Purpose.MIX, draw, index.cpu())
    partner = child_keys(keys, 0).bitwise_and(torch.iinfo(torch.int64).max) % count
    numbers = uniform(child_keys(keys, 1), 4)
    shares = [_beta(alpha, first, second) for first, second in numbers[:, :2].tolist()]
    return Pairs(partner, torch.tensor(shares, dtype=torch.float32), numbers[:, 2:])


def _beta(alpha: float, first: float, second: float) -> float:
    """Make a Beta(α, α) number from two uniform ones: ``(1 + c / √(c² + W / (1 - W))) / 2``, W = U^(1/α), c = cos 2πV.

    The polar method, which is exact (Bailey 1994), one number at a time: vectorised code may round differently.
    """
    half = 0.5 / GRID  # from [0, 1) to (0, 1)
    log_w = math.log(first + half) / alpha
    c = math.cos(2 * math.pi * (second + half))
    odds = math.exp(log_w) / -math.expm1(log_w)
    return round((1 + c / math.sqrt(c * c + odds)) / 2 * GRID) / GRID


def mixup(
    first: Float[Tensor, "B C H W"], second: Float[Tensor, "B C H W"], pairs: Pairs
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " B"]]:
    """Compute ``λ x_i + (1 - λ) x_j`` (Zhang et al. 2018), and return the share of the first, λ, as well."""
    share = pairs.share.to(first).view(-1, 1, 1, 1)
    return share * first + (1 - share) * second, pairs.share


def cutmix(
    first: Float[Tensor, "B C H W"], second: Float[Tensor, "B C H W"], pairs: Pairs
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " B"]]:
    """Paste a box of the second image into the first (Yun et al. 2019); also return the share of pixels that stayed."""
    height, width = first.shape[2:]
    size = torch.tensor([height, width])
    half = ((1 - pairs.share.double()).sqrt().unsqueeze(1) * size / 2).long()
    centre = (pairs.place * size).long()
    begin, past = (centre - half).clamp(min=0), torch.minimum(centre + half, size)
    box = inside(begin.to(first.device), past.to(first.device), (height, width))
    stayed = height * width - (past - begin).prod(1)
    return torch.where(box, second, first), (stayed.double() / (height * width)).float()


def soft_labels(
    first: Int[Tensor, " B"], second: Int[Tensor, " B"], kept: Float[Tensor, " B"], num_classes: int
) -> Float[Tensor, "B {num_classes}"]:
    """Compute each class's share: ``kept`` for the first image's class, the rest for the second's; rows sum to 1."""
    share = kept.to(first.device).unsqueeze(1)
    return share * F.one_hot(first, num_classes) + (1 - share) * F.one_hot(second, num_classes)


MIXES = {"mixup": mixup, "cutmix": cutmix}
"""Mixing functions, by their names in recipes."""
