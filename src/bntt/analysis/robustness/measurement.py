"""Accuracy on images with Gaussian noise, the same noise for every run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from bntt.analysis.measurement import Draws, Measurement, Split

Unit = Literal["pixels", "normalized"]
"""Unit of σ: the range of the pixels, or their standard deviation."""


@dataclass(frozen=True)
class RobustArguments:
    """Arguments of the robustness measurement."""

    sigmas: tuple[Annotated[float, Ge(0), Le(1000)], ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Standard deviations σ of the noise; 0 is always measured."""
    where: Unit = "pixels"
    """Unit of σ: the range of the pixels, or their standard deviation (normalised pixels)."""
    unclipped: bool = False
    """Do not clip noisy pixels to the range from 0 to 1."""
    draws: Draws | None = None
    """Number of draws, each with fresh noise and spikes; by default the first recipe's (5 by default)."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, stratified by class; by default the fewest that a run's recipe measures (all by default)."""
    split: Split = "test"
    """Split whose images are measured."""
    steps: Annotated[int, Ge(1)] | None = None
    """Stop after this number of steps; all by default."""

    @property
    def grid(self) -> tuple[float, ...]:
        """The sigmas with 0, ascending, each once."""
        return tuple(sorted({0.0, *self.sigmas}))


ROBUST = Measurement(
    "robust",
    """Measure accuracy on images with Gaussian noise, the same for every run, against σ and the number of steps.

    Each draw of an image has one noise pattern, the same at all time steps; a Poisson encoder draws its spikes on top.
    The first row, σ = 0, is the clean accuracy, and its spread is the encoder's own noise. Several runs are compared
    with the first, image by image.

    Example: bntt robust runs/fashion-mnist --sigmas 0.1 0.2 0.4 --draws 5 --images 1000""",
    RobustArguments,
    measure="measure:measure_robustness",
    several=True,
    draws_noise=True,
    needs_spikes=False,
)
