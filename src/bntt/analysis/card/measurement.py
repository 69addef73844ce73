"""What a network needs of hardware: its size, its state, its work for one image."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Split


@dataclass(frozen=True)
class CardArguments:
    """Arguments of the card."""

    split: Split = "test"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 200
    """Number of images, stratified by class; fewer if the recipe's evaluate.images is smaller."""


CARD = Measurement(
    "card",
    """List what hardware must store and compute: weights and their bits, membranes, fan-out, operations, spikes, range.

    For every layer: parameters, bits by weight type, bytes of the membranes, fan-out, the share of negative γ; and,
    measured on some images, spikes, synaptic operations and the largest |u|.

    Example: bntt card runs/fashion-mnist --images 1000""",
    CardArguments,
)
