"""What makes an attack's number worth nothing: signs that gradients are hidden, or that the attack does not work.

After Athalye, Carlini & Wagner 2018; Carlini et al. 2019; AutoAttack's checks. Each says why, or "".
"""

from __future__ import annotations

import math

from jaxtyping import Bool
from torch import Tensor

MOST_ZERO = 0.01
"""Share of images whose gradient may be zero everywhere."""
MARGIN = 0.002
"""By so much a search may do better than gradients."""


def paired_interval(
    first: Bool[Tensor, "D N"], second: Bool[Tensor, "D N"], z: float = 1.959964
) -> tuple[float, float, float]:
    """How much more often the first was right than the second, of the same images: ``(difference, low, high)``.

    With d_i the difference of an image, mean over draws: ``m ± z √((Σd² + 1) / (N + 2) - m²) / √(N + 2)`` around
    ``m = Σd / (N + 2)``. For one draw this is Agresti & Min 2005 (Statistics in Medicine 24, 729-740): half an image
    more in each of the four cells of right and wrong, so that a few images that agree are no certainty.

    >>> import torch
    >>> same = torch.tensor([[True, False, True]])
    >>> [round(bound, 3) for bound in paired_interval(same, same)]
    [0.0, -0.392, 0.392]
    """
    each = first.double().mean(0) - second.double().mean(0)
    count = len(each) + 2
    middle = float(each.sum()) / count
    spread = (float(each.square().sum()) + 1) / count - middle**2
    half = z * math.sqrt(spread / count)
    return float(each.mean()), middle - half, middle + half


def zero_gradients(zero: Bool[Tensor, " N"]) -> str:
    """Whether gradients vanish: then the attack left images as they were, which would look like robustness.

    >>> import torch
    >>> zero_gradients(torch.tensor([True, False]))
    'the gradient is zero in every pixel of 50.0% of the images'
    """
    share = float(zero.double().mean())
    return f"the gradient is zero in every pixel of {share:.1%} of the images" if share > MOST_ZERO else ""


def still_right(right: Bool[Tensor, "D N"], classes: int) -> str:
    """Whether an attack without a bound, that may make any image of any, leaves more right than chance does.

    >>> import torch
    >>> still_right(torch.tensor([[True, False]]), 10)
    'PGD at eps = 1 leaves 50.0% right, above chance (10.0%)'
    """
    share = float(right.double().mean())
    if share <= 1 / classes:
        return ""
    return f"PGD at eps = 1 leaves {share:.1%} right, above chance ({1 / classes:.1%})"


def weaker_than_one_step(several: Bool[Tensor, "D N"], one: Bool[Tensor, "D N"]) -> str:
    """Whether an attack of several steps leaves more right than one step does, beyond the interval.

    >>> import torch
    >>> weaker_than_one_step(torch.ones(1, 50).bool(), torch.zeros(1, 50).bool())
    'several steps leave 100.0 points more right than one step'
    """
    more, low, _ = paired_interval(several, one)
    return f"several steps leave {100 * more:.1f} points more right than one step" if low > 0 else ""


def search_does_better(along: Bool[Tensor, "D N"], search: Bool[Tensor, "D N"]) -> str:
    """Whether a search without gradients leaves fewer right by more than 0.2 points, beyond the interval.

    >>> import torch
    >>> search_does_better(torch.ones(1, 50).bool(), torch.zeros(1, 50).bool())
    'the random search leaves 100.0 points fewer right than gradients'
    """
    more, low, _ = paired_interval(along, search)
    if more <= MARGIN or low <= 0:
        return ""
    return f"the random search leaves {100 * more:.1f} points fewer right than gradients"
