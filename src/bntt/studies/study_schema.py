"""The schema of a study: keys, defaults and documentation in one place; an unknown key is an error.

Measures, metrics, figures and rules of verdicts are closed dictionaries with files of their own; nothing in a study can
name code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bntt.runs.recipe.toml_table import TomlTable

SettingName = Literal["paper", "small"]
SETTINGS: tuple[SettingName, ...] = ("paper", "small")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
Seeds = list[Annotated[int, Field(ge=0, lt=1 << 63)]]


class Setting(TomlTable):
    """``[settings.paper]`` and ``[settings.small]``: the size at which all runs of a study are made."""

    recipe: str = ""
    """Recipe of every run that has none of its own: a name from `bntt list recipes`, or a TOML file, relative to the
    study's folder or by its absolute path."""
    set: list[str] = Field(default=[])
    """Overrides of that recipe, as in `bntt train -s`: "table.key=value" each."""
    seeds: Annotated[Seeds, Field(min_length=1)] = Field(default=[0, 1, 2])
    """Seeds of the starts of every run."""
    about: str = ""
    """Note for the reader about this size."""


class AtSetting(TomlTable):
    """``[runs.paper]`` and ``[runs.small]``: a run's own values at one setting."""

    recipe: str = ""
    """Recipe in place of the setting's; the setting's `set` is then not applied to it."""
    set: list[str] = Field(default=[])
    """Overrides in addition to the run's."""
    seeds: Seeds = Field(default=[])
    """Seeds in place of the setting's."""
    label: str = ""
    """Label in place of the run's."""


class RunSpec(TomlTable):
    """``[[runs]]``: one training, from several starts."""

    name: Name
    label: str = ""
    """Label in tables and figures; its name by default."""
    set: list[str] = Field(default=[])
    """Overrides of the setting's recipe, as in `bntt train -s`."""
    begins_with: str = ""
    """Run of the study from whose network, of the same seed, it starts (`convert.ann`)."""
    trained: bool = True
    """False if there is nothing to train: its measures (of the kind "stability") train by themselves."""
    measures: list[str] = Field(default=[])
    """Measures of this run, in addition to those of all."""
    only: list[SettingName] = Field(default=[])
    """Settings that include this run; [] for all."""
    paper: AtSetting = AtSetting()
    small: AtSetting = AtSetting()

    def at(self, setting: SettingName) -> AtSetting:
        """Return its own values at a setting."""
        return self.paper if setting == "paper" else self.small


class Column(TomlTable):
    """``[[table]]``: a number of every run."""

    key: Name
    """Key by which claims and figures name it."""
    metric: str
    """Metric that it shows: a name of the dictionary of metrics, listed in docs/how-to/own-study.md."""
    title: str = ""
    """Head of the column; the metric's own by default."""
    measure: str = ""
    """Measure that it is read from, where the study has several of one kind."""
    at: float | None = None
    """Place at which a metric is read, if it has one: σ, ε in 1/255, or a number of steps."""
    minus: str = ""
    """Key of a column that is subtracted, start by start."""
    spread: Annotated[float | None, Field(gt=0)] = None
    """Expected standard deviation over starts, written down before the runs: the plan uses it to say which difference a
    claim can decide."""
    shown: bool = True
    """False if only claims and figures use it."""


class Header(TomlTable):
    """Rest of a study's file: its subject, and the measures of all its runs."""

    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, Field(min_length=1)]
    """Statement of the paper, and the comparison that tests it."""
    measures_of_all: list[str] = Field(default=[])
    """Names of measures that every trained run has; a kind with default arguments needs no table."""


class FigureSpec(TomlTable):
    """``[[figures]]``: one picture; kinds that need no other keys have no class of their own."""

    kind: str
    title: Annotated[str, Field(min_length=1)]
    alt: Annotated[str, Field(min_length=1)]
    """Description of the picture for readers who cannot see it."""
    runs: list[str] = Field(default=[])
    """Runs in the picture; [] for all that have the numbers."""
    measure: str = ""
    """Measure that it is drawn from, where the study has several of one kind."""

    def columns(self) -> list[str]:
        """List the columns of the table that it draws."""
        return []

    def uses(self) -> tuple[list[str], list[str]]:
        """Return the runs and the columns that it names."""
        return self.runs, self.columns()

    @property
    def source(self) -> str:
        """Return the name of the measure."""
        return self.measure or READS.get(self.kind, "")


class Bars(FigureSpec):
    """Column of every run: the mean over the starts, and each start as a point."""

    column: str
    logarithmic: bool = False

    def columns(self) -> list[str]:
        return [self.column]


class Scatter(FigureSpec):
    """Two columns against each other, one point per start."""

    x: str
    y: str
    logarithmic: bool = False
    """True for a logarithmic horizontal axis."""

    def columns(self) -> list[str]:
        return [self.x, self.y]


class OverTime(FigureSpec):
    """Accuracy when stopped after each step, mean over the starts."""

    logarithmic: bool = False
    """True for a logarithmic axis of steps."""


class Layers(FigureSpec):
    """Quantity of every layer over time, one panel per run, mean over the starts."""

    of: Literal["firing_rate", "gamma_magnitude", "spikes_per_image", "deviation"] = "firing_rate"


class LayerSpikes(FigureSpec):
    """Spikes of every layer in all steps, on a logarithmic axis, mean over the starts."""

    per_neuron: bool = False
    """True for spikes per neuron instead of those of a whole layer."""


class GammaHistograms(FigureSpec):
    """Distribution of γ over the channels of some layers at some steps, of the first start of the first run."""

    layers: Annotated[list[str], Field(min_length=1)]
    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Steps, counted from 1; those beyond the network's T are left out."""


class Inputs(FigureSpec):
    """Distribution of a norm's input at some steps, of the first start of each run."""

    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Steps, counted from 1; those beyond the network's T are left out."""


class Bounds(FigureSpec):
    """Accuracy against ε of an attack, the lowest of all estimators, mean over the starts."""

    attack: Literal["fgsm", "pgd"] = "fgsm"


FIGURES: dict[str, type[FigureSpec]] = {
    "bars": Bars,
    "scatter": Scatter,
    "over-time": OverTime,
    "layers": Layers,
    "layer-spikes": LayerSpikes,
    "gamma-histograms": GammaHistograms,
    "surrogate": FigureSpec,
    "thresholds": FigureSpec,
    "noise": FigureSpec,
    "bounds": Bounds,
    "drift": FigureSpec,
    "inputs": Inputs,
    "folds": FigureSpec,
    "membrane": FigureSpec,
    "failures": FigureSpec,
}
"""Tables by kind of picture; :data:`bntt.studies.figures.CHARTS` has the function that draws each."""
READS = {
    **dict.fromkeys(("layers", "layer-spikes", "gamma-histograms"), "activity"),
    "over-time": "evaluate",
    "thresholds": "exit",
    "noise": "robust",
    "bounds": "attack",
    "drift": "drift",
    "inputs": "drift",
    "folds": "equivalence",
    "membrane": "neuron",
    "failures": "stability",
}
"""Kind of measure that a picture is drawn from; others are drawn from columns of the table, or from recipes."""
