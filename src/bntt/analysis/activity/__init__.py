"""Firing of the neurons of a run by step and class, and its γ over time (the paper's Figures 1C, 4, 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation, mean
from typing import Annotated, Any, Literal

from pydantic import Field

from bntt.analysis.measurement import Draws, Measurement, Opened, Progress, Split, draws_of, origin
from bntt.analysis.result import Number, Record, Result, Shown, mean_of, table
from bntt.charts.records import (
    STEPS,
    Axis,
    Chart,
    Entry,
    Figure,
    Forest,
    HeatMap,
    Lines,
    map_over_steps,
    over_steps,
    values_of,
)
from bntt.charts.section import Section, plural

RATE = Axis("firing rate (spikes per neuron)", percent=True, low=0)
SPIKES = Axis("spikes per image, all steps", scale="log")
OF_CLASS = Axis("spikes / mean over the layer's classes")
LATER = "later with depth (rank correlation)"
FIRST, LAST = "at the first step, relative to", "at the last step, relative to"
NEXT = "from a step to the next"


@dataclass(frozen=True)
class ActivityArguments:
    """Arguments of the activity measurement."""

    RETIRED = (("places", False),)

    split: Split = "test"
    """Split whose images are measured."""
    draws: Draws = 1
    """Number of draws, each with fresh noise."""


class GammaHistogram(Record):
    """By step, the number of a layer's channels whose γ is between neighbouring edges (the paper's Figure 6)."""

    edges: Sequence[float]
    counts: Sequence[Sequence[int]]


class LayerActivity(Record):
    """One layer, all steps together; S_l is its spike rate, a peak one of the steps, from 1, that reach the readout."""

    neurons: int
    channels: int
    spike_rate: Annotated[float, Shown("spikes per neuron")]
    peak_step: Annotated[int | None, Shown("most spikes at step")]
    spikes_by_class: Mapping[str, Sequence[float]] = {}
    """Spikes for one image of each class, by step."""
    gamma_peak_step: Annotated[int | None, Shown("γ largest at step")] = None
    gamma_histogram: GammaHistogram | None = None

    @property
    def spikes_per_image(self) -> float:
        return self.neurons * self.spike_rate


class LayerAtStep(Record):
    """One layer in one time step, from 1; fields that need a γ for each step are None for layers without one.

    γ is driven where it has a path from input to readout.
    """

    layer: str
    step: int
    spikes_per_image: float
    firing_rate: float
    gamma_magnitude: Number = None
    gamma_signed: Number = None
    gamma_driven: bool = False
    deviation: Number = None
    gamma_change: Number = None
    deviation_change: Number = None

    @property
    def driven_gamma(self) -> Number:
        return self.gamma_magnitude if self.gamma_driven else None


class Finding(Record):
    """A fault of a layer; returned by :func:`bntt.analysis.health`."""

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
    text: Annotated[str, Shown("finding")]
    """One line that states the fault and a possible remedy."""


def depth_correlation(peaks: Sequence[float]) -> float | None:
    """Compute Spearman's rank correlation of peak and depth; None for fewer than 3."""
    if len(peaks) < 3:
        return None
    if len(set(peaks)) == 1:  # undefined; without a number a start that speaks against a claim would be left out
        return 0.0
    ranks = [sum(other < peak for other in peaks) + sum(other <= peak for other in peaks) for peak in peaks]
    return correlation(range(len(peaks)), ranks)


