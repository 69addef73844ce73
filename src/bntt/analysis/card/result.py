"""The record of a card: its numbers, tables, charts and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from bntt.analysis.card.measurement import CardArguments
from bntt.analysis.result import BEYOND, Count, Metric, Number, Record, Result
from bntt.charts.records import Axis, Bar, Bars
from bntt.charts.section import Cell, Section, Table, count, number, plural, share

Amount = Annotated[float | None, Field(ge=0, lt=BEYOND)]
"""A mean over images; None if it was not measured."""


class Bits(Record):
    """Bits of a network in a bundle, for one type of weights."""

    weights: Count
    """All weights; for int8, including the size of one integer for each output channel."""
    tables: Count
    """Scale and shift of every step and channel of a norm, and biases."""


class LayerCard(Record):
    """One layer."""

    layer: str
    weights: Count
    connections: Count
    """Number of synapses: pairs of a value and a weight that it meets; shared weights count at every place."""
    neurons: Count
    """Values with a membrane."""
    state_bytes: Count
    """Bytes that its neurons carry from step to step for one image."""
    fan_out_largest: Number
    """Largest number of weights that one input value meets; None without weights."""
    fan_out_mean: Number
    negative_gamma: Number
    """Share of γ below 0; None without γ."""
    spikes: Amount = None
    """Spikes of its neurons for one image, in all steps."""
    synaptic_operations: Amount = None
    """Spikes (or values that are not 0, of an analog input) times the weights that they meet, for one image."""
    highest_membrane: Amount = None
    """The highest \\|u\\| after a step, of all neurons, steps and images."""


class CardResult(Result):
    """What hardware must store of a run's network, and compute for one image."""

    arguments: CardArguments
    images: Count
    """Number of images on which spikes, operations and membranes were measured; 0 for none."""
    steps: Annotated[int, Field(ge=1)]
    parameters: Count
    """Number of all learned values: weights, γ, leaks."""
    bits: Mapping[str, Bits]
    """Bits by type of weights."""
    negative_gamma: Number
    """Share of all γ below 0; None if there are none."""
    layers: Annotated[Sequence[LayerCard], Field(min_length=1)]
    missing: str = ""
    """The reason why nothing was measured."""

    @property
    def title(self) -> str:
        """Data and samples; the data alone if nothing was measured."""
        return super().title if self.images else self.dataset

    @property
    def state_bytes(self) -> int:
        """Bytes that all neurons carry from step to step for one image: all layers at once, the peak."""
        return sum(row.state_bytes for row in self.layers)

    def total(self, read: Callable[[LayerCard], float | None]) -> float | None:
        """Add up a number of all layers; None if it was not measured."""
        found = [read(row) for row in self.layers]
        return sum(value or 0.0 for value in found) if any(value is not None for value in found) else None

    @property
    def highest_membrane(self) -> float | None:
        """The highest \\|u\\| of all layers of neurons, without the readout's sum."""
        return max((row.highest_membrane for row in self.layers[:-1] if row.highest_membrane is not None), default=None)

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump() for row in self.layers]

    def section(self) -> Section:
        gaps = () if self.images else (f"Spikes, synaptic operations and the highest |u|: {self.missing}.",)
        return Section(
            "Hardware requirements",
            words=tuple(self._words()),
            tables=(self._bits_table(), self._held_table(), *((self._work_table(),) if self.images else ())),
            charts=self._charts(),
            gaps=gaps,
        )

    def _words(self) -> list[str]:
        weights = sum(row.weights for row in self.layers)
        neurons = sum(row.neurons for row in self.layers)
        words = [
            f"{plural(self.parameters, 'parameter')}, {weights:,} of them weights; {plural(neurons, 'membrane')} in "
            f"{plural(self.state_bytes, 'byte')} for one image; {plural(self.steps, 'step')}."
        ]
        if self.negative_gamma is not None:
            words.append(f"{self.negative_gamma:.1%} of γ are negative.")
        if self.images:
            operations, spikes = self.total(lambda row: row.synaptic_operations), self.total(lambda row: row.spikes)
            words.append(
                f"For one image {spikes:,.0f} spikes and {operations:,.0f} synaptic operations; |u| is at most "
                f"{self.highest_membrane or 0:.3g} (mean and maximum over {self._measured_on})."
            )
        return words

    def _bits_table(self) -> Table:
        rows = tuple(
            (Cell(name), count(one.weights), count(one.tables), count((one.weights + one.tables) / 8))
            for name, one in self.bits.items()
        )
        heads = ("weights", "bits of weights", "bits of scales, shifts and biases", "bytes")
        return Table("Size by the type of the weights", heads, rows)

    def _held_table(self) -> Table:
        rows = tuple(
            (
                Cell(row.layer),
                *map(count, (row.weights, row.connections, row.neurons, row.state_bytes)),
                *(count(row.fan_out_largest), number(row.fan_out_mean, ".4g"), share(row.negative_gamma)),
            )
            for row in self.layers
        )
        heads = ("layer", "weights", "synapses", "membranes", "bytes", "largest fan-out", "mean fan-out", "γ < 0")
        note = (
            "Synapses: shared weights count at every place. Bytes: of the membranes, for one image. Fan-out: number of "
            "weights that one input value meets."
        )
        return Table("Storage by layer", heads, rows, note)

    def _work_table(self) -> Table:
        rows = tuple(
            (Cell(row.layer), *(count(row.spikes), count(row.synaptic_operations), number(row.highest_membrane)))
            for row in self.layers
        )
        heads = ("layer", "spikes", "synaptic operations", "highest |u|")
        note = (
            "Spikes and operations are means over the images. |u| is the highest after the reset (higher before it in "
            "neurons that fire); for the readout, that of its sum."
        )
        return Table(f"Work for one image, by layer: {self._measured_on}", heads, rows, note)

    @property
    def _measured_on(self) -> str:
        return f"{plural(self.images, f'{self.split} image')}, one draw"

    def _charts(self) -> tuple[Bars, ...]:
        names = [row.layer for row in self.layers]
        kib = [row.state_bytes / 1024 for row in self.layers]
        state = Bars("Membranes", Axis("bytes for one image (KiB)", low=0), names, [Bar("membranes", kib)])
        if not self.images:
            return (state,)
        millions = [(row.synaptic_operations or 0.0) / 1e6 for row in self.layers]
        work = Bars(
            "Synaptic operations",
            Axis("operations for one image (millions)", low=0),
            names,
            [Bar("synaptic operations", millions)],
            note=self._measured_on,
        )
        return state, work

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "synaptic-operations": Metric(
            "synaptic operations per image", "", lambda r, at: r.total(lambda row: row.synaptic_operations), digits=0
        ),
        "membrane-bytes": Metric("membranes", "bytes", lambda r, at: float(r.state_bytes), digits=0),
        "highest-membrane": Metric("highest |u|", "", lambda r, at: r.highest_membrane, digits=2),
        "negative-gamma": Metric(
            "negative γ", "%", lambda r, at: None if r.negative_gamma is None else 100 * r.negative_gamma, digits=2
        ),
    }
