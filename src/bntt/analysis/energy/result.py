"""The record of an energy measurement: its numbers, tables, charts and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bntt.analysis.energy.costs import Costs, Digital
from bntt.analysis.energy.measurement import EnergyArguments
from bntt.analysis.result import BEYOND, Count, Metric, Number, OverSteps, Record, Result, Share
from bntt.charts.records import Axis, Bar, Bars
from bntt.charts.section import Cell, Section, Table, count, gap, number, plural

NOTE = (
    "an estimate from a table, not a measurement: published estimates of one network by different models disagree by "
    "several times; only the operations by layer are certain"
)
ANN_NOTE = (
    "This network is an ANN: its own multiply-accumulates are only those of values that are not 0; the column ANN MACs "
    "has all of them."
)
LEFT_OUT = (
    "memory accesses",
    "pooling itself",
    "sums of residual blocks, and the readout's sum over the steps",
    "random numbers and normalisation of the encoder",
    "savings from zeros among an ANN's activations, and from weights that are 0",
)
Amount = Annotated[float, Field(ge=0, lt=BEYOND)]
"""A mean number of operations, or an energy."""
Steps = Annotated[int, Field(ge=1)]
"""Number of steps after which one image is stopped."""
SUMMED = ("spikes", "additions_by_spike", "macs_by_spike", "additions_by_value", "macs_by_value", "ann_macs")
HEADS = ("spikes", "additions by spike", "MACs by spike", "additions by value", "MACs by value", "ANN MACs")


class LayerRow(Record):
    """One layer's operations for one image up to a stop, on average.

    "By spike" every spike in a pooled value is an addition, "by value" the value is one multiply-accumulate (MAC).
    """

    steps: Steps
    layer: str
    input: str
    """Single "spikes", "counts" of them after pooling, "analog" values, or "nothing" if there are no weights."""
    neurons: Count
    spikes: Amount
    """Spikes of this layer's own neurons."""
    additions_by_spike: Amount
    macs_by_spike: Amount
    additions_by_value: Amount
    macs_by_value: Amount
    update_additions: Amount
    """Additions by norm, leak, threshold and reset."""
    update_multiplications: Amount
    ann_macs: Count
    """All multiply-accumulates of an ANN of the same architecture in this layer."""
    ann_update_additions: Count


class LayerOverSteps(Record):
    """One layer's spikes and operations for one image in each step."""

    spikes: OverSteps
    operations_by_spike: OverSteps
    operations_by_value: OverSteps


class EnergyRow(Record):
    """The energy of one image up to a stop, by one table, and that of an ANN of the same architecture.

    The ANN's is None if the table prices spikes. A ratio above 1 means that the spiking network costs less.
    """

    costs: str
    """The name of the table."""
    unit: str
    steps: Steps
    price: str
    """Pricing of pooled values: "spikes", "values", or "either" if that makes no difference."""
    snn_synaptic: Amount
    snn_other: Amount
    snn: Amount
    ann_synaptic: Number
    ann_other: Number
    ann: Number
    ann_over_snn: Number
    ann_over_snn_synaptic: Number

    @property
    def stop(self) -> str:
        """Steps and price as text."""
        return plural(self.steps, "step") + ("" if self.price == "either" else f", by {self.price.removesuffix('s')}")


class SynapticOperations(Record):
    """Operations under NeuroBench's names."""

    Effective_MACs: Amount
    Effective_ACs: Amount
    Dense: Count


class NeuroBench(Record):
    """The metrics of NeuroBench's algorithm track (Yik et al. 2025), under its names."""

    footprint: Count
    """Bytes of parameters and buffers."""
    connection_sparsity: Share
    """The share of weights that are 0."""
    activation_sparsity: Number
    """The share of neurons and steps without a spike; None for an ANN."""
    synaptic_operations: SynapticOperations
    classification_accuracy: Share


class WeightOperations(Record):
    """Operations of all weights for one image."""

    additions: Amount
    macs: Amount


