"""Operations of a network for one image and their energy by tables of costs, compared with an ANN like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bntt.analysis.measurement import ArgumentError, Draws, Measurement, Opened, Progress, Split, draws_of, origin
from bntt.analysis.result import BEYOND, Count, Number, Record, Result, Share, Shown, table
from bntt.charts.records import Axis, Bar, Bars
from bntt.charts.section import Cell, Section, Table, plural
from bntt.io.files import TomlError, names_in, read_named

NOTE = (
    "an estimate from a table, not a measurement: published estimates of one network by different models disagree by "
    "several times; only the operations by layer are certain"
)
LEFT_OUT = (
    "memory accesses; pooling itself; sums of residual blocks, and the readout's over the steps; random numbers and "
    "normalisation of the encoder; savings from zeros among an ANN's activations, and from weights that are 0"
)
Steps = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, lt=BEYOND), Shown(form=",")]
"""A mean number of operations, or an energy."""
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
FOLDER = "analysis/energy/cost_tables"
LARGEST = 1 << 16
UNSEEN = 0.01  # share of the energy below which a part of it cannot be seen in a chart


@dataclass(frozen=True)
class EnergyArguments:
    """The flags of bntt energy."""

    split: Split = "test"
    """Split whose images are measured."""
    draws: Draws = 1
    """Number of draws, each with fresh noise."""
    steps: int | None = None
    """Compare all steps with a stop after this many; by default with the exit in the run's exit.json, if it has one."""
    costs: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A table of costs, by name or TOML file (docs/ideas/energy.md shows one), repeatable.

    By default all tables of the package; for an ANN, those that price arithmetic.
    """


class LayerRow(Record):
    """One layer's operations for one image up to a stop, on average; updates are those of norm, leak and threshold.

    The input is single "spikes", "counts" of them after pooling, "analog" values, or "nothing" without weights.
    """

    steps: Steps
    layer: str
    input: str
    neurons: Count
    spikes: Amount
    additions_by_spike: Amount
    macs_by_spike: Annotated[Amount, Shown("MACs by spike", form=",")]
    additions_by_value: Amount
    macs_by_value: Annotated[Amount, Shown("MACs by value", form=",")]
    update_additions: Amount
    update_multiplications: Amount
    ann_macs: Annotated[Count, Shown("ANN MACs", form=",")]
    ann_update_additions: Count

    def of_weights(self, price: str) -> tuple[float, float]:
        """Return additions and MACs of the weights, by the price of pooled counts: "spikes" or "values"."""
        if price == "spikes":
            return self.additions_by_spike, self.macs_by_spike
        return self.additions_by_value, self.macs_by_value


SUMMED = tuple(name for name in LayerRow.model_fields if name not in ("steps", "layer", "input"))


def all_layers(rows: Sequence[LayerRow]) -> LayerRow:
    """Sum the operations of all layers up to one stop."""
    sums = {name: sum(getattr(row, name) for row in rows) for name in SUMMED}
    return LayerRow(steps=rows[0].steps, layer="all", input="", **sums)


class _Costs(Record):
    """The entries common to all tables, with the unit of the energies; types are strict, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    unit: Text
    source: Text
    note: str = ""


class Digital(_Costs):
    """The costs of hardware that pays for arithmetic: cost of one operation of each kind, in ``unit``."""

    kind: Literal["digital"]
    mac: Cost
    addition: Cost
    multiplication: Cost

    def energy(self, work: LayerRow, price: str) -> tuple[float, float]:
        """Price the operations of weights, and all others."""
        additions, macs = work.of_weights(price)
        updates = work.update_additions * self.addition + work.update_multiplications * self.multiplication
        return additions * self.addition + macs * self.mac, updates

    def ann_energy(self, work: LayerRow) -> tuple[float, float]:
        """Price the operations of an ANN of the same architecture."""
        return work.ann_macs * self.mac, work.ann_update_additions * self.addition


