"""The record of a drift measurement: its numbers, tables, charts and metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean
from typing import ClassVar

from bntt.analysis.drift.measurement import DriftArguments
from bntt.analysis.result import Metric, Number, OverSteps, Record, Result
from bntt.charts.records import STEPS, Axis, Chart, Level, Line, Lines
from bntt.charts.section import Cell, Section, Table, number, plural

DISTANCE = Axis("distance of means (held deviations)", low=0)
RATIO = Axis("input's deviation / held deviation", low=0)
DIVERGENCE = Axis("divergence KL (nats)", low=0)
INPUT = Axis("(input - held mean) / held deviation", low=-4, high=4)


class LayerOverSteps(Record):
    """One layer's input against what the layer holds, a value for each step; see
    :class:`~bntt.analysis.LayerDrift` for the equations."""

    driven: tuple[int, int]
    """The first and the last step, from 1, that is not silent by the firing rule and reaches the readout."""
    distance: OverSteps
    distance_if_shared: OverSteps
    """The distance, if one pair of statistics served all steps."""
    divergence_nats: OverSteps
    deviation_ratio: OverSteps

    def where_driven(self, values: OverSteps) -> list[Number]:
        """The values of driven steps, None elsewhere."""
        first, last = self.driven
        return [value if first <= t <= last else None for t, value in enumerate(values, 1)]


class Distribution(Record):
    """How the standardised input of one layer is distributed in every step."""

    layer: str
    images: int
    edges: Sequence[float]
    counts: Sequence[Sequence[float]]
    """For each step: below the first edge, between each two, and from the last edge on."""

    def density(self, step: int) -> list[float]:
        """Share of a step's values between each two edges, over their distance."""
        row = self.counts[step]
        return [n / sum(row) / (b - a) for n, (a, b) in zip(row[1:-1], pairwise(self.edges), strict=True)]


class DriftResult(Result):
    """The drift of every normalised layer of one run."""

    arguments: DriftArguments | None = None
    """None in files from before arguments were kept."""
    norm: str
    images: int
    layers: Mapping[str, LayerOverSteps]
    distribution: Distribution

    def rows(self) -> list[dict[str, object]]:
        return [
            {
                "layer": name,
                "step": t + 1,
                "driven": layer.driven[0] <= t + 1 <= layer.driven[1],
                "distance": layer.distance[t],
                "distance_if_shared": layer.distance_if_shared[t],
                "divergence_nats": layer.divergence_nats[t],
                "deviation_ratio": layer.deviation_ratio[t],
            }
            for name, layer in self.layers.items()
            for t in range(len(layer.distance))
        ]

    def section(self) -> Section:
        spoken = f"{plural(self.images, f'{self.split} image')}, one start"
        columns = ("layer", "distance", "were they shared", "divergence, nats", "ratio of deviations")
        means = [
            (Cell(name), *(number(_mean(row)) for row in _measures(layer).values()))
            for name, layer in self.layers.items()
        ]
        return Section(
            "Drift of statistics",
            words=("How far the running statistics of training are from those of images that were not trained on.",),
            tables=(Table(f"Means over the steps: {spoken}", columns, tuple(means)),),
            charts=self._charts(spoken),
        )

    def _charts(self, spoken: str) -> tuple[Chart, ...]:
        def over(title: str, y: Axis, key: str, *levels: Level) -> Lines:
            lines = [
                Line(name, range(1, len(row) + 1), layer.where_driven(row))
                for name, layer in self.layers.items()
                for row in [_measures(layer)[key]]
            ]
            return Lines(title, STEPS, y, lines, levels, spoken)

        return (
            self._distribution_chart(),
            over("Distance of running statistics", DISTANCE, "distance"),
            over("The same, were they shared by all steps", DISTANCE, "if_shared"),
            over("Deviation of the input over the held one", RATIO, "ratio", Level(1.0, "as held")),
            over("The input as a Gaussian, from the held one", DIVERGENCE, "divergence"),
        )

    def _distribution_chart(self) -> Lines:
        """The first, the middle and the last driven step beside the standard normal that the layer holds."""
        held = self.distribution
        middles = [(a + b) / 2 for a, b in pairwise(held.edges)]
        lines = [
            Line(f"step {t}", middles, held.density(t - 1)) for t in _shown(self.layers[held.layer], len(held.counts))
        ]
        normal = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in middles]
        lines.append(Line("held: mean 0, deviation 1", middles, normal, dashed=True))
        title = f"What enters {held.layer}"
        return Lines(title, INPUT, Axis("density", low=0), lines, note=plural(held.images, f"{self.split} image"))

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "drift": Metric("distance from the held mean", "σ", lambda r, at: _driven_mean(r, "distance"), digits=3),
        "largest-drift": Metric(
            "largest distance from the held mean",
            "σ",
            lambda r, at: max(d for layer in r.layers.values() for d in layer.distance if d is not None),
            digits=2,
        ),
        "drift-if-shared": Metric(
            "distance if all steps shared one", "σ", lambda r, at: _driven_mean(r, "if_shared"), digits=3
        ),
    }


def _measures(layer: LayerOverSteps) -> dict[str, OverSteps]:
    return {
        "distance": layer.distance,
        "if_shared": layer.distance_if_shared,
        "divergence": layer.divergence_nats,
        "ratio": layer.deviation_ratio,
    }


def _mean(values: OverSteps) -> Number:
    return mean(held) if (held := [value for value in values if value is not None]) else None


def _driven_mean(result: DriftResult, key: str) -> Number:
    """Mean over layers and the steps in which something arrives."""
    found = [v for layer in result.layers.values() for v in layer.where_driven(_measures(layer)[key]) if v is not None]
    return mean(found) if found else None


def _shown(layer: LayerOverSteps, steps: int) -> list[int]:
    """The first, the middle and the last of the driven steps; of all where none is."""
    first, last = layer.driven if layer.driven[0] <= layer.driven[1] else (1, steps)
    return sorted({first, (first + last) // 2, last})