class AnnOperations(Record):
    """Operations of an ANN of the same architecture for one image, or for all frames or rows of one sample."""

    macs: Count
    update_additions: Count


class EnergyResult(Result):
    """The operations of one run's network, counted on a whole split, and their price."""

    arguments: EnergyArguments | None = None
    """The arguments; None in older files, which do not have them."""
    images: Count
    draws: Count
    steps: Annotated[Sequence[Steps], Field(min_length=1)]
    """The stops: all steps, and an exit if there is one."""
    note: str = NOTE
    is_ann: bool = False
    """True if the network has no spikes: its own operations are then the MACs of values that are not 0."""
    left_out: Sequence[str] = LEFT_OUT
    """The costs that are not counted."""
    neurobench: Mapping[int, NeuroBench]
    """NeuroBench metrics for each stop."""
    accuracy_over_time: Sequence[Share]
    layers: Sequence[LayerRow]
    """All layers for each stop."""
    per_step: Mapping[str, LayerOverSteps]
    ann: AnnOperations
    frames: Annotated[int, Field(ge=0)] = 0
    """Number of frames or rows of a sample, each of which the ANN reads; 0 for an image."""
    energy: Sequence[EnergyRow]
    costs: Mapping[str, Costs]
    operations_by_value_if_the_input_current_is_computed_once: Mapping[int, WeightOperations] | None = None
    """Operations for each stop, if the network's input is the same at every step; None for other networks."""

    def to_json(self) -> dict[str, Any]:
        once = "operations_by_value_if_the_input_current_is_computed_once"
        return self.model_dump(mode="json", exclude={once} if getattr(self, once) is None else None)

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump() for row in self.layers]

    def section(self) -> Section:
        runs = f"{plural(self.images, f'{self.split} image')}, {plural(self.draws, 'draw')}, one start"
        priced = {name: [row for row in self.energy if row.costs == name] for name in self.costs}
        priced = {name: rows for name, rows in priced.items() if rows}
        return Section(
            "Operations and energy",
            words=tuple(self._words()),
            tables=tuple(self._energy_table(name, rows, runs) for name, rows in priced.items()),
            charts=(self._operations_chart(), *(self._energy_chart(name, rows) for name, rows in priced.items())),
            folded=tuple(self._operations_table(steps, runs) for steps in self.steps),
        )

    def _words(self) -> Iterator[str]:
        for steps, one in self.neurobench.items():
            spikes = sum(row.spikes for row in self.layers if row.steps == steps)
            yield (
                f"After {plural(steps, 'step')}: {self.split} accuracy {one.classification_accuracy:.1%}, "
                f"{spikes:,.0f} spikes for one image."
            )
        if self.is_ann:
            yield ANN_NOTE
        for steps, once in (self.operations_by_value_if_the_input_current_is_computed_once or {}).items():
            yield (
                f"The input is the same at every step: with its current computed once there are {once.macs:,.0f} MACs "
                f"by value in all after {plural(steps, 'step')}."
            )
        if self.frames > 1:
            yield f"The ANN reads all {self.frames} frames or rows of a sample, one after the other."
        yield f"Energy is {self.note}."
        yield f"Left out: {'; '.join(self.left_out)}."

    def _energy_table(self, name: str, rows: Sequence[EnergyRow], runs: str) -> Table:
        scale, unit = _readable(rows)
        costs = self.costs[name]
        return Table(
            f"Energy of one image by {name}, {unit}: {runs}",
            ("stop", "network", "synaptic part", "other part", "ANN", "ANN / network"),
            tuple(
                (
                    Cell(row.stop, row.steps),
                    *(number(scale * value, "#.4g") for value in (row.snn, row.snn_synaptic, row.snn_other)),
                    gap("not available") if row.ann is None else number(scale * row.ann, "#.4g"),
                    gap("not available") if row.ann is None else number(row.ann_over_snn),
                )
                for row in rows
            ),
            f"Costs: {costs.source}{'; ' * bool(costs.note)}{costs.note}.",
        )

    def _operations_table(self, steps: int, runs: str) -> Table:
        layers = [row for row in self.layers if row.steps == steps]
        rows = [(Cell(row.layer), Cell(row.input), *(count(getattr(row, key)) for key in SUMMED)) for row in layers]
        sums = [count(sum(getattr(row, key) for row in layers)) for key in SUMMED]
        rows.append((Cell("all"), Cell(""), *sums))
        caption = f"Operations for one image after {plural(steps, 'step')}: {runs}"
        return Table(caption, ("layer", "input", *HEADS), tuple(rows))

    def _operations_chart(self) -> Bars:
        rows = [row for row in self.layers if row.steps == self.steps[0] and row.ann_macs]
        by_spike = [(row.additions_by_spike + row.macs_by_spike) / 1e6 for row in rows]
        by_value = [(row.additions_by_value + row.macs_by_value) / 1e6 for row in rows]
        own = [Bar("values that are not 0", by_value)]
        if not self.is_ann:
            own = [Bar("by spike", by_spike), Bar("by value", by_value)]
        return Bars(
            f"Operations by layer after {plural(self.steps[0], 'step')}",
            Axis("operations for one image (millions)", low=0),
            [row.layer for row in rows],
            [*own, Bar("all MACs of an ANN", [row.ann_macs / 1e6 for row in rows], "ann")],
            note="" if self.is_ann else "k spikes in a pooled value: k additions by spike, one MAC by value",
        )

    def _energy_chart(self, name: str, rows: Sequence[EnergyRow]) -> Bars:
        scale, unit = _readable(rows)
        first = rows[0]
        pairs = [(row.stop, row.snn_synaptic, row.snn_other) for row in rows]
        if first.ann_synaptic is not None and first.ann_other is not None:
            pairs.append(("ANN", first.ann_synaptic, first.ann_other))
        names, synaptic, other = zip(*pairs, strict=True)
        arithmetic = isinstance(self.costs[name], Digital)
        parts = ("weights", "norm, leak, threshold, reset") if arithmetic else ("spikes", "time")
        return Bars(
            f"Energy by {name}",
            Axis(f"energy of one image ({unit})", low=0),
            names,
            [Bar(part, [scale * v for v in values]) for part, values in zip(parts, (synaptic, other), strict=True)],
            stacked=True,
        )

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "energy": Metric("energy per image (45 nm, by spike)", "µJ", lambda r, at: _by_45nm(r, "snn", 1e6), digits=2),
        "energy-synaptic": Metric(
            "synaptic energy (45 nm, by spike)", "µJ", lambda r, at: _by_45nm(r, "snn_synaptic", 1e6), digits=2
        ),
        "ann-energy": Metric("energy of an equal ANN", "µJ", lambda r, at: _by_45nm(r, "ann", 1e6), digits=2),
        "ann-over-snn": Metric("energy ANN / SNN by spike", "", lambda r, at: _by_45nm(r, "ann_over_snn", 1), digits=2),
        "ann-over-snn-synaptic": Metric(
            "energy ANN / SNN by spike, synapses only",
            "",
            lambda r, at: _by_45nm(r, "ann_over_snn_synaptic", 1),
            digits=2,
        ),
    }


def _by_45nm(result: EnergyResult, key: str, unit: float) -> Number:
    """Read a number for all steps from the 45 nm table, with each spike in a pooled value as an addition."""
    rows = [row for row in result.energy if row.costs == "digital-45nm" and row.steps == max(result.steps)]
    found: Number = next((getattr(row, key) for row in rows if row.price in ("spikes", "either")), None)
    return None if found is None else found / unit


def _readable(rows: Sequence[EnergyRow]) -> tuple[float, str]:
    """Choose a unit that gives energies few digits, and return it with the factor from the table's unit."""
    largest, unit = max(value or 0.0 for row in rows for value in (row.snn, row.ann)), rows[0].unit
    if unit == "pJ":
        for scale, name in ((1e-9, "mJ"), (1e-6, "µJ"), (1e-3, "nJ")):
            if largest * scale >= 1:
                return scale, name
    return 1.0, unit