class ActivityResult(Result):
    """Spikes and γ of one run."""

    arguments: ActivityArguments | None = None
    images: int
    draws: int = 1
    spikes_per_image: float
    layers: Mapping[str, LayerActivity]
    steps: Sequence[LayerAtStep]
    findings: Sequence[Finding] = ()

    computed = (
        (Shown(f"γ peaks {LATER}", metric="gamma-later", digits=2), "later", "gamma_peak_step"),
        (Shown("peak of γ in the last layer", "step", metric="gamma-peak", digits=0), "last_peak", "gamma_peak_step"),
        (Shown(f"spikes peak {LATER}", metric="spikes-later", digits=2), "later", "peak_step"),
        (Shown("peak of spikes in the last layer", "step", metric="spikes-peak", digits=0), "last_peak", "peak_step"),
        (Shown(f"firing {FIRST} the peak", "", ".0%", "spikes-first", 0), "of_peak", "firing_rate", 0),
        (Shown(f"firing {LAST} the peak", "", ".0%", "spikes-last", 0), "of_peak", "firing_rate", -1),
        (Shown("γ at the first step, relative to its peak", "", ".0%", "gamma-first", 0), "of_peak", "driven_gamma", 0),
        (Shown("γ at the last step, relative to its peak", "", ".0%", "gamma-last", 0), "of_peak", "driven_gamma", -1),
        (Shown("smallest mean |γ| of a layer and step", metric="gamma-smallest", digits=3), "smallest_gamma"),
        (Shown(f"change of γ {NEXT}", form=".1%", metric="gamma-change"), "mean_driven", "gamma_change"),
        (Shown(f"change of σ̄ {NEXT}", form=".1%", metric="deviation-change"), "mean_driven", "deviation_change"),
        (Shown(f"firing {LAST} the peak", "", ".0%", "last-step", 0), "of_peak", "firing_rate", -1, 0),
    )

    def peaks(self, key: str) -> list[int]:
        return [peak for layer in self.layers.values() if (peak := getattr(layer, key)) is not None]

    def last_peak(self, key: str) -> int | None:
        return next(reversed(self.peaks(key)), None)

    def later(self, key: str) -> Number:
        return depth_correlation(self.peaks(key))

    def smallest_gamma(self) -> Number:
        return min((row.driven_gamma for row in self.steps if row.driven_gamma is not None), default=None)

    def mean_driven(self, key: str) -> Number:
        return mean_of(getattr(row, key) for row in self.steps if row.gamma_driven)

    def of_peak(self, key: str, step: int, first: int = 1) -> Number:
        """Divide the value at a step by the highest of all steps: the mean over the layers from ``first`` on."""
        rows = [[value for value in row if value is not None] for row in self.by_layer(key).values()]
        return mean_of(row[step] / max(row) for row in rows[first:] if max(row, default=0) > 0)

    def by_layer(self, key: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for row in self.steps:
            found.setdefault(row.layer, []).append(getattr(row, key))
        return found

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump() for row in self.steps]

    @property
    def sample(self) -> str:
        return f"{plural(self.images, f'{self.split} image')}, {plural(self.draws, 'draw')}, one start"

    def section(self) -> Section:
        columns = ("neurons", "spike_rate", "peak_step", "gamma_peak_step")
        tables = [table(f"Spikes by layer: {self.sample}", self.layers, *columns, first="layer")]
        if self.findings:
            caption = f"{plural(len(self.findings), 'finding')}: faults of layers"
            tables.append(table(caption, self.findings, "layer", "kind", "text"))
        words = (f"{self.spikes_per_image:,.0f} spikes per image in all layers and steps.",)
        charts = (*self.spike_charts(), *self.gamma_charts())
        return Section("Spike activity", words, tuple(tables), charts)

    def figures(self) -> list[Figure]:
        pictures = [Figure(self.title, self.spike_charts())]
        if gamma := self.gamma_charts():
            pictures.append(Figure(f"{self.title}: γ over time", gamma, stem="gamma"))
        return pictures

    def spike_charts(self) -> tuple[Chart, ...]:
        """Draw the firing rate over time, and spikes by layer and by class."""
        entries = [Entry(name, layer.spikes_per_image) for name, layer in self.layers.items()]
        by_class = {name: layer.spikes_by_class for name, layer in self.layers.items()}
        classes = list(dict.fromkeys(one for of in by_class.values() for one in of))
        values = list[list[Number]]()
        for of in by_class.values():  # over the layer's mean: otherwise only a few layers would be visible
            row = [sum(of.get(one, ())) for one in classes]
            values.append([value / mean(row) if any(row) else None for value in row])
        rates = over_steps(self.by_layer("firing_rate"))
        charts = (
            Lines("Firing rate by layer and step", STEPS, RATE, rates, note=self.sample),
            Forest("Spikes of each layer", SPIKES, entries, note=self.sample),
            HeatMap("Spikes by class", Axis("class"), list(by_class), classes, values, OF_CLASS),
        )
        return tuple(chart for chart in charts if values_of(chart))

    def gamma_charts(self) -> tuple[Chart, ...]:
        """Draw γ, its divisor σ̄ and their changes by layer and step; nothing if no layer has a γ for each step."""
        charts = list[Chart]()
        for title, axis, key, last, note in (
            ("γ over time", Axis("mean |γ| over channels"), "driven_gamma", None, "grey: no path to the readout"),
            ("σ̄ over time", Axis("mean σ̄ over channels", scale="log"), "deviation", None, ""),
            ("Change of γ", Axis("change to the next step / |γ|", percent=True), "gamma_change", -1, ""),
            ("Change of σ̄", Axis("change to the next step / σ̄", percent=True), "deviation_change", -1, ""),
        ):
            rows = {name: row[:last] for name, row in self.by_layer(key).items()}  # the last step has no next one
            if shown := {name: row for name, row in rows.items() if any(value is not None for value in row)}:
                charts.append(map_over_steps(title, shown, axis, note))
        return tuple(charts)


