"""Runs by their content: recipe, data and numerics give the digest that ends the name of a run's directory.

Two runs are the same if their recipes agree in all that numbers depend on, their data has the same checksums, and
they were made under the same :mod:`numerics version <bntt.runs.environment>`. The ANN that a run starts from belongs to
its recipe. Weights are not needed: measurements are used again if the weights are gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.data.catalog import prepared_folder
from bntt.data.prepared import Manifest, manifest_of, read_manifest
from bntt.data.samples import DATASETS
from bntt.io.archive import archives_in, packed_place, unpacked
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import digest_of_text, digest_of_values, find_object, last_name
from bntt.runs.directory import RunDirectory
from bntt.runs.environment import NUMERICS, numerics_of
from bntt.runs.evaluation import rates_of
from bntt.runs.identity import rules_in, rules_of, weights_hash
from bntt.runs.parts import parts_of, recorded_parts, versions_of
from bntt.runs.recipe.build import checksums, facts_of, for_measuring, framing_of
from bntt.runs.recipe.file import RecipeError, load_recipe, values_of
from bntt.runs.recipe.schema import Recipe
from bntt.studies.measures import EVALUATE, Measure

SAME_NUMBERS: dict[str, tuple[str, ...]] = {
    "data": ("root", "label"),
    "evaluate": ("batch_size",),
    "compute": ("backend", "events", "recompute", "input_grad", "rectifiers"),
}
"""Keys of a recipe that change rounding at most."""
UNTRAINED = "-untrained"
"""Suffix of the identity of a run without training, for measures that train by themselves."""
NAMED_KEYS = ("epoch", "updates")
"""Properties of the evaluation that a kept measure names."""
DEPTH = 2
"""Depth to which folders of results are searched for runs."""


def agree(values: Mapping[str, Any], others: Mapping[str, Any], keys: Iterable[str]) -> bool:
    """Return True if two describe the same thing, wherever both state it."""
    return all(values[key] == others[key] for key in keys if None not in (values.get(key), others.get(key)))


@dataclass(frozen=True)
class KeptRun:
    """Run directory that was measured on the test images, or an untrained one."""

    path: Path
    recipe: Recipe
    identity: str
    data: Mapping[str, str]
    """Checksums of its data."""
    environment: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    unfinished: str = ""
    """What its training or evaluation lacks, so that it cannot serve as a start; "" if it is complete."""

    @property
    def fault(self) -> str:
        """Why it cannot serve as a start, whatever its data; "" if it can."""
        other = "was made by code that gives other numbers" * (numerics_of(self.environment) != NUMERICS)
        return self.unfinished or other

    @property
    def has_weights(self) -> bool:
        return RunDirectory(self.path).best.is_file()

    @property
    def device(self) -> str | None:
        """Device that it was made on: the GPU, or the processor; None if it was not recorded."""
        facts = self.environment
        found = facts.get("processor") if facts.get("device") == "cpu" else facts.get("gpu", facts.get("processor"))
        return None if found is None else str(found)

    @property
    def made_on(self) -> str:
        """Device and commit in words."""
        return f"{self.device or 'a device that was not kept'} at {self.environment.get('commit') or 'no commit'}"

    @property
    def is_named(self) -> bool:
        """True if its directory has the name of its content, as those of the pool have."""
        return self.path.name == directory_name(self.path.name.rpartition("-")[0], self.identity, self.data)

    @property
    def place(self) -> Path:
        """Folder that it lies in, or lay in before it was packed, for messages and results."""
        return packed_place(self.path) or self.path

    def found(self, measure: Measure) -> Mapping[str, Any] | None:
        """Find the numbers of a measure on this run, for the weights that its evaluation describes."""
        for file in sorted((self.path / "measures").glob(f"{measure.kind}-*.json")):
            kept = find_object(file) or {}
            values = kept.get("values") or {}
            if self._matches(measure, kept, values) and agree(kept.get("of", {}), self.evaluation, NAMED_KEYS):
                return values
        own = find_object(self.path / measure.written) or {}
        return own if self._matches(measure, own, own) and self._is_of_weights(own) else None

    def _matches(self, measure: Measure, said: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Return True if numbers belong to a measure, by the arguments beside them, and to the evaluation's epoch."""
        arguments, same_epoch = said.get("arguments"), agree(values, self.evaluation, ["epoch"])
        return same_epoch and isinstance(arguments, dict) and measure.matches(arguments, facts_of(self.recipe))

    def _is_of_weights(self, values: Mapping[str, Any]) -> bool:
        """Return True unless numbers name other runs, weights or options than the ones here; they may be missing."""
        if set(values.get("measured_on") or {self.place.name}) != {self.place.name} or values.get("measured_with"):
            return False
        told = values.get("weights_sha256")
        return told is None or not self.has_weights or told == weights_hash(RunDirectory(self.path))


