"""What an attacker may do: how far each pixel may move, and how hard he tries."""

from __future__ import annotations

import math
from dataclasses import dataclass

OVERSHOOT = 2.5
"""All steps together are so many ε long, where no step size is named: from any start to any corner, and to spare."""


@dataclass(frozen=True)
class Threat:
    """``‖x' - x‖∞ ≤ ε`` with x' in [0, 1]: pixels before normalisation, in units of the whole range.

    Raises:
        ValueError: if ε is not above 0 and at most 1, a step size is not above 0, or a count is below 1.

    >>> Threat(8 / 255).length == 8 / 255, Threat(8 / 255, steps=10).length == 2 / 255
    (True, True)
    """

    eps: float
    """ε."""
    steps: int = 1
    """Of the gradient; one step from the image itself is FGSM."""
    step_size: float | None = None
    """Of each; None: ε of a single one, 2.5 ε / steps of several."""
    restarts: int = 1
    """Starts, whose worst result is kept image by image."""
    draws: int = 16
    """Of the model's noise behind every gradient (expectation over transformation)."""
    random_start: bool = False
    """Begin anywhere within ε, uniformly, instead of at the image."""

    def __post_init__(self) -> None:
        check_eps(self.eps)
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size must be a finite number above 0, in units of pixels, got {self.step_size}")
        for name in ("steps", "restarts", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"{self.restarts} restarts from the image itself are one: say random_start=True")

    @property
    def length(self) -> float:
        """Of a step."""
        if self.step_size is not None:
            return self.step_size
        return self.eps if self.steps == 1 else OVERSHOOT * self.eps / self.steps

    @property
    def passes(self) -> int:
        """Forward and backward passes for an image; where there are restarts, with what chooses among them."""
        each = self.steps * self.draws
        return self.restarts * (each + (self.draws if self.restarts > 1 else 0))


def check_eps(eps: float) -> None:
    """Refuse a bound that is none.

    Raises:
        ValueError: if it is not above 0 and at most 1.

    >>> check_eps(8)
    Traceback (most recent call last):
    ValueError: eps must be above 0 and at most 1, the whole range of a pixel, got 8: 8/255 is meant?
    """
    if not 0 < eps <= 1:
        hint = f": {eps:g}/255 is meant?" if 1 < eps <= 255 else ""
        hint = ": of 0 the accuracy is the clean one, which every result has" if eps == 0 else hint
        raise ValueError(f"eps must be above 0 and at most 1, the whole range of a pixel, got {eps:g}{hint}")
