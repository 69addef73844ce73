"""A study's file: its schema, with keys, defaults and documentation in one place, and how it is read and checked.

An unknown key is an error. Measures, metrics, figures and rules of verdicts are closed dictionaries with files of their
own; nothing in a study can name code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric, first_fault
from bntt.io.files import TomlError, names_in, read_named
from bntt.runs.recipe.file import unknown_name
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.claims import AnyClaim, TomlTable, fault_at
from bntt.studies.measures import EVALUATE, KINDS, Measure, is_metric, measure_from, metric_of, named_metrics

SettingName = Literal["paper", "small"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
Seeds = list[Annotated[int, Field(ge=0, lt=1 << 63)]]
LARGEST = 1 << 18
"""Largest size of a study's file, in bytes."""
READS = {
    **dict.fromkeys(("layers", "layer-spikes", "gamma-histograms"), "activity"),
    "over-time": "evaluate",
    "thresholds": "exit",
    "noise": "robust",
    "bounds": "attack",
    "drift": "drift",
    "inputs": "drift",
    "membrane": "neuron",
}
"""Kind of measure that a picture is drawn from; others are drawn from columns of the table, or from recipes."""
FigureKind = Literal[
    "bars", "scatter", "over-time", "layers", "layer-spikes", "gamma-histograms", "surrogate", "thresholds", "noise",
    "bounds", "drift", "inputs", "membrane"
]  # fmt: skip
NEEDS = {"bars": ["column"], "scatter": ["x", "y"], "inputs": ["steps"], "gamma-histograms": ["steps", "layers"]}
"""Keys without which a picture cannot be drawn, by its kind."""


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
    """Metric that it shows: a name of the dictionary of metrics, listed in docs/how-to/studies.md."""
    title: str = ""
    """Head of the column; the metric's own by default."""
    measure: str = ""
    """Measure that it is read from, where the study has several of one kind."""
    at: float | None = None
    """Place at which a metric is read, if it has one: σ, ε in 1/255, or a number of steps."""
    minus: str = ""
    """Key of a column that is subtracted, start by start."""
    shown: bool = True
    """False if only claims and figures use it."""

    @property
    def number(self) -> Metric:
        """Return what it shows of a start."""
        return metric_of(self.metric)[1]

    @property
    def source(self) -> str:
        """Return the name of the measure that it is read from."""
        return self.measure or metric_of(self.metric)[0]


class FigureSpec(TomlTable):
    """``[[figures]]``: one picture; :data:`bntt.studies.study_result.CHARTS` has the function that draws each kind."""

    kind: FigureKind
    title: Annotated[str, Field(min_length=1)]
    alt: Annotated[str, Field(min_length=1)]
    """Description of the picture for readers who cannot see it."""
    runs: list[str] = Field(default=[])
    """Runs in the picture; [] for all that have the numbers."""
    measure: str = ""
    """Measure that it is drawn from, where the study has several of one kind."""
    column: str = ""
    """Column of `bars`: the mean over the starts, and each start as a point."""
    x: str = ""
    y: str = ""
    """Columns of a `scatter`, one point per start."""
    logarithmic: bool = False
    """True for a logarithmic horizontal axis."""
    of: Literal["firing_rate", "gamma_magnitude", "deviation"] = "firing_rate"
    """Quantity of `layers`, over time."""
    per_neuron: bool = False
    """True for `layer-spikes` per neuron instead of those of a whole layer."""
    steps: list[Annotated[int, Field(ge=1)]] = Field(default=[])
    """Steps of `inputs` and `gamma-histograms`, counted from 1; those beyond the network's T are left out."""
    layers: list[str] = Field(default=[])
    """Layers of `gamma-histograms`."""

    @property
    def source(self) -> str:
        """Return the name of the measure."""
        return self.measure or READS.get(self.kind, "")


def _measures(tables: Mapping[str, Any]) -> dict[str, Measure]:
    """Return every kind with default arguments under its own name, then the measures with a table."""
    kinds = [kind for kind in dict.fromkeys((*MEASUREMENTS, *KINDS)) if kind != EVALUATE]
    found = {kind: measure_from(kind, {}) for kind in kinds if kind != "retiming"}
    for name, row in tables.items():
        if (kind := str(row.get("kind") if isinstance(row, dict) else "")) not in kinds:
            raise fault_at(f"{name}.kind", unknown_name(kind, kinds))
        try:
            found[name] = measure_from(kind, {key: value for key, value in row.items() if key != "kind"})
        except ArgumentError as error:
            raise fault_at(name, str(error)) from None
    return found