def identity(recipe: Recipe, ann: str = "", kept: Mapping[str, Any] | None = None) -> str:
    """Compute a digest of everything that the numbers of a recipe depend on, except data and code."""
    values: dict[str, Any] = values_of(for_measuring(recipe), changed_only=True)
    for key in ("notes", "checkpoint"):
        values.pop(key, None)
    for table, keys in SAME_NUMBERS.items():
        for key in keys:
            values.get(table, {}).pop(key, None)
    if recipe.init.run:
        values["init"]["run"] = last_name(recipe.init.run)
    if recipe.convert.ann:
        values["convert"]["ann"] = ann
    else:
        values.pop("convert", None)
    values["rules"] = dict(rules_of(recipe) if kept is None else rules_in(kept))
    values["parts"] = versions_of(parts_of(recipe) if kept is None else recorded_parts(kept))
    full = {key: value for key, value in values.items() if value != {}}
    return digest_of_values(full)


def directory_name(name: str, of: str, data: Mapping[str, str]) -> str:
    """Name the directory of a start: a readable word, and a digest of its whole definition."""
    everything = json.dumps([of, dict(data), NUMERICS], sort_keys=True)
    return f"{name}-{digest_of_text(everything)[:12]}"


def kept_runs(folders: Sequence[Path]) -> Iterator[KeptRun]:
    """Yield the measured runs of some folders and of the archives in them, in order."""
    for folder in folders:
        for place in (folder, unpacked(folder)) if archives_in(folder) else (folder,):
            for depth in range(1, DEPTH + 1):
                for file in sorted(place.glob("/".join(["*"] * depth) + "/recipe.toml")):
                    if (run := kept_run(file.parent)) is not None:
                        yield run


def kept_run(path: Path) -> KeptRun | None:
    """Read the run in this directory if it was measured and can be read; it states if it is complete."""
    evaluation, environment = find_object(path / "evaluation.json") or {}, find_object(path / "environment.json")
    if environment is None:
        return None
    trained = environment.get("trained") is not False
    if trained and evaluation.get("split") != "test":
        return None
    data = environment.get("data")
    try:
        recipe = load_recipe(path / "recipe.toml", stored=True)
        of = identity(recipe, _ann_of(recipe, path, evaluation), environment) + UNTRAINED * (not trained)
    except (RecipeError, CheckpointError, OSError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("sha256"), dict) or not of:
        return None
    short = _unfinished(recipe, path, evaluation) if trained else ""
    return KeptRun(path, recipe, of, data["sha256"], environment, evaluation, short)


