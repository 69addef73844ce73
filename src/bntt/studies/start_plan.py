"""The plan of a study at one setting: every start of every run as a recipe, with the measures that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from bntt.engine.compute import Precision
from bntt.io.toml_file import names_in
from bntt.models import MODELS
from bntt.nn import TemporalNorm
from bntt.nn.norms.methods import FAMILY
from bntt.runs.recipe.build import builder_options, facts_of, with_absolute_paths
from bntt.runs.recipe.file import key_in, load_recipe
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.studies.measures import Measure
from bntt.studies.pool import identity
from bntt.studies.study_file import RunSpec, SettingName, Study

OF_STARTS = {"seed": "seeds", "convert.ann": "begins_with"}
"""Keys of recipes that a study sets for every start, and its own keys that they come from."""


@dataclass(frozen=True)
class Start:
    """One start of one run."""

    run: str
    seed: int
    recipe: Recipe
    """Recipe with its seed; without the place of the ANN that it begins with, which is not known yet."""
    recipe_name: str
    measures: Mapping[str, Measure]
    """Measures that apply to this network."""
    begins_with: str
    """Run of the study, of the same seed, that it begins with; "" if none."""
    trained: bool


@dataclass(frozen=True)
class PlannedRun:
    """All starts of a run."""

    name: str
    label: str
    recipe: str
    overrides: tuple[str, ...]
    starts: tuple[Start, ...]


def plan_study(
    study: Study, setting: SettingName, data_roots: Mapping[str, str] | None = None, precision: Precision = "fp32"
) -> list[PlannedRun]:
    """Plan every run of a study at a setting."""
    if setting not in study.settings:
        raise RecipeError(f"study {study.name} has no setting {setting!r}, only {', '.join(study.settings)}")
    return [_run(study, run, setting, data_roots or {}, precision) for run in study.runs_at(setting)]


def _run(
    study: Study, run: RunSpec, setting: SettingName, data_roots: Mapping[str, str], precision: Precision
) -> PlannedRun:
    at, whole = run.at(setting), study.settings[setting]
    recipe = at.recipe or whole.recipe
    overrides = (*(() if at.recipe else whole.set), *run.set, *at.set)
    for override in overrides:
        if (key := key_in(override)) in OF_STARTS:
            raise RecipeError(f"study {study.name}, runs {run.name}: set: {key} is given by {OF_STARTS[key]}")
    seeds = at.seeds or whole.seeds
    starts = tuple(_starts(study, run, recipe, overrides, seeds, data_roots, precision))
    return PlannedRun(run.name, at.label or run.label or run.name, recipe, overrides, starts)


def _starts(
    study: Study,
    run: RunSpec,
    recipe: str,
    overrides: tuple[str, ...],
    seeds: list[int],
    data_roots: Mapping[str, str],
    precision: Precision,
) -> Iterator[Start]:
    for seed in dict.fromkeys(seeds):
        ann = [f"convert.ann={json.dumps(run.begins_with, ensure_ascii=False)}"] if run.begins_with else []
        try:
            base = load_recipe(_locate_recipe(study, recipe), [*overrides, *ann, f"seed={seed}"])
        except RecipeError as error:
            raise RecipeError(f"study {study.name}, runs {run.name}: {error}") from None
        if root := data_roots.get(base.data.name):
            base = replace(base, data=replace(base.data, root=root))
        if base.convert.ann and not run.begins_with:
            raise RecipeError(f"study {study.name}, runs {run.name}: begins with an ANN: name its run in begins_with")
        facts = facts_of(base)
        # plain PyTorch has no bfloat16 gradients, and ANNs run in it unless a recipe asks for kernels
        if precision != "fp32" and not facts.is_ann and base.compute.backend != "reference":
            base = replace(base, compute=replace(base.compute, precision=precision))
        measures = {name: study.measures[name] for name in study.measures_of(run) if study.measures[name].takes(facts)}
        yield Start(run.name, seed, with_absolute_paths(base), recipe, measures, run.begins_with, run.trained)


def _locate_recipe(study: Study, recipe: str) -> str | Path:
    """Locate a recipe: one of the package by its name, one of the user's beside the study."""
    if recipe in names_in("runs/recipes") or study.folder is None:
        return recipe
    return study.folder / recipe


NARROWEST = 1e-3
"""Width of the networks built to inspect their norms: one channel per layer."""


def same_runs(runs: Sequence[PlannedRun]) -> dict[str, str]:
    """Map every run that equals an earlier one by definition to the first of its kind."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for run in runs:
        start = run.starts[0]
        meant = f"{definition(start.recipe, start.begins_with)} {start.trained}"
        if first.setdefault(meant, run.name) != run.name:
            found[run.name] = first[meant]
    return found


def definition(recipe: Recipe, begins_with: str = "") -> str:
    """Compute a digest of a recipe's computation, regardless of the name of its norm and of its seed."""
    nameless = replace(recipe, network=replace(recipe.network, norm="none"), seed=0)
    return "; ".join([identity(nameless, begins_with), *_describe_norms(recipe)])


def _describe_norms(recipe: Recipe) -> list[str]:
    """Describe the norm of every layer; by its name alone if the network cannot be built."""
    options = {**builder_options(recipe), "width": NARROWEST, "num_classes": 1}
    try:
        network = MODELS[recipe.network.name](**options)
    except (ValueError, TypeError):  # a custom builder may need the sizes of samples
        return [recipe.network.norm]
    layers = network.layers.values()
    return [_describe_norm(layer.norm, recipe.network.norm) for layer in layers if layer.norm is not None]


def _describe_norm(norm: nn.Module, name: str) -> str:
    """Describe the function of one norm."""
    if not isinstance(norm, TemporalNorm) or type(norm) not in FAMILY:
        return name
    return repr((replace(norm.method, name=""), norm.scale, norm.eps, norm.momentum))
