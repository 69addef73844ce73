"""The membrane and the spikes of one neuron while it sees one image."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Split


@dataclass(frozen=True)
class NeuronArguments:
    """Arguments of the neuron measurement."""

    layer: str | None = None
    """Layer of the neuron; the first that spikes by default."""
    place: tuple[int, ...] = ()
    """Channel, row and column of the neuron, 0-based; in a fully connected layer only the channel.

    By default the first neuron that fires in about half of the steps.
    """
    image: Annotated[int, Ge(0)] = 0
    """Place of the image in the split, 0-based."""
    split: Split = "test"
    """Split whose images are measured."""


NEURON = Measurement(
    "neuron",
    """Plot the membrane and the spikes of one neuron while it sees an image, and the surrogate gradient.

    Example: bntt neuron runs/fashion-mnist --layer conv2 --place 5 7 7""",
    NeuronArguments,
)
