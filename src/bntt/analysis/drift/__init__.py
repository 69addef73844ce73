"""Distance of every normalised layer's input from the layer's running statistics (the paper's Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Opened, Progress, Split, origin
from bntt.analysis.result import Number, OverSteps, Record, Result, Shown, mean_of, table
from bntt.charts.records import STEPS, Axis, Chart, Line, Lines, over_steps
from bntt.charts.section import Section, plural

DISTANCE = Axis("distance to the running mean (running deviations)", low=0)
MEASURES = ("distance", "distance_if_shared")
INPUT = Axis("(input - running mean) / running deviation", low=-4, high=4)


@dataclass(frozen=True)
class DriftArguments:
    """Arguments of the drift measurement."""

    layer: str | None = None
    """Layer whose distribution is drawn; the middle normalised one by default."""
    split: Split = "validation"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 500
    """Number of images for that distribution, at most."""


class LayerDrift(Record):
    """A layer's input x_t, with mean μ_t over batch and space, against the running μ̄_t and σ̄²_t, to which ε is added.

    Returned by :func:`bntt.analysis.input_drift`.
    """

    driven: tuple[int, int]
    """The first and the last step, from 1, of those that are not silent by the firing rule and reach the readout."""
    distance: OverSteps
    """Mean over channels of ``|μ_t - μ̄_t| / σ̄_t``: 1 is one standard deviation."""
    distance_if_shared: Annotated[OverSteps, Shown("if shared")]
    """The distance if all steps shared the average statistics of the driven ones: how much the input moves at all. It
    equals ``distance`` if one pair of statistics serves every step."""

    def where_driven(self, values: OverSteps) -> list[Number]:
        """Return the values of driven steps, None elsewhere."""
        first, last = self.driven
        return [value if first <= t <= last else None for t, value in enumerate(values, 1)]


class LayerInputs(Record):
    """Distribution of a layer's input at every step, as ``(x_t - μ̄_t) / σ̄_t`` of each value.

    Returned by :func:`bntt.analysis.layer_inputs`.
    """

    layer: str
    """Name of the layer."""
    images: int
    """Number of samples measured."""
    edges: Sequence[float]
    """Edges of the histogram, in ascending order."""
    counts: Sequence[Sequence[float]]
    """For each step, the number of values below the first edge, between neighbouring edges, and from the last on."""

    def density(self, step: int) -> list[float]:
        """Return the density of a step's values between neighbouring edges; the step is 0-based."""
        row = self.counts[step]
        return [n / sum(row) / (b - a) for n, (a, b) in zip(row[1:-1], pairwise(self.edges), strict=True)]


class DriftResult(Result):
    """The drift of every normalised layer of one run."""

    computed = (
        (Shown("distance to the running mean", "σ", metric="drift", digits=3), "mean_driven", "distance"),
        (Shown("distance if all steps shared one", "σ", metric="drift-if-shared", digits=3),
         "mean_driven", "distance_if_shared"),
        (Shown("largest distance to the running mean", "σ", metric="largest-drift", digits=2),
         "largest_driven", "distance"),
    )  # fmt: skip
    arguments: DriftArguments | None = None
    norm: str
    images: int
    layers: Mapping[str, LayerDrift]
    distribution: LayerInputs

    def mean_driven(self, key: str) -> Number:
        return mean_of(self._driven(key))

    def largest_driven(self, key: str) -> Number:
        return max((value for value in self._driven(key) if value is not None), default=None)

    def _driven(self, key: str) -> list[Number]:
        """Collect a measure of all layers in their driven steps."""
        return [value for layer in self.layers.values() for value in layer.where_driven(getattr(layer, key))]

    def rows(self) -> list[dict[str, object]]:
        return [
            {"layer": name, "step": t + 1, "driven": layer.driven[0] <= t + 1 <= layer.driven[1]}
            | {key: getattr(layer, key)[t] for key in MEASURES}
            for name, layer in self.layers.items()
            for t in range(len(layer.distance))
        ]

    def section(self) -> Section:
        sample = f"{plural(self.images, f'{self.split} image')}, one start"
        return Section(
            "Drift of statistics",
            words=("How far the running statistics are from those of images outside the training set.",),
            tables=(table(f"Means over the steps: {sample}", self.layers, *MEASURES, first="layer"),),
            charts=self._charts(sample),
        )

    def _charts(self, sample: str) -> tuple[Chart, ...]:
        def over(title: str, key: str) -> Lines:
            rows = {name: layer.where_driven(getattr(layer, key)) for name, layer in self.layers.items()}
            return Lines(title, STEPS, DISTANCE, over_steps(rows), note=sample)

        held = self.distribution
        first, last = self.layers[held.layer].driven
        first, last = (first, last) if first <= last else (1, len(held.counts))
        shown = sorted({first, (first + last) // 2, last})
        return (
            inputs_chart(f"Input of {held.layer}", held, shown, plural(held.images, f"{self.split} image")),
            over("Distance of running statistics", "distance"),
            over("The same, if all steps shared running statistics", "distance_if_shared"),
        )


def inputs_chart(title: str, held: LayerInputs, steps: Sequence[int], note: str) -> Lines:
    """Draw a layer's input at some steps, from 1, and the standard normal that its running statistics expect."""
    middles = [(a + b) / 2 for a, b in pairwise(held.edges)]
    lines = [Line(f"step {t}", middles, held.density(t - 1)) for t in steps]
    normal = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in middles]
    lines.append(Line("expected: mean 0, deviation 1", middles, normal, dashed=True))
    return Lines(title, INPUT, Axis("density", low=0), lines, note=note)


def measure_drift(opened: Opened, arguments: DriftArguments, progress: Progress) -> DriftResult:
    """Measure the drift on every image of a split, and the input distribution of one layer on some of them."""
    from bntt.analysis.drift.inputs import held_norms, input_drift, layer_inputs

    names = list(held_norms(opened.model.network))
    layer, every = arguments.layer or names[len(names) // 2], opened.loader(arguments.split)
    some = opened.loader(arguments.split, arguments.images)
    progress.expect(len(every.places) + len(some.places))
    return DriftResult(
        **origin(opened, arguments),
        norm=opened.facts.norm,
        images=len(every.places),
        distribution=layer_inputs(opened.model, some, layer, seed=opened.seed, progress=progress),
        layers=input_drift(opened.model, every, seed=opened.seed, progress=progress),
    )


DRIFT = Measurement(
    "drift",
    """Measure how far the input of every normalised layer is from its running statistics, at each step.

    Distances of the means are in running standard deviations, over every image of the split; for one layer the
    distribution is drawn (the paper's Figure 3).

    Example: bntt drift runs/fashion-mnist""",
    DriftArguments,
    DriftResult,
    measure_drift,
    refuses=lambda facts, arguments: "" if facts.norm_facts.running_statistics else "its norm holds no statistics",
)
