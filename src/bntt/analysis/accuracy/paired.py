"""The difference of two networks that saw the same images: known more narrowly than the two accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from jaxtyping import Bool
from torch import Tensor


@dataclass(frozen=True)
class Paired:
    """What :func:`paired` found."""

    difference: float
    """Accuracy of the one minus that of the other, mean over the draws of each."""
    interval: tuple[float, float]
    """Of 95 %, by the rule of :func:`paired`: what other images could have given."""

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.interval[0] > 0 or self.interval[1] < 0


def paired(one: Bool[Tensor, "D N"], other: Bool[Tensor, "E M"], z: float = 1.959964) -> Paired:
    """Accuracy of one network minus that of another, on the same N images, with an interval over images.

    Image i has the difference d_i of its two shares of right answers over the draws, from -1 to 1. The interval is
    Agresti and Min's "Wald+2" (Statistics in Medicine 24, 2005, p. 729): half an image is added to each of the four
    cells of both right, both wrong, and one right, so that ``d̃ = Σ d / (N + 2)`` and

    ``d̃ ± z sqrt((Σ d² + 1) / (N + 2) - d̃²) / sqrt(N + 2)``, within -1 to 1.

    For one draw it is theirs. With more, d_i is a mean, and the images that were added count as one-sided as they can
    be: the interval is no narrower than it should be, and never of width 0.

    Args:
        one, other: ``Evaluation.right`` of both, the images in the same order; the numbers of draws may differ.
        z: of the interval, 95 % by default.

    Raises:
        ValueError: if they are not of the same number of images.

    >>> import torch
    >>> right = torch.tensor([[True, True, False, True]])
    >>> paired(right, right).difference, paired(right, ~right).difference
    (0.0, 0.5)
    """
    if one.shape[1] != other.shape[1]:
        raise ValueError(
            f"both networks must have answered the same images, got {one.shape[1]} and {other.shape[1]} of them"
        )
    each = one.double().mean(0) - other.double().mean(0)
    count = len(each) + 2
    middle = float(each.sum()) / count
    half = z * sqrt(((float(each.square().sum()) + 1) / count - middle * middle) / count)
    return Paired(float(each.mean()), (max(-1.0, middle - half), min(1.0, middle + half)))