def _unfinished(recipe: Recipe, path: Path, evaluation: Mapping[str, Any]) -> str:
    """Explain why a run does not complete its recipe; "" if it does."""
    run, epochs = RunDirectory(path), recipe.train.epochs
    drawn, asked = evaluation.get("draws"), facts_of(recipe).draws
    if drawn not in (None, asked):
        return f"was measured with {drawn} draws, not {asked}"
    if not epochs:
        return ""
    rows = run.kept_rows()
    last = rows[-1] if rows else {}
    if (done := last.get("epoch", -1) + 1) != epochs:
        return f"has {done} of {epochs} epochs"
    updates, measured = last.get("updates"), evaluation.get("updates")
    if None not in (updates, measured) and updates != measured:
        return f"was measured after {measured} of {updates} updates"
    if None not in (updates, last.get("lr")) and rates_of(recipe, rows) is None:
        return f"was begun for fewer than {epochs} epochs, at other learning rates"
    return ""


def _ann_of(recipe: Recipe, path: Path, evaluation: Mapping[str, Any]) -> str:
    """Return the identity of the ANN that a kept run began with; "" if it began with none."""
    if not recipe.convert.ann:
        return ""
    place = ann_place(recipe, path, evaluation)
    kept = find_object(place / "environment.json") or {}
    return identity(load_recipe(place / "recipe.toml", stored=True), kept=kept)


def ann_place(recipe: Recipe, path: Path, evaluation: Mapping[str, Any]) -> Path:
    """Return the directory of the ANN that a kept run began with: its old place, or one of its name next to the run."""
    was, made = Path(recipe.convert.ann or ""), evaluation.get("conversion") or {}
    for place in dict.fromkeys((was, path.parent / was.name)):
        if (place / "recipe.toml").is_file() and _is_ann(place, made.get("ann") or {}):
            return place
    raise RecipeError(f"{path}: the ANN that it began with is not known any longer")


def _is_ann(place: Path, told: Mapping[str, Any]) -> bool:
    """Return True if the run in this place is the one that a conversion names."""
    run, ann = RunDirectory(place), load_recipe(place / "recipe.toml", stored=True)
    found = {**run.training_cost(), **({"weights_sha256": weights_hash(run)} if run.best.is_file() else {})}
    if _unfinished(ann, place, {}):
        return False
    return agree(told, found, ("updates", "weights_sha256"))


def data_checksums(recipe: Recipe) -> Mapping[str, str] | None:
    """Return the checksums of a recipe's data if it is here and prepared; None otherwise."""
    name, root = recipe.data.name, Path(recipe.data.root) if recipe.data.root else None
    dataset = DATASETS[name]
    if dataset.make:
        manifest: Manifest | None = manifest_of(dataset.make()._asdict(), name)
    elif "root" in dataset.needs and root is None:
        return None
    else:
        manifest = read_manifest(prepared_folder(name, root, framing_of(recipe)))
    return None if manifest is None else checksums(manifest, recipe.data.order)


def choose(runs: Sequence[KeptRun], measures: Iterable[Measure], *, weights: bool = False) -> KeptRun | None:
    """Return the first run that has all measures, and weights if they are needed; otherwise the first."""
    asked = list(measures)
    whole = (run for run in runs if not lacking(run, asked) and (run.has_weights or not weights))
    return next(whole, runs[0] if runs else None)


def lacking(run: KeptRun, measures: Iterable[Measure]) -> list[Measure]:
    """List the measures that a run lacks."""
    return [one for one in measures if run.found(one) is None]


def measured_values(run: KeptRun, measures: Mapping[str, Measure]) -> dict[str, Mapping[str, Any]]:
    """Collect all measurements of a run, by their names in a study."""
    found = {EVALUATE: run.evaluation} if run.evaluation else {}
    return found | {name: values for name, one in measures.items() if (values := run.found(one)) is not None}


def why_data_is_missing(recipe: Recipe) -> str:
    """Explain that a recipe's data is not here, and how to get it."""
    name = recipe.data.name
    if "root" in DATASETS[name].needs:
        return f"its {name} are not here: say where they are, --data {name}=FOLDER"
    if images := DATASETS[name].simulated:
        return f"{name} is not here: bntt data simulate {images}"
    way = "--download" if DATASETS[name].published else f"--from PATH, where PATH is {DATASETS[name].expects}"
    return f"{name} is not here: bntt data prepare {name} {way}"
