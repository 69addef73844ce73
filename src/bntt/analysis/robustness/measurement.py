"""Accuracy on images with Gaussian noise, the same noise for every run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from bntt.analysis.measurement import Measurement, Split

Unit = Literal["pixels", "normalized"]
"""Unit of σ: the range of the pixels, or their standard deviation."""


@dataclass(frozen=True)
class RobustArguments:
    """Arguments of the robustness measurement."""

    sigmas: tuple[Annotated[float, Ge(0), Le(1000)], ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Standard deviations of the noise; 0 is always measured."""
    where: Unit = "pixels"
    """In what they are measured: the range of the pixels, or a deviation of the pixels, as they are normalised."""
    unclipped: bool = False
    """Let noisy pixels leave the range from 0 to 1."""
    draws: Annotated[int, Ge(1)] | None = None
    """Repetitions with fresh noise and spikes; as many as the first recipe says (5 by default)."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, each class by its share of the split; all by default."""
    split: Split = "test"
    """Split whose images are measured."""
    steps: Annotated[int, Ge(1)] | None = None
    """Number of time steps after which to stop; all by default."""

    @property
    def grid(self) -> tuple[float, ...]:
        """The sigmas with 0, ascending, each once."""
        return tuple(sorted({0.0, *self.sigmas}))


ROBUST = Measurement(
    "robust",
    """Measure runs on images with Gaussian noise, the same for every run: accuracy against σ, and by number of steps.

    The noise is one image for each draw and image, held over all time steps; a Poisson code draws its spikes beside it.
    The first row, σ = 0, is the clean accuracy, and its spread the encoder's own noise. Of several runs the differences
    to the first are given, image by image.

    Example: bntt robust runs/fashion-mnist --sigmas 0.1 0.2 0.4 --draws 5 --images 1000""",
    RobustArguments,
    measure="measure:measure_robustness",
    several=True,
    needs_spikes=False,
)
