"""What a chip sees of a network: its size, its state, its work for one image."""

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
    """Number of images, each class by its share of the split."""


CARD = Measurement(
    "card",
    """List what hardware must hold and do: weights and their bits, membranes, fan-out, operations, spikes, range.

    Parameters, bits by the type of the weights, bytes of the membranes, fan-out, the share of negative γ; and over some
    images spikes, synaptic operations and the highest |u|, layer by layer.

    Example: bntt card runs/fashion-mnist --images 1000""",
    CardArguments,
)