def measure_activity(opened: Opened, arguments: ActivityArguments, progress: Progress) -> ActivityResult:
    """Count the spikes of every image of a split, and read γ."""
    from bntt.analysis.activity.spike_activity import class_activity, health, spikes_of_layer
    from bntt.analysis.exit.early_exit import gamma_profile, gamma_spread, step_changes
    from bntt.nn.network.delays import delays

    network, loader = opened.model.network, opened.loader(arguments.split)
    draws = draws_of(opened.facts, arguments.draws)
    progress.expect(draws * len(loader.places))
    options: dict[str, Any] = {"seed": opened.seed, "draws": draws, "progress": progress}
    counted = class_activity(opened.model, loader, len(opened.classes), **options)
    gamma, changes = gamma_profile(network), step_changes(network)
    spreads, late = gamma_spread(network), delays(network)
    shown = loader.data.labels[loader.places].unique().tolist()  # of other classes no mean is known
    layers, steps = dict[str, LayerActivity](), list[LayerAtStep]()
    for name in counted.total.spikes:
        layer, columns = spikes_of_layer(counted.total, name, late[name])
        layer["spikes_by_class"] = {opened.classes[label]: counted.by_class[name][label].tolist() for label in shown}
        if name in spreads:
            spread, change, peak = spreads[name], changes[name], gamma.peak(name)
            layer["gamma_peak_step"] = None if peak is None else peak + 1
            layer["gamma_histogram"] = GammaHistogram(edges=spread.edges.tolist(), counts=spread.counts.tolist())
            columns |= {
                "gamma_magnitude": gamma.magnitude[name].tolist(),
                "gamma_signed": gamma.signed[name].tolist(),
                "gamma_driven": [t in gamma.driven[name] for t in range(len(spread.counts))],
                "deviation": gamma.deviation[name].tolist(),
                "gamma_change": [*change.gamma.tolist(), None],
                "deviation_change": [*change.deviation.tolist(), None],
            }
        layers[name] = LayerActivity.model_validate(layer)
        for row in zip(*columns.values(), strict=True):
            steps.append(LayerAtStep(layer=name, **dict(zip(columns, row, strict=True))))
    return ActivityResult(
        **origin(opened, arguments),
        images=len(loader.places),
        draws=draws,
        spikes_per_image=counted.total.spikes_per_sample(),
        layers=layers,
        steps=steps,
        findings=health(counted.total, network),
    )


ACTIVITY = Measurement(
    "activity",
    """Count a run's spikes by layer, step and class; show its γ: peaks, spread, and change over time.

    Writes activity.json, activity.png and, if there is a γ for each step, activity-gamma.png.

    Example: bntt activity runs/fashion-mnist""",
    ActivityArguments,
    ActivityResult,
    measure_activity,
)