class Neuromorphic(_Costs):
    """The costs of hardware that pays for events and for time."""

    kind: Literal["neuromorphic"]
    spike: Cost
    operation: Cost
    """Cost of one spike meeting one weight, by addition or multiplication."""
    step: Cost

    def energy(self, work: LayerRow, price: str) -> tuple[float, float]:
        """Price the spikes with their operations, and the time steps."""
        return work.spikes * self.spike + sum(work.of_weights(price)) * self.operation, work.steps * self.step


Costs = Annotated[Digital | Neuromorphic, Field(discriminator="kind")]
"""A table of costs of either kind."""


def load_costs(source: str | Path) -> Digital | Neuromorphic:
    """Read a table of costs, by the name of a built-in one or by the path of a TOML file."""
    try:
        return TypeAdapter[Digital | Neuromorphic](Costs).validate_python(
            read_named(source, FOLDER, "table of costs", LARGEST)
        )
    except TomlError as error:
        raise ArgumentError(str(error)) from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc'][1:])) or 'kind'}: {one['msg']}" for one in error.errors()]
        raise ArgumentError(f"costs {source}: {'; '.join(faults)}") from None


def load_tables(sources: Sequence[str], *, is_ann: bool) -> dict[str, Digital | Neuromorphic]:
    """Load tables, keyed by file name; by default all, for an ANN only those that do not price spikes."""
    tables = {Path(source).stem: load_costs(source) for source in sources or names_in(FOLDER)}
    if sources and len(tables) < len(sources):
        raise ArgumentError("--costs: two tables have the same name, and one would hide the other: rename a file")
    return {name: one for name, one in tables.items() if sources or isinstance(one, Digital) or not is_ann}


class EnergyRow(Record):
    """The energy of one image up to a stop, by one table, and that of an ANN of the same architecture.

    Pooled values are priced by "spikes", by "values", or by "either" if that makes no difference.
    """

    costs: str
    unit: str
    steps: Steps
    price: str
    snn_synaptic: Annotated[Amount, Shown("synaptic part", form="#.4g")]
    snn_other: Annotated[Amount, Shown("other part", form="#.4g")]
    snn: Annotated[Amount, Shown("network", form="#.4g")]
    ann_synaptic: Number
    ann_other: Number
    ann: Annotated[Number, Shown("ANN", form="#.4g")]
    ann_over_snn: Annotated[Number, Shown("ANN / network")]
    ann_over_snn_synaptic: Number

    @property
    def stop(self) -> Annotated[Cell, Shown("stop")]:
        """Steps and price as text."""
        price = "" if self.price == "either" else f", by {self.price.removesuffix('s')}"
        return Cell(plural(self.steps, "step") + price, self.steps)


ENERGIES = ("snn_synaptic", "snn_other", "snn", "ann_synaptic", "ann_other", "ann")


def energy_rows(works: Sequence[LayerRow], tables: Mapping[str, Costs]) -> Iterator[EnergyRow]:
    """Yield the energy of all layers by table, stop and price; the price is "either" if both give the same."""
    for (name, costs), work in product(tables.items(), works):
        ann = costs.ann_energy(work) if isinstance(costs, Digital) else None
        by_price = {price: costs.energy(work, price) for price in ("spikes", "values")}
        if by_price["spikes"] == by_price["values"]:
            by_price = {"either": by_price["spikes"]}
        for price, snn in by_price.items():
            energies = (*snn, sum(snn), *(ann or (None, None)), ann and sum(ann))
            facts = dict(zip(ENERGIES, energies, strict=True))
            facts["ann_over_snn"] = sum(ann) / sum(snn) if ann and sum(snn) else None
            facts["ann_over_snn_synaptic"] = ann[0] / snn[0] if ann and snn[0] else None
            yield EnergyRow(costs=name, unit=costs.unit, steps=work.steps, price=price, **facts)


