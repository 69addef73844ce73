"""The record of an activity measurement: its numbers, tables, charts and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import correlation, mean
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from bntt.analysis.activity.charts import gamma_charts, gamma_distributions, spike_charts
from bntt.analysis.activity.measurement import ActivityArguments
from bntt.analysis.result import Metric, Number, Record, Result
from bntt.charts.records import Figure
from bntt.charts.section import Cell, Section, Table, count, number, plural

V = TypeVar("V")
Peak = Literal["peak_step", "gamma_peak_step"]
LEAK_RATIO = ("leak_ratio.10%", "leak_ratio.50%", "leak_ratio.90%")
"""CSV columns of the three quantiles."""
MOST_CLASSES = 200
"""Largest number of rows in the table of classes."""


class GammaHistogram(Record):
    """Distribution of γ over the channels of one layer at every step (the paper's Figure 6)."""

    edges: Sequence[float]
    counts: Sequence[Sequence[int]]
    """For each step, the number of channels between neighbouring edges."""


class LayerActivity(Record):
    """One layer, all steps together."""

    neurons: int
    channels: int
    spike_rate: float
    """Spikes per neuron and image: the supplement's S_l."""
    peak_step: int | None
    """The step, from 1, with the most spikes, among steps whose spikes reach the readout; None if none do."""
    spikes_by_class: Mapping[str, Sequence[float]] = {}
    """Spikes for one image of each class, by step."""
    gamma_peak_step: int | None = None
    """The step, from 1, with the largest mean |γ|, among steps whose γ has a path to the readout."""
    gamma_histogram: GammaHistogram | None = None

    @property
    def spikes_per_image(self) -> float:
        """Spikes of the layer per image."""
        return self.neurons * self.spike_rate


class LayerAtStep(Record):
    """One layer in one time step; fields that need a γ for each step are None for layers without one."""

    layer: str
    step: int
    """The step, counted from 1."""
    spikes_per_image: float
    firing_rate: float
    """Spikes per neuron, 0 to 1."""
    channels_never: int
    """Channels in which no neuron fired for any image."""
    channels_always: int
    """Channels in which every neuron fired for every image."""
    gamma_magnitude: Number = None
    """Mean |γ| over the channels."""
    gamma_signed: Number = None
    gamma_largest: Number = None
    gamma_driven: bool = False
    """True if γ has a path from the input to the readout."""
    deviation: Number = None
    """Mean of σ̄ = √(running variance + ε)."""
    gamma_change: Number = None
    """Mean over channels of |γ_{t+1} - γ_t|, over the mean of |γ_t|."""
    deviation_change: Number = None
    leak_ratio: tuple[Number, Number, Number] | None = None
    """a_t / a_{t+1} of a = γ/σ̄: 10 %, 50 % and 90 % quantile over channels."""

    @property
    def driven_gamma(self) -> float | None:
        """Mean |γ|; None if γ has no path to the readout, so that only weight decay changes it."""
        return self.gamma_magnitude if self.gamma_driven else None


class Finding(Record):
    """A fault of a layer; returned by :func:`bntt.analysis.activity.health.health`."""

    layer: str
    """Name of the layer."""
    kind: Literal["dead", "silent", "saturated", "idle", "collapsed"]
    """"dead": no spike at all; "silent": none in some steps; "saturated": nearly every neuron fires; "idle": channels
    without a spike; "collapsed": running variances below ε, which then alone determines the gain of the norm."""
    steps: tuple[int, ...] = Field(default=(), exclude=True)
    """The steps concerned, from 0; not written to the file."""
    share: float
    """Affected share of the layer: of its steps ("dead", "silent", "saturated"), of its channels ("idle"), or of its
    running variances ("collapsed")."""
    text: str
    """One line that states the fault and a possible remedy."""


def depth_correlation(peaks: Sequence[float]) -> float | None:
    """Compute Spearman's rank correlation of peak and depth; 0 if all peaks are equal, None for fewer than 3.

    Spearman's correlation is undefined if all peaks are equal. Without a number, such a start would be left out even
    though it speaks against a claim.

    >>> round(depth_correlation([1, 2, 3, 3]), 4), depth_correlation([3, 2, 1]), depth_correlation([4, 4, 4])
    (0.9487, -1.0, 0.0)
    """
    if len(peaks) < 3:
        return None
    if len(set(peaks)) == 1:
        return 0.0
    ranks = [sum(other < peak for other in peaks) + sum(other <= peak for other in peaks) for peak in peaks]
    return correlation(range(len(peaks)), ranks)


def _later(title: str, key: Peak) -> Metric:
    """Measure whether deeper layers peak later."""
    return Metric(f"{title} (rank correlation)", "", lambda r, at: depth_correlation(_peaks(r, key)), digits=2)


def _last_peak(title: str, key: Peak) -> Metric:
    return Metric(title, "step", lambda r, at: next(reversed(_peaks(r, key)), None), digits=0)


def _peaks(result: ActivityResult, key: Peak) -> list[int]:
    """Return the peaks of the layers that have one."""
    return [peak for layer in result.layers.values() if (peak := getattr(layer, key)) is not None]


def _of_peak(title: str, step: int, key: Literal["firing_rate", "driven_gamma"], first: int = 1) -> Metric:
    """Measure the value at a step divided by the highest of all steps, in %, mean over the layers from ``first`` on."""

    def read(result: ActivityResult, at: float | None) -> float | None:
        rows = [[v for v in row if v is not None] for row in result.by_layer(lambda row: getattr(row, key)).values()]
        found = [row[step] / highest for row in rows[first:] if (highest := max(row, default=0)) > 0]
        return 100 * mean(found) if found else None

    return Metric(title, "%", read, digits=0)


def _smallest(result: ActivityResult) -> float | None:
    return min((row.driven_gamma for row in result.steps if row.driven_gamma is not None), default=None)


def _change(title: str, key: Literal["gamma_change", "deviation_change"]) -> Metric:
    """Measure a change from one step to the next, in %, mean over layers and the steps that drive the readout."""

    def read(result: ActivityResult, at: float | None) -> float | None:
        found = [value for row in result.steps if row.gamma_driven and (value := getattr(row, key)) is not None]
        return 100 * mean(found) if found else None

    return Metric(title, "%", read)


class ActivityResult(Result):
    """Spikes and γ of one run."""

    arguments: ActivityArguments | None = None
    """The arguments; None in older files, which do not have them."""
    images: int
    draws: int = 1
    spikes_per_image: float
    layers: Mapping[str, LayerActivity]
    steps: Sequence[LayerAtStep]
    findings: Sequence[Finding] = ()
    places_npz: bytes = Field(default=b"", exclude=True, repr=False)
    """Spikes of every neuron, saved as a separate file; empty if not requested."""

    @property
    def measured_on(self) -> str:
        """The images and draws over which the numbers are means."""
        return f"{plural(self.images, f'{self.split} image')}, {plural(self.draws, 'draw')}, one start"

    def by_layer(self, read: Callable[[LayerAtStep], V]) -> dict[str, list[V]]:
        """Collect a value of every layer over steps."""
        found: dict[str, list[V]] = {}
        for row in self.steps:
            found.setdefault(row.layer, []).append(read(row))
        return found

    def rows(self) -> list[dict[str, object]]:
        return [
            row.model_dump(exclude={"leak_ratio"})
            | dict(zip(LEAK_RATIO, row.leak_ratio or (None,) * len(LEAK_RATIO), strict=True))
            for row in self.steps
        ]

    def attachments(self) -> dict[str, bytes]:
        return {"places.npz": self.places_npz} if self.places_npz else {}

    def section(self) -> Section:
        return Section(
            "Spike activity",
            words=(f"{self.spikes_per_image:,.0f} spikes per image in all layers and steps.",),
            tables=(self._layer_table(), *self._finding_table()),
            charts=(*spike_charts(self), *gamma_charts(self)),
            folded=self._class_table(),
        )

    def figures(self) -> list[Figure]:
        pictures = [Figure(self.title, spike_charts(self))]
        if gamma := (*gamma_charts(self), *gamma_distributions(self)):
            pictures.append(Figure(f"{self.title}: γ over time", gamma, stem="gamma"))
        return pictures

    def _layer_table(self) -> Table:
        columns = ("layer", "neurons", "spikes per neuron", "most spikes at step", "γ largest at step")
        rows = tuple(
            (
                Cell(name),
                count(layer.neurons),
                number(layer.spike_rate),
                count(layer.peak_step),
                count(layer.gamma_peak_step),
            )
            for name, layer in self.layers.items()
        )
        return Table(f"Spikes by layer: {self.measured_on}", columns, rows)

    def _finding_table(self) -> tuple[Table, ...]:
        if not self.findings:
            return ()
        rows = tuple((Cell(one.layer), Cell(one.kind), Cell(one.text)) for one in self.findings)
        caption = f"{plural(len(rows), 'finding')}: faults of layers"
        return (Table(caption, ("layer", "kind", "finding"), rows),)

    def _class_table(self) -> tuple[Table, ...]:
        spikes = {name: layer.spikes_by_class for name, layer in self.layers.items() if layer.spikes_by_class}
        classes = list(dict.fromkeys(one for by_class in spikes.values() for one in by_class))[:MOST_CLASSES]
        if not classes:
            return ()
        rows = tuple((Cell(one), *(count(sum(of.get(one, ()))) for of in spikes.values())) for one in classes)
        caption = f"Spikes per image by class and layer, all steps: {self.measured_on}"
        return (Table(caption, ("class", *spikes), rows),)

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "gamma-later": _later("γ peaks later with depth", "gamma_peak_step"),
        "gamma-peak": _last_peak("peak of γ in the last layer", "gamma_peak_step"),
        "spikes-later": _later("spikes peak later with depth", "peak_step"),
        "spikes-peak": _last_peak("peak of spikes in the last layer", "peak_step"),
        "spikes-first": _of_peak("firing at the first step, relative to the peak", 0, "firing_rate"),
        "spikes-last": _of_peak("firing at the last step, relative to the peak", -1, "firing_rate"),
        "gamma-first": _of_peak("γ at the first step, relative to its peak", 0, "driven_gamma"),
        "gamma-last": _of_peak("γ at the last step, relative to its peak", -1, "driven_gamma"),
        "gamma-smallest": Metric("smallest mean |γ| of a layer and step", "", lambda r, at: _smallest(r), digits=3),
        "gamma-change": _change("change of γ from a step to the next", "gamma_change"),
        "deviation-change": _change("change of σ̄ from a step to the next", "deviation_change"),
        "last-step": _of_peak("firing at the last step, relative to the peak", -1, "firing_rate", first=0),
    }
