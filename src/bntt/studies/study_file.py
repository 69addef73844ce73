"""A study's file: its schema, with keys, defaults and documentation in one place, and how it is read and checked.

An unknown key is an error. Measures, metrics, figures and rules of verdicts are closed dictionaries with files of their
own; nothing in a study can name code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric
from bntt.io.files import TomlError, names_in, read_named
from bntt.runs.recipe.file import TomlTable, unknown_name, validate_by_kind, validate_table
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.claims import RULES, Claim
from bntt.studies.measures import EVALUATE, KINDS, Measure, is_metric, measure_from, metric_of, named_metrics

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

    @property
    def number(self) -> Metric:
        """Return what it shows of a start."""
        return metric_of(self.metric).metric

    @property
    def source(self) -> str:
        """Return the name of the measure that it is read from."""
        return self.measure or metric_of(self.metric).kind


class StudyFile(TomlTable):
    """A study's file: its subject, the measures of all its runs, and its tables as they stand there."""

    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, Field(min_length=1)]
    """Statement of the paper, and the comparison that tests it."""
    measures_of_all: list[str] = Field(default=[])
    """Names of measures that every trained run has; a kind with default arguments needs no table."""
    settings: dict[str, Any] = Field(default={})
    measures: dict[str, dict[str, Any]] = Field(default={})
    runs: list[Any] = Field(default=[])
    table: list[Any] = Field(default=[])
    figures: list[Any] = Field(default=[])
    claims: list[Any] = Field(default=[])


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


class Inputs(FigureSpec):
    """Distribution of a norm's input at some steps, of the first start of each run."""

    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Steps, counted from 1; those beyond the network's T are left out."""


class GammaHistograms(Inputs):
    """Distribution of γ over the channels of some layers at some steps, of the first start of the first run."""

    layers: Annotated[list[str], Field(min_length=1)]


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
LARGEST = 1 << 18
"""Largest size of a study's file, in bytes."""
OF_WEIGHTS = "weights-"
"""Prefix of the names of archives of weights, which no study may have."""


@dataclass(frozen=True)
class Study:
    """Content of a study's file, with every name in it resolved."""

    name: str
    title: str
    about: str
    folder: Path | None
    """Folder of its file, which may hold its recipes; None for one that comes with the package."""
    settings: Mapping[SettingName, Setting]
    measures_of_all: Sequence[str]
    measures: Mapping[str, Measure]
    """Measures by the names that runs and columns use."""
    runs: tuple[RunSpec, ...]
    table: tuple[Column, ...]
    figures: tuple[FigureSpec, ...]
    claims: tuple[Claim, ...]

    def runs_at(self, setting: SettingName) -> list[RunSpec]:
        """Return the runs that are made at a setting."""
        return [run for run in self.runs if not run.only or setting in run.only]

    def measures_of(self, run: RunSpec) -> list[str]:
        """Return the names of a run's measures, those of all runs first."""
        return list(dict.fromkeys([*(self.measures_of_all if run.trained else ()), *run.measures]))


def study_names() -> list[str]:
    """List the studies that come with the package."""
    return names_in("studies/studies")


def load_study(source: str | Path) -> Study:
    """Load a study by its name in the package, or by the path of a TOML file."""
    try:
        values = read_named(source, "studies/studies", "study", LARGEST)
    except TomlError as error:
        raise RecipeError(str(error)) from None
    path = None if str(source) in study_names() else Path(source)
    try:
        return parse_study(values, Path(source).stem if path else str(source), path and path.resolve().parent)
    except RecipeError as error:
        raise RecipeError(f"study {source}: {error}") from None


def parse_study(values: Mapping[str, Any], name: str, folder: Path | None = None) -> Study:
    """Validate a study given as nested dictionaries."""
    file = validate_table(StudyFile, values, "")
    study = Study(
        name,
        file.title,
        file.about.strip(),
        folder,
        {
            key: validate_table(Setting, file.settings[key], f"settings.{key}")
            for key in SETTINGS
            if key in file.settings
        },
        file.measures_of_all,
        dict(_measures(file.measures)),
        tuple(validate_table(RunSpec, row, where) for where, row in _named(file, "runs")),
        tuple(validate_table(Column, row, where) for where, row in _named(file, "table")),
        tuple(validate_by_kind(FIGURES, "kind", row, where) for where, row in _named(file, "figures")),
        tuple(validate_by_kind(RULES, "rule", row, where) for where, row in _named(file, "claims")),
    )
    for faults in (_faults_of_settings(name, file), _faults_of_runs(study), _faults_of_columns(study), _unknown(study)):
        if fault := next(faults, ""):
            raise RecipeError(fault)
    return study