def readable(rows: Sequence[EnergyRow]) -> list[EnergyRow]:
    """Convert energies in pJ to the unit in which they have few digits."""
    largest, unit = max(value or 0.0 for row in rows for value in (row.snn, row.ann)), rows[0].unit
    units = ((1e-9, "mJ"), (1e-6, "µJ"), (1e-3, "nJ")) if unit == "pJ" else ()
    scale, unit = next(((scale, name) for scale, name in units if largest * scale >= 1), (1.0, unit))
    energies = [{key: value and scale * value for key, value in row if key in ENERGIES} for row in rows]
    return [row.model_copy(update=found | {"unit": unit}) for row, found in zip(rows, energies, strict=True)]


class WeightOperations(Record):
    """Operations of all weights for one image."""

    additions: Amount
    macs: Amount


class EnergyResult(Result):
    """The operations of one run's network, counted on a whole split, and their price."""

    computed = (
        (Shown("energy ANN / SNN by spike", metric="ann-over-snn", digits=2), "by_45nm", "ann_over_snn"),
        (Shown("energy ANN / SNN by spike, synapses only", metric="ann-over-snn-synaptic", digits=2),
         "by_45nm", "ann_over_snn_synaptic"),
        (Shown("energy of an equal ANN", "µJ", metric="ann-energy", digits=2), "by_45nm", "ann", 1e6),
        (Shown("energy per image (45 nm, by spike)", "µJ", metric="energy", digits=2), "by_45nm", "snn", 1e6),
        (Shown("synaptic energy (45 nm, by spike)", "µJ", metric="energy-synaptic", digits=2),
         "by_45nm", "snn_synaptic", 1e6),
    )  # fmt: skip
    arguments: EnergyArguments | None = None
    images: Count
    draws: Count
    steps: Annotated[Sequence[Steps], Field(min_length=1)]
    """The stops: all steps, and an exit if there is one."""
    is_ann: bool = False
    accuracy_over_time: Sequence[Share]
    layers: Sequence[LayerRow]
    frames: Annotated[int, Field(ge=0)] = 0
    energy: Sequence[EnergyRow]
    costs: Mapping[str, Costs]

    def by_45nm(self, key: str, unit: float = 1) -> Number:
        """Read a number for all steps from the 45 nm table, with each spike in a pooled value as an addition."""
        rows = [row for row in self.energy if row.costs == "digital-45nm" and row.steps == max(self.steps)]
        found: Number = next((getattr(row, key) for row in rows if row.price in ("spikes", "either")), None)
        return None if found is None else found / unit

    def rows(self) -> list[dict[str, object]]:
        return [row.flat() for row in self.layers]

    def section(self) -> Section:
        runs = f"{plural(self.images, f'{self.split} image')}, {plural(self.draws, 'draw')}, one start"
        by_table = ([row for row in self.energy if row.costs == name] for name in self.costs)
        priced = [readable(rows) for rows in by_table if rows]
        stops = {steps: [row for row in self.layers if row.steps == steps] for steps in self.steps}
        columns = ("layer", "input", "spikes", *(name for name in SUMMED if "_by_" in name), "ann_macs")
        captions = {steps: f"Operations for one image after {plural(steps, 'step')}: {runs}" for steps in stops}
        return Section(
            "Operations and energy",
            tuple(self._words()),
            tuple(self._energy_table(rows, runs) for rows in priced),
            (self._operations_chart(stops[self.steps[0]]), *map(self._energy_chart, priced)),
            tuple(table(captions[steps], [*rows, all_layers(rows)], *columns) for steps, rows in stops.items()),
        )

    def _words(self) -> Iterator[str]:
        for steps in self.steps:
            spikes = sum(row.spikes for row in self.layers if row.steps == steps)
            yield (
                f"After {plural(steps, 'step')}: {self.split} accuracy {self.accuracy_over_time[steps - 1]:.1%} in "
                f"{plural(self.draws, 'draw')} of noise, {spikes:,.0f} spikes for one image."
            )
        if self.is_ann:
            yield "This network is an ANN: its own MACs are only those of values that are not 0."
        if self.frames > 1:
            yield f"The ANN reads all {self.frames} frames or rows of a sample, one after the other."
        yield f"Energy is {NOTE}."
        yield f"Left out: {LEFT_OUT}."

    def _energy_table(self, rows: Sequence[EnergyRow], runs: str) -> Table:
        name, costs = rows[0].costs, self.costs[rows[0].costs]
        note = f"Costs: {costs.source}; {costs.note}." if costs.note else f"Costs: {costs.source}."
        columns = ("stop", "snn", "snn_synaptic", "snn_other", "ann", "ann_over_snn")
        return table(f"Energy of one image by {name}, {rows[0].unit}: {runs}", rows, *columns, note=note)

    def _operations_chart(self, layers: Sequence[LayerRow]) -> Bars:
        rows = [row for row in layers if row.ann_macs]
        by_spike, by_value = ([sum(row.of_weights(price)) / 1e6 for row in rows] for price in ("spikes", "values"))
        own = [Bar("by spike", by_spike), Bar("by value", by_value)]
        own = [Bar("values that are not 0", by_value)] if self.is_ann else own
        bars = [*own, Bar("all MACs of an ANN", [row.ann_macs / 1e6 for row in rows], "ann")]
        axis, names = Axis("operations for one image (millions)", low=0), [row.layer for row in rows]
        note = "" if self.is_ann else "k spikes in a pooled value: k additions by spike, one MAC by value"
        return Bars(f"Operations by layer after {plural(rows[0].steps, 'step')}", axis, names, bars, note=note)

    def _energy_chart(self, rows: Sequence[EnergyRow]) -> Bars:
        first = rows[0]
        bars = [(row.stop.text, row.snn_synaptic, row.snn_other) for row in rows]
        if first.ann_synaptic is not None and first.ann_other is not None:
            bars.append(("ANN", first.ann_synaptic, first.ann_other))
        names, synaptic, other = zip(*bars, strict=True)
        arithmetic = isinstance(self.costs[first.costs], Digital)
        parts = ("weights", "norm, leak, threshold, reset") if arithmetic else ("spikes", "time")
        drawn, note = [*map(Bar, parts, (synaptic, other))], ""
        if max(a / (a + b) if a else 0.0 for a, b in zip(other, synaptic, strict=True)) < UNSEEN:
            drawn, note = drawn[:1], f"{parts[1]}: less than {UNSEEN:.0%}, not drawn"
        title, axis = f"Energy by {first.costs}", Axis(f"energy of one image ({first.unit})", low=0)
        return Bars(title, axis, names, drawn, stacked=True, note=note)


