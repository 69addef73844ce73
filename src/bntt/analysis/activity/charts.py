"""Charts of spikes and of γ: the paper's Figures 1C, 4, 5 and 6."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from bntt.charts.records import (
    STEPS,
    Axis,
    Chart,
    Entry,
    Forest,
    HeatMap,
    Lines,
    Number,
    is_empty,
    map_over_steps,
    over_steps,
)

if TYPE_CHECKING:
    from bntt.analysis.activity.result import ActivityResult, GammaHistogram

RATE = Axis("firing rate (spikes per neuron)", percent=True, low=0)
SPIKES = Axis("spikes per image, all steps", scale="log")
BINS = 10
"""Number of rows in a chart of the distribution of γ."""


def spike_charts(result: ActivityResult) -> tuple[Chart, ...]:
    """Draw the firing rate over time, and spikes by layer and by class."""
    rates = result.by_layer(lambda row: row.firing_rate)
    entries = [Entry(name, layer.spikes_per_image) for name, layer in result.layers.items()]
    charts = (
        Lines("Firing rate by layer and step", STEPS, RATE, over_steps(rates), note=result.measured_on),
        Forest("Spikes of each layer", SPIKES, entries, note=result.measured_on),
        _by_class(result),
    )
    return tuple(chart for chart in charts if not is_empty(chart))


def _by_class(result: ActivityResult) -> HeatMap:
    """Draw spikes by class, each layer divided by its mean: otherwise only a few layers would be visible."""
    rows = {name: layer.spikes_by_class for name, layer in result.layers.items()}
    classes = list(dict.fromkeys(one for by_class in rows.values() for one in by_class))
    values = [_over_mean([sum(by_class.get(one, ())) for one in classes]) for by_class in rows.values()]
    return HeatMap(
        "Spikes by class", Axis("class"), list(rows), classes, values, Axis("spikes / mean over the layer's classes")
    )


def _over_mean(values: Sequence[float]) -> list[Number]:
    return [value / mean(values) if any(values) else None for value in values]


def gamma_charts(result: ActivityResult) -> tuple[HeatMap, ...]:
    """Return charts of γ, its divisor σ̄ and their changes, by layer and step; () if no layer has a γ for each step."""
    gamma = result.by_layer(lambda row: row.driven_gamma)
    deviation = result.by_layer(lambda row: row.deviation)
    changes = [
        {name: row[:-1] for name, row in rows.items()}  # the last step has no next one
        for rows in (result.by_layer(lambda row: row.gamma_change), result.by_layer(lambda row: row.deviation_change))
    ]
    charts = (
        _over_steps("γ over time", Axis("mean |γ| over channels"), gamma, "grey: no path to the readout"),
        _over_steps("σ̄ over time", Axis("mean σ̄ over channels", scale="log"), deviation),
        _over_steps("Change of γ", Axis("change to the next step / |γ|", percent=True), changes[0]),
        _over_steps("Change of σ̄", Axis("change to the next step / σ̄", percent=True), changes[1]),
    )
    return tuple(chart for chart in charts if not is_empty(chart))


def _over_steps(title: str, value: Axis, rows: Mapping[str, Sequence[Number]], note: str = "") -> HeatMap:
    shown = {name: row for name, row in rows.items() if any(value is not None for value in row)}
    return map_over_steps(title, shown, value, note)


def gamma_distributions(result: ActivityResult) -> tuple[HeatMap, ...]:
    """Draw the distribution of γ over the channels of each layer at every step."""
    return tuple(
        _distribution(name, layer.gamma_histogram)
        for name, layer in result.layers.items()
        if layer.gamma_histogram is not None
    )


def _distribution(layer: str, histogram: GammaHistogram) -> HeatMap:
    """Merge bins into a few rows, with the largest γ in the top row, as on an axis."""
    edges, counts = histogram.edges, histogram.counts
    joined = max(1, (len(edges) - 1) // BINS)
    starts = range(0, len(edges) - 1, joined)[::-1]
    values = [[sum(row[i : i + joined]) / sum(row) or None for row in counts] for i in starts]
    middles = [(edges[i] + edges[min(i + joined, len(edges) - 1)]) / 2 for i in starts]
    height = joined * (edges[-1] - edges[0]) / (len(edges) - 1)  # neighbouring edges can be equal in float32
    digits = max(2, 1 + math.ceil(-math.log10(height)))
    rows = {f"{middle:.{digits}f}": row for middle, row in zip(middles, values, strict=True)}
    return map_over_steps(f"γ of {layer}", rows, Axis("channels", percent=True), "grey: no channel")
