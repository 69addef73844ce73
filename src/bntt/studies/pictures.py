"""The pictures that a study may ask for: a closed dictionary of kinds, which `figures` beside this draws."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bntt.runs.recipe.toml_part import Part


class FigurePart(Part):
    """``[[figures]]``: one picture."""

    kind: str
    title: Annotated[str, Field(min_length=1)]
    alt: Annotated[str, Field(min_length=1)]
    """What it shows, for whoever does not see it."""
    runs: list[str] = Field(default=[])
    """[] is all that have what it needs."""
    measure: str = ""
    """What it is drawn from, where the study has several of one kind."""
    reads: ClassVar[str] = ""
    """The kind of measure that it is drawn from; "" for a column of the table."""

    def columns(self) -> list[str]:
        """List the columns of the table that it draws."""
        return []

    def uses(self) -> tuple[list[str], list[str]]:
        """The runs and the columns that it names."""
        return self.runs, self.columns()

    @property
    def source(self) -> str:
        """The name of the measure."""
        return self.measure or self.reads


class Bars(FigurePart):
    """A column of every run: the mean over the starts, and each start as a point."""

    kind: Literal["bars"]
    column: str
    logarithmic: bool = False

    def columns(self) -> list[str]:
        return [self.column]


class Scatter(FigurePart):
    """Two columns against each other, a point a start."""

    kind: Literal["scatter"]
    x: str
    y: str
    logarithmic: bool = False
    """The axis along."""

    def columns(self) -> list[str]:
        return [self.x, self.y]


class OverTime(FigurePart):
    """Accuracy when stopped after each step, mean over the starts."""

    kind: Literal["over-time"]
    reads: ClassVar[str] = "evaluate"
    logarithmic: bool = False
    """The axis of steps."""


class Layers(FigurePart):
    """Something of every layer over time, a panel a run, mean over the starts."""

    kind: Literal["layers"]
    reads: ClassVar[str] = "activity"
    of: Literal["firing_rate", "gamma_magnitude", "spikes_per_image"] = "firing_rate"


class LayerSpikes(FigurePart):
    """Spikes of every layer in all steps, on a logarithmic axis, mean over the starts."""

    kind: Literal["layer-spikes"]
    reads: ClassVar[str] = "activity"


class Thresholds(FigurePart):
    """Accuracy and steps against the threshold of an early exit."""

    kind: Literal["thresholds"]
    reads: ClassVar[str] = "exit"


class Noise(FigurePart):
    """Accuracy against σ of the noise, mean over the starts."""

    kind: Literal["noise"]
    reads: ClassVar[str] = "robust"


class Bounds(FigurePart):
    """Accuracy against ε of an attack, the lowest of all estimators, mean over the starts."""

    kind: Literal["bounds"]
    reads: ClassVar[str] = "attack"
    attack: Literal["fgsm", "pgd"] = "fgsm"


class Drifts(FigurePart):
    """Distance of each layer's input from the mean that is held for it, by step, a panel a run."""

    kind: Literal["drift"]
    reads: ClassVar[str] = "drift"


class Folds(FigurePart):
    """Accuracy of the network, and of the four that it folds to."""

    kind: Literal["folds"]
    reads: ClassVar[str] = "equivalence"


class Membrane(FigurePart):
    """One neuron's potential and spikes over time, of the first start."""

    kind: Literal["membrane"]
    reads: ClassVar[str] = "neuron"


class Failures(FigurePart):
    """The share of starts that failed against the learning rate, a panel a network."""

    kind: Literal["failures"]
    reads: ClassVar[str] = "stability"


FIGURES: dict[str, type[FigurePart]] = {
    "bars": Bars,
    "scatter": Scatter,
    "over-time": OverTime,
    "layers": Layers,
    "layer-spikes": LayerSpikes,
    "thresholds": Thresholds,
    "noise": Noise,
    "bounds": Bounds,
    "drift": Drifts,
    "folds": Folds,
    "membrane": Membrane,
    "failures": Failures,
}
"""By name."""
