"""The membrane and the spikes of one neuron while it sees one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Opened, Progress, Split

if TYPE_CHECKING:
    from bntt.analysis.neuron.result import NeuronResult


@dataclass(frozen=True)
class NeuronArguments:
    """What can be asked for."""

    layer: str | None = None
    """Its layer; the first that spikes by default."""
    place: tuple[int, ...] = ()
    """Channel, row and column, from 0; in a fully connected layer the channel alone. By default the first neuron that
    fires in about half of the steps."""
    image: Annotated[int, Ge(0)] = 0
    """Number of the image in the split, from 0."""
    split: Split = "test"
    """Which images."""


def result() -> type[NeuronResult]:
    """The record of what is found."""
    from bntt.analysis.neuron.result import NeuronResult

    return NeuronResult


def run(opened: Sequence[Opened], asked: NeuronArguments, progress: Progress) -> NeuronResult:
    """Measure one run."""
    from bntt.analysis.neuron.measure import measure_neuron

    return measure_neuron(opened[0], asked)


NEURON = Measurement(
    "neuron",
    """Show the membrane and the spikes of one neuron while it sees an image, beside the surrogate gradient.

    Example: bntt neuron runs/fashion-mnist --layer conv2 --place 5 7 7""",
    NeuronArguments,
    result,
    run,
)