def measure_energy(opened: Opened, arguments: EnergyArguments, progress: Progress) -> EnergyResult:
    """Count the operations of every image of a split, and price them."""
    from bntt.analysis.energy.operations import count_operations, layer_rows

    facts = opened.facts
    tables = load_tables(arguments.costs, is_ann=facts.is_ann)
    stop = opened.exit_steps() if arguments.steps is None else arguments.steps
    if stop is not None and not 1 <= stop <= facts.num_steps:
        raise ArgumentError(f"--steps {stop}: must be a number of steps from 1 to {facts.num_steps}")
    draws, loader = draws_of(facts, arguments.draws), opened.loader(arguments.split)
    progress.expect(len(loader.places) * draws)
    found = count_operations(opened.model, loader, seed=opened.seed, draws=draws, progress=progress)
    stops = list(dict.fromkeys([found.num_steps, stop or found.num_steps]))
    layers = {steps: list(layer_rows(found, steps)) for steps in stops}
    return EnergyResult(
        **origin(opened, arguments),
        images=found.accuracy.samples,
        draws=draws,
        steps=stops,
        is_ann=facts.is_ann,
        accuracy_over_time=found.accuracy.over_time,
        layers=[row for rows in layers.values() for row in rows],
        frames=found.frames,
        energy=list(energy_rows([all_layers(rows) for rows in layers.values()], tables)),
        costs=tables,
    )


ENERGY = Measurement(
    "energy",
    """Count synaptic operations from measured spikes, layer by layer, and compare their energy with an equal ANN's.

    Example: bntt energy runs/fashion-mnist --steps 8 --costs digital-45nm --costs my-chip.toml""",
    EnergyArguments,
    EnergyResult,
    measure_energy,
    needs_spikes=False,
)
