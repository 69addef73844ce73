"""Records of the weights that a training started from, and of their cost."""

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
    """The run whose weights a training started from, and its cost, including that of the weights it started from."""

    run: str
    updates: int | None
    seconds: Number
    weights_sha256: str = ""
    """SHA-256 of its weights; "" in older results, which do not have it."""
