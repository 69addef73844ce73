"""What makes an attack's number worth nothing: signs that gradients are hidden, or that the attack does not work.

After Athalye, Carlini & Wagner 2018; Carlini et al. 2019; AutoAttack's checks. Each says why, or "".
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from bntt.analysis.accuracy.paired import paired

MOST_ZERO = 0.01
"""Share of images whose gradient may be zero everywhere."""
MARGIN = 0.002
"""By so much a search may do better than gradients."""


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
    more = paired(several, one)
    if more.interval[0] <= 0:
        return ""
    return f"several steps leave {100 * more.difference:.1f} points more right than one step"


def search_does_better(along: Bool[Tensor, "D N"], search: Bool[Tensor, "D N"]) -> str:
    """Whether a search without gradients leaves fewer right by more than 0.2 points, beyond the interval.

    >>> import torch
    >>> search_does_better(torch.ones(1, 50).bool(), torch.zeros(1, 50).bool())
    'the random search leaves 100.0 points fewer right than gradients'
    """
    more = paired(along, search)
    if more.difference <= MARGIN or more.interval[0] <= 0:
        return ""
    return f"the random search leaves {100 * more.difference:.1f} points fewer right than gradients"