def _named(file: StudyFile, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a table, each with its name for messages."""
    for number, row in enumerate(getattr(file, key), start=1):
        called = row.get("name") or row.get("key") or number if isinstance(row, dict) else number
        yield f"{key} {called}", row


def _measures(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Measure]]:
    """Yield every kind with default arguments under its own name, then the measures with a table."""
    kinds = [kind for kind in dict.fromkeys((*MEASUREMENTS, *KINDS)) if kind != EVALUATE]
    for kind in kinds:
        if kind != "retiming":
            yield kind, measure_from(kind, {})
    for name, row in tables.items():
        if (kind := str(row.get("kind"))) not in kinds:
            raise RecipeError(f"measures.{name}.kind: {unknown_name(kind, kinds)}")
        try:
            yield name, measure_from(kind, {key: value for key, value in row.items() if key != "kind"})
        except ArgumentError as error:
            raise RecipeError(f"measures.{name}: {error}") from None


def _twice(names: Sequence[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _others(names: Iterable[str], known: Iterable[str], where: str) -> Iterator[str]:
    """Yield what is wrong with names that are not known."""
    listed = list(known)
    return (f"{where}: {unknown_name(name, listed)}" for name in names if name not in listed)


def _faults_of_settings(name: str, file: StudyFile) -> Iterator[str]:
    if name.startswith(OF_WEIGHTS):
        yield f"{name}: archives of weights are called {OF_WEIGHTS}NAME: give the study another name"
    yield from _others(file.settings, SETTINGS, "settings")
    if not file.settings:
        yield "settings: is missing; [settings.paper], [settings.small] or both"
    if EVALUATE in file.measures:
        yield f"measures.{EVALUATE}: every training ends with it, so no study asks for it"


def _faults_of_runs(study: Study) -> Iterator[str]:
    names = [run.name for run in study.runs]
    if not names:
        yield "runs: is missing; [[runs]], one for each training"
    if twice := _twice(names):
        yield f"runs: two are called {twice!r}"
    for setting in study.settings:
        labels = [run.at(setting).label or run.label or run.name for run in study.runs_at(setting)]
        if twice := _twice(labels):
            yield f"runs: two have the label {twice!r} at the setting {setting}: pictures go by labels"
    for run in study.runs:
        where, measures = f"runs {run.name}", study.measures_of(run)
        yield from _others(measures, study.measures, f"{where}.measures")
        if wants := [name for name in measures if not run.trained and study.measures[name].needs == "run"]:
            yield f"{where}.measures: {wants[0]} needs a trained run, and trained is false"
        if run.begins_with and run.begins_with not in names[: names.index(run.name)]:
            yield f"{where}.begins_with: {unknown_name(run.begins_with, names)} (it must stand before {run.name})"
        for setting in study.settings:
            if run in study.runs_at(setting) and not (run.at(setting).recipe or study.settings[setting].recipe):
                yield f"{where}.{setting}.recipe: is missing, and settings.{setting} has none"
            if run not in study.runs_at(setting) and run.at(setting).model_fields_set:
                yield f"{where}.{setting}: is not made at this setting (only = {run.only})"


def _faults_of_columns(study: Study) -> Iterator[str]:
    keys = [column.key for column in study.table]
    if twice := _twice(keys):
        yield f"table: two columns have the key {twice!r}"
    for column in study.table:
        where = f"table {column.key}"
        if not is_metric(column.metric):
            yield f"{where}.metric: {unknown_name(column.metric, list(named_metrics()))}"
        kind, placed = metric_of(column.metric).kind, column.number.placed
        yield from _faults_of_source(study, column.source, [kind], where, f"{column.metric} is read")
        if column.minus and column.minus not in keys[: keys.index(column.key)]:
            yield f"{where}.minus: {unknown_name(column.minus, keys)} (it must stand before {column.key})"
        if placed != (column.at is not None):
            wants = "is missing: where it is read" if placed else f"{column.metric} is read at no place"
            yield f"{where}.at: {wants}"


def _faults_of_source(study: Study, name: str, kinds: Sequence[str], where: str, read: str) -> Iterator[str]:
    """Say what is wrong with a measure that numbers of a kind are read from."""
    if name != EVALUATE:
        yield from _others([name], study.measures, f"{where}.measure")
    of = EVALUATE if name == EVALUATE else study.measures[name].kind
    if of not in kinds:
        yield f"{where}.measure: {read} from {kinds[0]}, {name} is of {of}"
    if name != EVALUATE and not any(name in study.measures_of(run) for run in study.runs):
        yield f"{where}: no run has the measure {name}"


def _unknown(study: Study) -> Iterator[str]:
    """Say which runs, columns and measures that claims and figures name are none."""
    runs, columns = [run.name for run in study.runs], [column.key for column in study.table]
    users = [(f"claims {n}", claim.uses()) for n, claim in enumerate(study.claims, start=1)]
    users += [(f"figures {n}", (figure.runs, figure.columns())) for n, figure in enumerate(study.figures, start=1)]
    for where, (of_runs, of_columns) in users:
        yield from _others(of_runs, runs, f"{where}: run")
        yield from _others(of_columns, columns, f"{where}: column")
    for number, figure in enumerate(study.figures, start=1):
        where, kind = f"figures {number}", READS.get(figure.kind, "")
        if kind:
            read = f"pictures of kind {figure.kind} are drawn"
            kinds = [kind, "retiming"] if kind == EVALUATE else [kind]
            yield from _faults_of_source(study, figure.source, kinds, where, read)
        elif figure.measure:
            yield f"{where}.measure: pictures of kind {figure.kind} are drawn from no measure: leave it out"
