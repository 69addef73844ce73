"""A study's file: its schema, with keys, defaults and documentation in one place, and how it is read and checked.

An unknown key is an error. Measures, metrics, figures and rules of verdicts are closed dictionaries with files of their
own; nothing in a study can name code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.io.toml_file import TomlError, names_in, read_named, unknown_key
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
LARGEST = 1 << 18
"""Largest size of a study's file, in bytes."""
TABLES = ("settings", "measures", "runs", "table", "figures", "claims")
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
        return list(dict.fromkeys([*(self.of_all if run.trained else ()), *run.measures]))

    of_all: tuple[str, ...] = ()


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
    if name.startswith(OF_WEIGHTS):
        raise RecipeError(f"{name}: archives of weights are called {OF_WEIGHTS}NAME: give the study another name")
    known = [*Header.model_fields, *TABLES]
    for key in values:
        if key not in known:
            raise RecipeError(f"{key}: {unknown_key(key, known)}")
    head = validate_table(Header, {key: values[key] for key in values if key in Header.model_fields}, "")
    measures = dict(_measures(_table(values, "measures")))
    study = Study(
        name,
        head.title,
        head.about.strip(),
        folder,
        dict(_settings(_table(values, "settings"))),
        measures,
        tuple(_rows(values, "runs", lambda row, where: validate_table(RunSpec, row, where))),
        tuple(_rows(values, "table", lambda row, where: validate_table(Column, row, where))),
        tuple(_rows(values, "figures", lambda row, where: validate_by_kind(FIGURES, "kind", row, where))),
        tuple(_rows(values, "claims", lambda row, where: validate_by_kind(RULES, "rule", row, where))),
        tuple(head.measures_of_all),
    )
    _check_runs(study)
    _check_columns(study)
    _check_names(study)
    return study


def measure_of(column: Column) -> str:
    """Return the name of the measure that a column is read from."""
    if not is_metric(column.metric):
        raise RecipeError(f"table {column.key}.metric: {unknown_name(column.metric, list(named_metrics()))}")
    return column.measure or metric_of(column.metric).kind


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, dict):
        raise RecipeError(f"{key}: must be a table of tables, [{key}.NAME]")
    return found


def _rows(values: Mapping[str, Any], key: str, read: Callable[[Any, str], Any]) -> Iterator[Any]:
    rows = values.get(key, [])
    if not isinstance(rows, list):
        raise RecipeError(f"{key}: must be a list of tables, [[{key}]]")
    for number, row in enumerate(rows, start=1):
        called = row.get("name") or row.get("key") or number if isinstance(row, dict) else number
        yield read(row, f"{key} {called}")


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[SettingName, Setting]]:
    for name in values:
        _check_known(name, SETTINGS, "settings")
    if not values:
        raise RecipeError("settings: is missing; [settings.paper], [settings.small] or both")
    for setting in SETTINGS:
        if setting in values:
            yield setting, validate_table(Setting, values[setting], f"settings.{setting}")


def _measures(values: Mapping[str, Any]) -> Iterator[tuple[str, Measure]]:
    """Yield the measures with a table, then every kind with default arguments under its own name."""
    kinds = [*dict.fromkeys((*MEASUREMENTS, *KINDS))]
    for kind in kinds:
        if kind not in (EVALUATE, "retiming"):
            yield kind, measure_from(kind, {})
    for name, row in values.items():
        if name == EVALUATE:
            raise RecipeError(f"measures.{name}: every training ends with it, so no study asks for it")
        if not isinstance(row, dict):
            raise RecipeError(f"measures.{name}: must be a table of keys and values, got {row!r}")
        kind = str(row.get("kind"))
        if kind not in kinds or kind == EVALUATE:
            raise RecipeError(f"measures.{name}.kind: {unknown_name(kind, kinds)}")
        try:
            yield name, measure_from(kind, {key: value for key, value in row.items() if key != "kind"})
        except ArgumentError as error:
            raise RecipeError(f"measures.{name}: {error}") from None


def _check_once(names: Sequence[str], refusal: str) -> None:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RecipeError(refusal.format(twice))


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    if name not in (names := list(known)):
        raise RecipeError(f"{where}: {unknown_name(name, names)}")


