"""The record of a drift measurement: its numbers, tables, charts and metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

from bntt.analysis.drift.measurement import DriftArguments
from bntt.analysis.result import Metric, Number, OverSteps, Record, Result, mean_of
from bntt.charts.records import STEPS, Axis, Chart, Level, Line, Lines, over_steps
from bntt.charts.section import Cell, Section, Table, number, plural

DISTANCE = Axis("distance to the running mean (running deviations)", low=0)
RATIO = Axis("input's deviation / running deviation", low=0)
DIVERGENCE = Axis("divergence KL (nats)", low=0)
MEASURES = ("distance", "distance_if_shared", "divergence_nats", "deviation_ratio")
INPUT = Axis("(input - running mean) / running deviation", low=-4, high=4)


class LayerDrift(Record):
    """A layer's input x_t, with mean μ_t and variance σ²_t over batch and space, against the running μ̄_t and σ̄²_t.

    Returned by :func:`bntt.analysis.drift.measure.input_drift`. ε is added to both variances, as the layer does. The
    running variance is unbiased and the measured one is not, which is negligible for many values.
    """

    driven: tuple[int, int]
    """The first and the last step, from 1, of those that are not silent by the firing rule and reach the readout."""
    distance: OverSteps
    """Mean over channels of ``|μ_t - μ̄_t| / σ̄_t``: 1 is one standard deviation."""
    distance_if_shared: OverSteps
    """The distance if all steps shared the average statistics of the driven ones: how much the input moves at all. It
    equals ``distance`` if one pair of statistics serves every step."""
    divergence_nats: OverSteps
    """Mean over channels of ``KL(N(μ_t, σ²_t) ‖ N(μ̄_t, σ̄²_t)) = ½ (r - 1 - ln r + (μ_t - μ̄_t)² / σ̄²_t)`` with
    ``r = σ²_t / σ̄²_t``; 0 where they agree."""
    deviation_ratio: OverSteps
    """Geometric mean over channels of ``σ_t / σ̄_t``."""

    def where_driven(self, values: OverSteps) -> list[Number]:
        """Return the values of driven steps, None elsewhere."""
        first, last = self.driven
        return [value if first <= t <= last else None for t, value in enumerate(values, 1)]


class LayerInputs(Record):
    """Distribution of a layer's input at every step, as ``(x_t - μ̄_t) / σ̄_t`` of each value.

    Returned by :func:`bntt.analysis.drift.measure.layer_inputs`.
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
        """Return the density of a step's values between neighbouring edges; the step is 0-based.

        >>> LayerInputs(layer="fc1", images=1, edges=(0.0, 0.5, 1.0), counts=[[2, 1, 1, 0]]).density(0)
        [0.5, 0.5]
        """
        row = self.counts[step]
        return [n / sum(row) / (b - a) for n, (a, b) in zip(row[1:-1], pairwise(self.edges), strict=True)]


class DriftResult(Result):
    """The drift of every normalised layer of one run."""

    arguments: DriftArguments | None = None
    """The arguments; None in older files, which do not have them."""
    norm: str
    images: int
    layers: Mapping[str, LayerDrift]
    distribution: LayerInputs

    def rows(self) -> list[dict[str, object]]:
        return [
            {"layer": name, "step": t + 1, "driven": layer.driven[0] <= t + 1 <= layer.driven[1]}
            | {key: getattr(layer, key)[t] for key in MEASURES}
            for name, layer in self.layers.items()
            for t in range(len(layer.distance))
        ]

    def section(self) -> Section:
        sample = f"{plural(self.images, f'{self.split} image')}, one start"
        columns = ("layer", "distance", "if shared", "divergence, nats", "ratio of deviations")
        means = [
            (Cell(name), *(number(mean_of(getattr(layer, key))) for key in MEASURES))
            for name, layer in self.layers.items()
        ]
        return Section(
            "Drift of statistics",
            words=("How far the running statistics are from those of images outside the training set.",),
            tables=(Table(f"Means over the steps: {sample}", columns, tuple(means)),),
            charts=self._charts(sample),
        )

    def _charts(self, sample: str) -> tuple[Chart, ...]:
        def over(title: str, y: Axis, key: str, *levels: Level) -> Lines:
            rows = {name: layer.where_driven(getattr(layer, key)) for name, layer in self.layers.items()}
            return Lines(title, STEPS, y, over_steps(rows), levels, sample)

        return (
            self._distribution_chart(),
            over("Distance of running statistics", DISTANCE, "distance"),
            over("The same, if all steps shared running statistics", DISTANCE, "distance_if_shared"),
            over("Deviation of the input / running deviation", RATIO, "deviation_ratio", Level(1.0, "equal")),
            over("Divergence of the input from the running statistics", DIVERGENCE, "divergence_nats"),
        )

    def _distribution_chart(self) -> Lines:
        """Draw the first, the middle and the last driven step."""
        held = self.distribution
        shown = _shown(self.layers[held.layer], len(held.counts))
        return inputs_chart(f"Input of {held.layer}", held, shown, plural(held.images, f"{self.split} image"))

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "drift": Metric("distance to the running mean", "σ", lambda r, at: _driven_mean(r, "distance"), digits=3),
        "largest-drift": Metric(
            "largest distance to the running mean",
            "σ",
            lambda r, at: max(
                (d for one in r.layers.values() for d in one.where_driven(one.distance) if d is not None), default=None
            ),
            digits=2,
        ),
        "drift-if-shared": Metric(
            "distance if all steps shared one", "σ", lambda r, at: _driven_mean(r, "distance_if_shared"), digits=3
        ),
    }


def inputs_chart(title: str, held: LayerInputs, steps: Sequence[int], note: str) -> Lines:
    """Draw a layer's input at some steps, from 1, and the standard normal that its running statistics expect."""
    middles = [(a + b) / 2 for a, b in pairwise(held.edges)]
    lines = [Line(f"step {t}", middles, held.density(t - 1)) for t in steps]
    normal = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in middles]
    lines.append(Line("expected: mean 0, deviation 1", middles, normal, dashed=True))
    return Lines(title, INPUT, Axis("density", low=0), lines, note=note)


def _driven_mean(result: DriftResult, key: str) -> Number:
    """Compute the mean over layers and their driven steps."""
    return mean_of(value for layer in result.layers.values() for value in layer.where_driven(getattr(layer, key)))


def _shown(layer: LayerDrift, steps: int) -> list[int]:
    """Select the first, middle and last of the driven steps; of all steps if none is driven."""
    first, last = layer.driven if layer.driven[0] <= layer.driven[1] else (1, steps)
    return sorted({first, (first + last) // 2, last})
