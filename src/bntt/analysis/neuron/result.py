"""The record of one neuron over one image: its numbers, words, charts and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from bntt.analysis.neuron.measurement import NeuronArguments
from bntt.analysis.result import Metric, Number, Record, Result
from bntt.charts.records import STEPS, Axis, Level, Line, Lines, is_empty, over_steps
from bntt.charts.section import Section

POTENTIAL = Axis("membrane potential")
GRADIENT = Axis("surrogate gradient do/du", low=0)


class NeuronAtStep(Record):
    """One time step; values erased by a reset are None."""

    step: int
    """The step, counted from 1."""
    potential: Number
    """Membrane potential that decided the step's spike."""
    spike: bool
    membrane: Number
    """u after the step, including the reset."""
    surrogate_gradient: Number
    """do/du at the step."""


class SurrogateCurve(Record):
    """do/du over potentials."""

    potential: Sequence[float]
    gradient: Sequence[Number]


class NeuronResult(Result):
    """One neuron of a run while it sees one image (the paper's Figure 2)."""

    arguments: NeuronArguments | None = None
    """The arguments; None in older files, which do not have them."""
    image: int
    """Index of the image in the split, from 0."""
    label: str
    layer: str
    place: Sequence[int]
    """Channel, row and column; in a fully connected layer only the channel."""
    threshold: float
    steps: Sequence[NeuronAtStep]
    surrogate: SurrogateCurve | None = None
    """The surrogate's curve; None in older files, which do not have it."""

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.split} image {self.image} ({self.label})"

    def rows(self) -> list[dict[str, object]]:
        return [step.model_dump() for step in self.steps]

    def section(self) -> Section:
        fired = [str(one.step) for one in self.steps if one.spike]
        does = f"fires at {'step' if len(fired) == 1 else 'steps'} {', '.join(fired)}" if fired else "never fires"
        neuron = f"neuron {', '.join(map(str, self.place))} of {self.layer}"
        words = f"{neuron.capitalize()}, {self.split} image {self.image} ({self.label}): it {does}."
        charts = (self._membrane(neuron), self._gradients(neuron), self._surrogate_curve(neuron))
        shown = tuple(chart for chart in charts if not is_empty(chart))
        return Section("One neuron over time", words=(words,), charts=shown)

    def _membrane(self, neuron: str) -> Lines:
        rows = {
            "potential before firing": [one.potential for one in self.steps],
            "kept after the reset": [one.membrane for one in self.steps],
        }
        spikes = [Level(one.step, "spike", "x") for one in self.steps if one.spike]
        levels = (Level(self.threshold, "threshold"), *spikes)
        return Lines("Membrane over time", STEPS, POTENTIAL, over_steps(rows), levels, neuron)

    def _gradients(self, neuron: str) -> Lines:
        rows = {"surrogate gradient": [one.surrogate_gradient for one in self.steps]}
        return Lines("Surrogate gradient over time", STEPS, GRADIENT, over_steps(rows), note=neuron)

    def _surrogate_curve(self, neuron: str) -> Lines:
        """Draw the curve, with the neuron's steps on it."""
        known = [(one.potential, one.surrogate_gradient) for one in self.steps if one.potential is not None]
        lines = [Line("steps of the neuron", [u for u, _ in known], [slope for _, slope in known], joined=False)]
        if self.surrogate is not None:
            lines.insert(0, Line("surrogate gradient", self.surrogate.potential, self.surrogate.gradient))
        potential = Axis(f"potential that decides the spike (threshold {self.threshold:g})")
        return Lines("Surrogate gradient by potential", potential, GRADIENT, lines, note=neuron)

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "spiking-steps": Metric("steps with a spike", "", lambda r, at: sum(one.spike for one in r.steps), digits=0),
    }
