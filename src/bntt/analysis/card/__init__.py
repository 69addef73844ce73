"""What a network needs of hardware: its size, its state, its work for one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from pydantic import Field

from bntt.analysis.measurement import Measurement, Opened, Progress, Split, origin
from bntt.analysis.result import BEYOND, Count, Number, Record, Result, Shown, table
from bntt.charts.section import Section, plural

Amount = Annotated[float | None, Field(ge=0, lt=BEYOND)]
"""A mean over images; None if it was not measured."""


@dataclass(frozen=True)
class CardArguments:
    """Arguments of the card."""

    split: Split = "test"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 200
    """Number of images, stratified by class; fewer if the recipe's evaluate.images is smaller."""


class Bits(Record):
    """Bits of a network in a bundle; int8 weights have a size of their integers for each output channel."""

    weights: Annotated[Count, Shown("bits of weights")]
    tables: Annotated[Count, Shown("bits of scales, shifts and biases")]

    @property
    def bytes(self) -> Annotated[float, Shown(form=",")]:
        return (self.weights + self.tables) / 8


class LayerCard(Record):
    """One layer: its synapses, pairs of a value and a weight that it meets, its state and its work for one image.

    Operations are spikes (of an analog input values that are not 0) times the weights that they meet.
    """

    layer: str
    weights: Count
    connections: Annotated[Count, Shown("synapses")]
    neurons: Annotated[Count, Shown("membranes")]
    state_bytes: Annotated[Count, Shown("bytes")]
    fan_out_largest: Annotated[Number, Shown("largest fan-out", form=",")]
    fan_out_mean: Annotated[Number, Shown("mean fan-out", form=".4g")]
    negative_gamma: Annotated[Number, Shown("γ < 0", form=".1%")]
    spikes: Annotated[Amount, Shown(form=",")] = None
    synaptic_operations: Annotated[Amount, Shown(form=",")] = None
    highest_membrane: Annotated[Amount, Shown("highest |u|")] = None


MEASURED = ("spikes", "synaptic_operations", "highest_membrane")


class HardwareProfile(Record):
    """What hardware must store of a network, and compute for one image; 0 images if nothing was measured."""

    images: Count
    steps: Annotated[int, Field(ge=1)]
    parameters: Count
    bits: Mapping[str, Bits]
    negative_gamma: Annotated[Number, Shown("negative γ", form=".1%", metric="negative-gamma", digits=2)]
    layers: Annotated[Sequence[LayerCard], Field(min_length=1)]


class CardResult(HardwareProfile, Result):
    """The hardware profile of a run's network."""

    arguments: CardArguments
    missing: str = ""

    @property
    def state_bytes(self) -> Annotated[int, Shown("membranes", "bytes", metric="membrane-bytes", digits=0)]:
        """Bytes that all neurons carry from step to step for one image: all layers at once, the peak."""
        return sum(row.state_bytes for row in self.layers)

    @property
    def spikes(self) -> Number:
        return sum(row.spikes or 0 for row in self.layers) if self.images else None

    @property
    def synaptic_operations(
        self,
    ) -> Annotated[Number, Shown("synaptic operations per image", metric="synaptic-operations", digits=0)]:
        return sum(row.synaptic_operations or 0 for row in self.layers) if self.images else None

    @property
    def highest_membrane(self) -> Annotated[Number, Shown("highest |u|", metric="highest-membrane", digits=2)]:
        """The highest \\|u\\| of all layers of neurons, without the readout's sum."""
        return max((row.highest_membrane for row in self.layers[:-1] if row.highest_membrane is not None), default=None)

    def rows(self) -> list[dict[str, object]]:
        return [row.flat() for row in self.layers]

    def section(self) -> Section:
        weights, neurons = sum(row.weights for row in self.layers), sum(row.neurons for row in self.layers)
        sample = f"{plural(self.images, f'{self.split} image')}, one draw"
        words = [
            f"{plural(self.parameters, 'parameter')}, {weights:,} of them weights; {plural(neurons, 'membrane')} in "
            f"{plural(self.state_bytes, 'byte')} for one image; {plural(self.steps, 'step')}."
        ]
        if self.negative_gamma is not None:
            words.append(f"{self.negative_gamma:.1%} of γ are negative.")
        if self.images:
            words.append(
                f"For one image {self.spikes:,.0f} spikes and {self.synaptic_operations:,.0f} synaptic operations; |u| "
                f"is at most {self.highest_membrane or 0:.3g} (mean and maximum over {sample})."
            )
        note = (
            "Synapses: shared weights count at every place. Fan-out: number of weights that one input value meets. "
            "|u|: after the reset; for the readout, of its sum."
        )
        shown = [name for name in LayerCard.model_fields if self.images or name not in MEASURED]
        tables = (
            table("Size by the type of the weights", self.bits, "weights", "tables", "bytes", first="weights"),
            table(f"Storage and work by layer: {sample}", self.layers, *shown, note=note),
        )
        gaps = () if self.images else (f"Spikes, synaptic operations and the highest |u|: {self.missing}.",)
        return Section("Hardware requirements", tuple(words), tables, gaps=gaps)


def measure_card(opened: Opened, arguments: CardArguments, progress: Progress) -> CardResult:
    """Count a run's network, and measure it on some images of a split."""
    from bntt.analysis.card.hardware_profile import hardware_profile

    loader = opened.loader(arguments.split, arguments.images)
    progress.expect(2 * len(loader.places))
    found = hardware_profile(opened.model, loader, seed=opened.seed, progress=progress)
    return CardResult(**origin(opened, arguments), **dict(found))


CARD = Measurement(
    "card",
    "List what hardware must store and compute: weights and their bits, membranes, fan-out, operations, spikes, range.",
    CardArguments,
    CardResult,
    measure_card,
)
