"""Records of what a run's training began with, and what that had cost before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bntt.analysis.result import Number, Record


class Ann(Record):
    """The ANN that a run was converted from."""

    run: str
    epoch: int
    validation_accuracy: Number
    weights_sha256: str
    updates: int | None
    seconds: Number


class Conversion(Record):
    """The conversion of a run from an ANN."""

    ann: Ann
    thresholds: Mapping[str, float]
    """Scaled threshold of each layer."""
    scale: float
    tried: Sequence[tuple[float, float]]
    """Each scale of a grid with its accuracy on validation; empty if the scale was given."""
    tried_images: int
    images: int
    """Number of training images used to find the thresholds."""
    steps: int
    seconds: float


class BegunWith(Record):
    """The run whose weights a training began with, and what that run cost with all that it began with."""

    run: str
    updates: int | None
    seconds: Number
    weights_sha256: str = ""
    """SHA-256 of its weights; "" in results from before it was kept."""
