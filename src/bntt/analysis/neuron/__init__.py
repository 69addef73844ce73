"""The membrane and the spikes of one neuron while it sees one image, and the surrogate gradient (Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Measurement, Opened, Progress, Split, origin
from bntt.analysis.result import Number, Record, Result, Shown
from bntt.charts.records import STEPS, Axis, Level, Line, Lines, over_steps, values_of
from bntt.charts.section import Section

GRADIENT = Axis("surrogate gradient do/du", low=0)


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


class NeuronAtStep(Record):
    """One time step, from 1: the potential that decided its spike, u after it, and do/du; None if a reset erased it."""

    step: int
    potential: Number
    spike: bool
    membrane: Number
    surrogate_gradient: Number


class SurrogateCurve(Record):
    """do/du over potentials."""

    potential: Sequence[float]
    gradient: Sequence[Number]


class NeuronResult(Result):
    """One neuron of a run while it sees one image."""

    arguments: NeuronArguments | None = None
    image: int
    label: str
    layer: str
    place: Sequence[int]
    threshold: float
    steps: Sequence[NeuronAtStep]
    surrogate: SurrogateCurve | None = None

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.split} image {self.image} ({self.label})"

    @property
    def spiking_steps(self) -> Annotated[int, Shown("steps with a spike", metric="spiking-steps", digits=0)]:
        return sum(step.spike for step in self.steps)

    def rows(self) -> list[dict[str, object]]:
        return [step.flat() for step in self.steps]

    def section(self) -> Section:
        fired = [one.step for one in self.steps if one.spike]
        when = f"fires at step{'' if len(fired) == 1 else 's'} {', '.join(map(str, fired))}" if fired else "never fires"
        neuron = f"neuron {', '.join(map(str, self.place))} of {self.layer}"
        words = f"{neuron.capitalize()}, {self.split} image {self.image} ({self.label}): it {when}."
        potentials, slopes = ([getattr(one, key) for one in self.steps] for key in ("potential", "surrogate_gradient"))
        kept = [one.membrane for one in self.steps]
        membrane = over_steps({"potential before firing": potentials, "kept after the reset": kept})
        levels = [Level(self.threshold, "threshold"), *(Level(step, "spike", "x") for step in fired)]
        known = [(u, slope) for u, slope in zip(potentials, slopes, strict=True) if u is not None]
        curve = [Line("steps of the neuron", [u for u, _ in known], [slope for _, slope in known], joined=False)]
        if self.surrogate is not None:
            curve.insert(0, Line("surrogate gradient", self.surrogate.potential, self.surrogate.gradient))
        potential = Axis(f"potential that decides the spike (threshold {self.threshold:g})")
        charts = (
            Lines("Membrane over time", STEPS, Axis("membrane potential"), membrane, levels, neuron),
            Lines("Surrogate gradient by potential", potential, GRADIENT, curve, note=neuron),
        )
        return Section("One neuron over time", (words,), charts=tuple(chart for chart in charts if values_of(chart)))


def measure_neuron(opened: Opened, arguments: NeuronArguments, progress: Progress) -> NeuronResult:
    """Follow one neuron through one image of a split."""
    import torch

    from bntt.analysis.neuron.trace import neuron_trace

    images, model = opened.samples(arguments.split), opened.model
    if arguments.image >= len(images):
        raise ArgumentError(f"--image {arguments.image}: the {arguments.split} split has images 0 to {len(images) - 1}")
    pixels = images.batch(torch.tensor([arguments.image])).to(next(model.parameters()).device)
    layer = arguments.layer or next(name for name, part in model.network.layers.items() if part.lif is not None)
    trace = neuron_trace(model, pixels, layer, arguments.place or None, index=arguments.image, seed=opened.seed)
    return NeuronResult(
        **origin(opened, arguments),
        image=arguments.image,
        label=opened.classes[int(images.labels[arguments.image])],
        layer=layer,
        place=trace.place,
        threshold=trace.neuron.threshold,
        steps=trace.steps,
        surrogate=trace.surrogate,
    )


NEURON = Measurement(
    "neuron",
    """Plot the membrane and the spikes of one neuron while it sees an image, and the surrogate gradient.

    Example: bntt neuron runs/fashion-mnist --layer conv2 --place 5 7 7""",
    NeuronArguments,
    NeuronResult,
    measure_neuron,
)