class Study(TomlTable):
    """A study's file: its subject, its runs, what is measured of them, and its tables, figures and claims."""

    name: str
    folder: Path | None
    """Folder of its file, which may hold its recipes; None for one that comes with the package."""
    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    """Statement of the paper, and the comparison that tests it."""
    measures_of_all: list[str] = Field(default=[])
    """Names of measures that every trained run has; a kind with default arguments needs no table."""
    settings: Annotated[dict[SettingName, Setting], Field(min_length=1)]
    measures: Annotated[dict[str, Any], AfterValidator(_measures), Field(default={}, validate_default=True)]
    """Measures by the names that runs and columns use."""
    runs: Annotated[list[RunSpec], Field(min_length=1)]
    table: list[Column] = Field(default=[])
    figures: list[FigureSpec] = Field(default=[])
    claims: list[AnyClaim] = Field(default=[])

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
    path = None if str(source) in study_names() else Path(source)
    try:
        values = read_named(source, "studies/studies", "study", LARGEST)
        return parse_study(values, Path(source).stem if path else str(source), path and path.resolve().parent)
    except (TomlError, RecipeError) as error:
        raise RecipeError(f"study {source}: {error}") from None


def parse_study(values: Mapping[str, Any], name: str, folder: Path | None = None) -> Study:
    """Validate a study given as nested dictionaries."""
    if taken := sorted(values.keys() & {"name", "folder"}):
        raise RecipeError(f"{taken[0]}: unknown key")
    try:
        study = Study.model_validate({**values, "name": name, "folder": folder})
    except ValidationError as error:
        raise RecipeError(first_fault(error)) from None
    if fault := next(_faults(study), ""):
        raise RecipeError(fault)
    return study


def _faults(study: Study) -> Iterator[str]:
    """Say which names are given twice, and what is wrong with what a study's tables say of each other."""
    runs, keys = [run.name for run in study.runs], [column.key for column in study.table]
    labels = [[run.at(one).label or run.label or run.name for run in study.runs_at(one)] for one in study.settings]
    if EVALUATE in study.measures:
        yield f"measures.{EVALUATE}: every training ends with it, so no study asks for it"
    for what, names in (("runs", runs), ("table", keys), *(("labels, by which pictures go", one) for one in labels)):
        yield from (f"{what}: two are called {name!r}" for name, count in Counter(names).items() if count > 1)
    for place, run in enumerate(study.runs):
        where, measures = f"runs {run.name}", study.measures_of(run)
        yield from _unknown(f"{where}.measures", measures, study.measures)
        yield from _unknown(f"{where}.begins_with, a run before it", [run.begins_with], runs[:place])
        if wants := [name for name in measures if not run.trained and study.measures[name].needs == "run"]:
            yield f"{where}.measures: {wants[0]} needs a trained run, and trained is false"
        for setting, whole in study.settings.items():
            if run in study.runs_at(setting) and not (run.at(setting).recipe or whole.recipe):
                yield f"{where}.{setting}.recipe: is missing, and settings.{setting} has none"
    for place, column in enumerate(study.table):
        where = f"table {column.key}"
        if not is_metric(column.metric):
            yield from _unknown(f"{where}.metric", [column.metric], named_metrics())
        yield from _faults_of_source(study, column.source, [metric_of(column.metric)[0]], where)
        yield from _unknown(f"{where}.minus, a column before it", [column.minus], keys[:place])
        if column.number.placed != (column.at is not None):
            yield f"{where}.at: {'is missing' if column.number.placed else f'{column.metric} is read at no place'}"
    for number, claim in enumerate(study.claims):
        of_runs, of_columns = claim.uses()
        if not of_columns:
            yield f"claims.{number}: at_least or at_most is missing"
        yield from _unknown(f"claims.{number}: run", of_runs, runs)
        yield from _unknown(f"claims.{number}: column", of_columns, keys)
    for number, figure in enumerate(study.figures):
        where = f"figures.{number}"
        yield from (f"{where}.{key}: is missing" for key in NEEDS.get(figure.kind, ()) if not getattr(figure, key))
        yield from _unknown(f"{where}: run", figure.runs, runs)
        yield from _unknown(f"{where}: column", [figure.column, figure.x, figure.y], keys)
        if kind := READS.get(figure.kind, ""):
            yield from _faults_of_source(study, figure.source, [kind, *["retiming"] * (kind == EVALUATE)], where)


def _unknown(where: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Say which of the names that a key gives are not known; "" is none."""
    listed = list(known)
    return (f"{where}: {unknown_name(name, listed)}" for name in names if name and name not in listed)


def _faults_of_source(study: Study, name: str, kinds: list[str], where: str) -> Iterator[str]:
    """Say what is wrong with a measure that numbers of a kind are read from."""
    known = {EVALUATE: EVALUATE} | {one: measure.kind for one, measure in study.measures.items()}
    if name not in known:
        yield f"{where}.measure: {unknown_name(name, list(known))}"
    elif known[name] not in kinds:
        yield f"{where}.measure: it is drawn or read from {kinds[0]}, and {name} is of {known[name]}"
    elif name != EVALUATE and not any(name in study.measures_of(run) for run in study.runs):
        yield f"{where}: no run has the measure {name}"