def _check_runs(study: Study) -> None:
    names = [run.name for run in study.runs]
    if not names:
        raise RecipeError("runs: is missing; [[runs]], one for each training")
    _check_once(names, "runs: two are called {!r}")
    for setting in study.settings:
        labels = [run.at(setting).label or run.label or run.name for run in study.runs_at(setting)]
        _check_once(labels, f"runs: two have the label {{!r}} at the setting {setting}: pictures go by labels")
    for run in study.runs:
        where = f"runs {run.name}"
        for measure in study.measures_of(run):
            _check_known(measure, study.measures, f"{where}.measures")
            if not run.trained and study.measures[measure].needs == "run":
                raise RecipeError(f"{where}.measures: {measure} needs a trained run, and trained is false")
        if run.begins_with and run.begins_with not in names[: names.index(run.name)]:
            raise RecipeError(
                f"{where}.begins_with: {unknown_name(run.begins_with, names)} (it must stand before {run.name})"
            )
        for setting in study.settings:
            if run in study.runs_at(setting) and not (run.at(setting).recipe or study.settings[setting].recipe):
                raise RecipeError(f"{where}.{setting}.recipe: is missing, and settings.{setting} has none")
            if run not in study.runs_at(setting) and run.at(setting).model_fields_set:
                raise RecipeError(f"{where}.{setting}: is not made at this setting (only = {run.only})")


def _check_columns(study: Study) -> None:
    keys = [column.key for column in study.table]
    _check_once(keys, "table: two columns have the key {!r}")
    for column in study.table:
        name, metric, where = measure_of(column), metric_of(column.metric), f"table {column.key}"
        if name != EVALUATE:
            _check_known(name, study.measures, f"{where}.measure")
            if (kind := study.measures[name].kind) != metric.kind:
                raise RecipeError(f"{where}.measure: {column.metric} is read from {metric.kind}, {name} is of {kind}")
            if not any(name in study.measures_of(run) for run in study.runs):
                raise RecipeError(f"{where}: no run has the measure {name}")
        if column.minus and column.minus not in keys[: keys.index(column.key)]:
            known = unknown_name(column.minus, keys)
            raise RecipeError(f"{where}.minus: {known} (it must stand before {column.key})")
        if metric.metric.placed != (column.at is not None):
            wants = "is missing: where it is read" if metric.metric.placed else f"{column.metric} is read at no place"
            raise RecipeError(f"{where}.at: {wants}")


def _check_names(study: Study) -> None:
    """Check the runs and columns that claims and figures name."""
    runs, columns = [run.name for run in study.runs], [column.key for column in study.table]
    users = [(f"claims {n}", claim.uses()) for n, claim in enumerate(study.claims, start=1)]
    users += [(f"figures {n}", (figure.runs, figure.columns())) for n, figure in enumerate(study.figures, start=1)]
    for where, (of_runs, of_columns) in users:
        for name in of_runs:
            _check_known(name, runs, f"{where}: run")
        for key in of_columns:
            _check_known(key, columns, f"{where}: column")
    for number, figure in enumerate(study.figures, start=1):
        if figure.measure and figure.measure != EVALUATE:
            _check_known(figure.measure, study.measures, f"figures {number}.measure")
        _check_source(study, figure, f"figures {number}")


def _check_source(study: Study, figure: FigureSpec, where: str) -> None:
    """Check that a picture is drawn from a measure of its kind, which some run has."""
    kind, source = READS.get(figure.kind, ""), figure.source
    if figure.measure and not kind:
        raise RecipeError(f"{where}.measure: pictures of kind {figure.kind} are drawn from no measure: leave it out")
    if not source:
        return
    of = EVALUATE if source == EVALUATE else study.measures[source].kind
    if of != kind and (kind, of) != (EVALUATE, "retiming"):
        raise RecipeError(f"{where}.measure: pictures of kind {figure.kind} are drawn from {kind}, {source} is of {of}")
    if source != EVALUATE and not any(source in study.measures_of(run) for run in study.runs):
        raise RecipeError(f"{where}: no run has the measure {source}")
