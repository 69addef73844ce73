"""A study as it is read: one table or figure, its runs at two sizes, and the claims about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.measurements import MEASUREMENTS
from bntt.io.toml_file import TomlError, names_in, read_named, unknown_key
from bntt.runs.recipe.schema import RecipeError
from bntt.runs.recipe.toml_table import unknown_name, validate_by_kind, validate_table
from bntt.studies.claims.claim import Claim
from bntt.studies.claims.rules import RULES
from bntt.studies.measures import EVALUATE, KINDS, Measure, is_metric, measure_from, metric_of, named_metrics
from bntt.studies.study_schema import (
    FIGURES,
    READS,
    SETTINGS,
    Column,
    FigureSpec,
    Header,
    RunSpec,
    Setting,
    SettingName,
)

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
        if name not in SETTINGS:
            raise RecipeError(f"settings: {unknown_name(name, SETTINGS)}")
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


def _check_runs(study: Study) -> None:
    names = [run.name for run in study.runs]
    if not names:
        raise RecipeError("runs: is missing; [[runs]], one for each training")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RecipeError(f"runs: two are called {twice!r}")
    for setting in study.settings:
        labels = [run.at(setting).label or run.label or run.name for run in study.runs_at(setting)]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise RecipeError(f"runs: two have the label {twice!r} at the setting {setting}: pictures go by labels")
    for run in study.runs:
        where = f"runs {run.name}"
        for measure in study.measures_of(run):
            if measure not in study.measures:
                raise RecipeError(f"{where}.measures: {unknown_name(measure, list(study.measures))}")
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
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise RecipeError(f"table: two columns have the key {twice!r}")
    for column in study.table:
        name, metric, where = measure_of(column), metric_of(column.metric), f"table {column.key}"
        if name != EVALUATE:
            if name not in study.measures:
                raise RecipeError(f"{where}.measure: {unknown_name(name, list(study.measures))}")
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
    users: Sequence[tuple[str, tuple[list[str], list[str]]]] = [
        *((f"claims {n}", claim.uses()) for n, claim in enumerate(study.claims, start=1)),
        *((f"figures {n}", figure.uses()) for n, figure in enumerate(study.figures, start=1)),
    ]
    for where, (of_runs, of_columns) in users:
        for name in of_runs:
            if name not in runs:
                raise RecipeError(f"{where}: run: {unknown_name(name, runs)}")
        for key in of_columns:
            if key not in columns:
                raise RecipeError(f"{where}: column: {unknown_name(key, columns)}")
    for number, figure in enumerate(study.figures, start=1):
        if figure.measure and figure.measure not in study.measures and figure.measure != EVALUATE:
            raise RecipeError(f"figures {number}.measure: {unknown_name(figure.measure, list(study.measures))}")
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
