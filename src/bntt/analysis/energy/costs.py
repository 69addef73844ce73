"""Tables of the costs of operations, in TOML, and the energy of one image computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import BEYOND, Count, Number, Record, Shown
from bntt.charts.section import Cell, plural
from bntt.io.toml_file import TomlError, names_in, read_named

Steps = Annotated[int, Field(ge=1)]
"""Number of steps after which one image is stopped."""
Amount = Annotated[float, Field(ge=0, lt=BEYOND), Shown(form=",")]
"""A mean number of operations, or an energy."""
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
FOLDER = "analysis/energy/cost_tables"
LARGEST = 1 << 16
"""Largest size of a table's file, in bytes."""


class LayerRow(Record):
    """One layer's operations for one image up to a stop, on average."""

    steps: Steps
    layer: str
    input: str
    """Single "spikes", "counts" of them after pooling, "analog" values, or "nothing" if there are no weights."""
    neurons: Count
    spikes: Amount
    """Spikes of this layer's own neurons."""
    additions_by_spike: Amount
    macs_by_spike: Annotated[Amount, Shown("MACs by spike", form=",")]
    additions_by_value: Amount
    macs_by_value: Annotated[Amount, Shown("MACs by value", form=",")]
    update_additions: Amount
    """Additions by norm, leak, threshold and reset."""
    update_multiplications: Amount
    ann_macs: Annotated[Count, Shown("ANN MACs", form=",")]
    """All multiply-accumulates of an ANN of the same architecture in this layer."""
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
    """The entries common to all tables; types are strict, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    unit: Text
    """Unit of the energies, for example pJ."""
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
    """Cost of a time step, whatever happens in it."""

    def energy(self, work: LayerRow, price: str) -> tuple[float, float]:
        """Price the spikes with their operations, and the time steps."""
        return work.spikes * self.spike + sum(work.of_weights(price)) * self.operation, work.steps * self.step


Costs = Annotated[Digital | Neuromorphic, Field(discriminator="kind")]
"""A table of costs of either kind."""
_COSTS: TypeAdapter[Digital | Neuromorphic] = TypeAdapter(Costs)


def load_costs(source: str | Path) -> Digital | Neuromorphic:
    """Read a table of costs, by the name of a built-in one or by the path of a TOML file."""
    try:
        return _COSTS.validate_python(read_named(source, FOLDER, "table of costs", LARGEST))
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
    """The energy of one image up to a stop, by one table, and that of an ANN of the same architecture."""

    costs: str
    """The name of the table."""
    unit: str
    steps: Steps
    price: str
    """Pricing of pooled values: "spikes", "values", or "either" if that makes no difference."""
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
            yield EnergyRow(
                costs=name,
                unit=costs.unit,
                steps=work.steps,
                price=price,
                **dict(zip(ENERGIES, energies, strict=True)),
                ann_over_snn=sum(ann) / sum(snn) if ann and sum(snn) else None,
                ann_over_snn_synaptic=ann[0] / snn[0] if ann and snn[0] else None,
            )


def readable(rows: Sequence[EnergyRow]) -> list[EnergyRow]:
    """Convert energies in pJ to the unit in which they have few digits."""
    largest, unit = max(value or 0.0 for row in rows for value in (row.snn, row.ann)), rows[0].unit
    units = ((1e-9, "mJ"), (1e-6, "µJ"), (1e-3, "nJ")) if unit == "pJ" else ()
    scale, unit = next(((scale, name) for scale, name in units if largest * scale >= 1), (1.0, unit))
    energies = [{key: value and scale * value for key, value in row if key in ENERGIES} for row in rows]
    return [row.model_copy(update=found | {"unit": unit}) for row, found in zip(rows, energies, strict=True)]
