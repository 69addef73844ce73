"""The schema of a study: keys, defaults and documentation in one place; an unknown key is an error.

Measures, metrics, figures and rules of verdicts are closed dictionaries with files of their own; nothing in a study can
name code.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bntt.runs.recipe.toml_part import Part

SettingName = Literal["paper", "small"]
SETTINGS: tuple[SettingName, ...] = ("paper", "small")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
Seeds = list[Annotated[int, Field(ge=0, lt=1 << 63)]]


class Setting(Part):
    """``[settings.paper]`` and ``[settings.small]``: at which size all runs of a study are made."""

    recipe: str = ""
    """Of every run that has none of its own: a name from `bntt list recipes`, or a TOML file, beside the study's or by
    its whole path."""
    set: list[str] = Field(default=[])
    """What is put over that recipe, as `bntt train -s`: "table.key=value" each."""
    seeds: Annotated[Seeds, Field(min_length=1)] = Field(default=[0, 1, 2])
    """Of the starts of every run."""
    about: str = ""
    """What a reader should know of this size."""


class Place(Part):
    """``[runs.paper]`` and ``[runs.small]``: what a run has of its own at one setting."""

    recipe: str = ""
    """Instead of the setting's; the setting's `set` is then not put over it."""
    set: list[str] = Field(default=[])
    """Beside the run's."""
    seeds: Seeds = Field(default=[])
    """Instead of the setting's."""
    label: str = ""
    """Instead of the run's."""


class RunPart(Part):
    """``[[runs]]``: one training, from several starts."""

    name: Name
    label: str = ""
    """What it is called in tables and figures; its name by default."""
    set: list[str] = Field(default=[])
    """What is put over the setting's recipe, as `bntt train -s`."""
    begins_with: str = ""
    """The run of the study whose network of the same seed it begins with (`convert.ann`)."""
    trained: bool = True
    """False: there is nothing to train, its measures (of the kind "stability") train by themselves."""
    measures: list[str] = Field(default=[])
    """Of this run, beside those of all."""
    only: list[SettingName] = Field(default=[])
    """At these settings; [] is at all."""
    paper: Place = Place()
    small: Place = Place()

    def at(self, setting: SettingName) -> Place:
        """Find what it has of its own at a setting."""
        return self.paper if setting == "paper" else self.small


class Column(Part):
    """``[[table]]``: a number of every run."""

    key: Name
    """By which claims and figures name it."""
    metric: str
    """What it is: a name of the dictionary of metrics, which docs/studies.md lists."""
    title: str = ""
    """The head of the column; the metric's own by default."""
    measure: str = ""
    """The measure that it is read from, where the study has several of one kind."""
    at: float | None = None
    """Of metrics that are read at a place: σ, ε in 1/255, or a number of steps."""
    shown: bool = True
    """False: for claims and figures alone."""


class Head(Part):
    """The rest of a study's file: what it is about, and what all of its runs are measured by."""

    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, Field(min_length=1)]
    """What the paper says, and what is compared with what."""
    measures_of_all: list[str] = Field(default=[])
    """Names of measures that every trained run has; a kind that is measured as it is by default needs no table."""


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
