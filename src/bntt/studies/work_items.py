"""What some studies need: every start once, however many studies need it, and what of it exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from bntt.data.errors import DataError
from bntt.data.prepared import Manifest
from bntt.data.registry import DATASETS
from bntt.engine.kernels import BackendError
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import began_with_others
from bntt.runs.recipe.build import build_model, input_shape
from bntt.runs.recipe.datasets import data_key, stand_in
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.runs.training.estimate import LOADED, kept_bytes, time_left, update_seconds, updates_an_epoch
from bntt.studies.measures import Measure
from bntt.studies.pool import (
    UNTRAINED,
    KeptRun,
    choose,
    data_checksums,
    directory_name,
    identity,
    kept_runs,
    lacking,
    manifest_here,
    numerics_agree,
    why_data_is_missing,
)
from bntt.studies.start_plan import PlannedRun, Start


class Cost(NamedTuple):
    """Cost of a training by a model, on one core."""

    seconds: float | None
    """Time of the training and its test; None if the network's operations cannot be counted."""
    peak_bytes: float
    """Memory of the process; on a GPU what is kept for the backward pass is about as much."""


def training_cost(recipe: Recipe) -> Cost | None:
    """Estimate a training and its test; None if nothing is trained, or the size of the data is unknown."""
    return _modelled(replace(recipe, seed=0, notes="")) if recipe.train.epochs else None


@cache
def _modelled(recipe: Recipe) -> Cost | None:
    try:
        return _cost(recipe)
    except (DataError, RecipeError, BackendError, ValueError):  # the training itself will say why
        return None


def _cost(recipe: Recipe) -> Cost | None:
    manifest = manifest_here(recipe) or _published(recipe)
    if manifest is None:
        return None
    data = stand_in(recipe, manifest)
    network, shape = build_model(recipe, data).network, input_shape(recipe, data)
    update = update_seconds(network, shape, len(data.train) / updates_an_epoch(recipe, data), threads=1)
    weights = 3 * sum(one.nbytes for one in network.parameters())  # with their gradients and an optimizer's moment
    peak = LOADED + weights + kept_bytes(network, shape)
    return Cost(None if update is None else time_left(recipe, data, update), peak)


def _published(recipe: Recipe) -> Manifest | None:
    """Return the size of data that is not here, as far as its distributor says it."""
    name, frames = recipe.data.name, recipe.data.frames
    dataset = DATASETS[name]
    shape = [recipe.network.num_steps, 2, frames.size, frames.size] if dataset.formats else list(dataset.shape)
    if not (dataset.samples[0] and dataset.classes and len(shape) >= 3):
        return None
    counts = dict(zip(("train", "test"), dataset.samples, strict=True))
    return Manifest(name, "", "unchecked", counts, shape, [str(number) for number in range(dataset.classes)])


Action = Literal["reuse", "measure", "train", "cannot"]


@dataclass(eq=False)
class WorkItem:
    """Required start, with all measures that any study needs of it."""

    identity: str
    start: Start
    ann: WorkItem | None
    """Item whose ANN it begins with."""
    sums: Mapping[str, str] | None
    """Checksums of its data; None if the data is not here."""
    measures: dict[str, Measure] = field(default_factory=dict)
    """Measures by their digests."""
    needed_by: list[str] = field(default_factory=list)
    action: Action = "cannot"
    why: str = ""
    kept: list[KeptRun] = field(default_factory=list)
    """Complete runs of it, the pool's first; in folders of results there may be several."""
    weights: bool = False
    """True if another item begins with its weights."""
    damaged: str = ""
    """Fault in its data; "" if there is none."""

    @property
    def recipe(self) -> Recipe:
        return self.start.recipe

    @property
    def place(self) -> str:
        """Return the name of its directory in the pool."""
        return directory_name(Path(self.start.recipe_name).stem, self.identity, self.sums or {})

    @property
    def work(self) -> float:
        """Return the modelled seconds of its training on one core, or a minute if the model has no answer."""
        return self.seconds or 60.0

    @property
    def seconds(self) -> float | None:
        """Return the modelled seconds of its training on one core; None if the model has no answer."""
        return None if self.cost is None else self.cost.seconds

    @property
    def cost(self) -> Cost | None:
        """Return the modelled cost of its training; None if there is none, or the size of its data is unknown."""
        return training_cost(self.recipe) if self.start.trained else None

    @property
    def called(self) -> str:
        """Return its name for messages: that of the first study that needs it."""
        return self.needed_by[0] if self.needed_by else self.place

    def begun(self, pool: Path) -> Recipe:
        """Return its recipe with the place of the ANN that it begins with."""
        if self.ann is None:
            return self.recipe
        whole = [run.path for run in self.ann.kept if run.has_weights]
        place = (whole or [pool / self.ann.place])[0]
        return replace(self.recipe, convert=replace(self.recipe.convert, ann=str(place.resolve())))


def work_items(plans: Iterable[tuple[str, Sequence[PlannedRun]]]) -> list[WorkItem]:
    """List every start of some studies once, each after the one that it begins with."""
    found: dict[str, WorkItem] = {}
    sums: dict[str, tuple[Mapping[str, str] | None, str]] = {}
    for study, runs in plans:
        mine: dict[tuple[str, int], WorkItem] = {}
        for run in runs:
            for start in run.starts:
                ann = mine.get((start.begins_with, start.seed))
                if start.begins_with and ann is None:
                    raise RecipeError(
                        f"study {study}, runs {run.name}: begins with {start.begins_with}, which has no start of seed "
                        f"{start.seed} at this setting"
                    )
                of = identity(start.recipe, ann.identity if ann else "") + UNTRAINED * (not start.trained)
                if of not in found:
                    checksums, damaged = _checksums(start.recipe, sums)
                    found[of] = WorkItem(of, start, ann, checksums, damaged=damaged)
                item = mine[run.name, start.seed] = found[of]
                item.measures |= {one.digest: one for one in start.measures.values()}
                item.needed_by.append(f"{study}: {run.name}, seed {start.seed}")
    return list(found.values())


def _checksums(
    recipe: Recipe, known: dict[str, tuple[Mapping[str, str] | None, str]]
) -> tuple[Mapping[str, str] | None, str]:
    """Return the checksums of a recipe's data, and the fault in it; looked up once."""
    if (key := data_key(recipe)) not in known:
        try:
            known[key] = data_checksums(recipe), ""
        except DataError as error:
            known[key] = None, str(error)
    return known[key]


def decide_actions(items: Sequence[WorkItem], folders: Sequence[Path]) -> None:
    """Set on every item which runs of it exist in some folders, the pool first, and which work is left."""
    index, seen = dict[str, list[KeptRun]](), dict[str, Mapping[str, str]]()
    for run in kept_runs(folders):
        index.setdefault(run.identity, []).append(run)
    for item in items:
        item.weights = False
    for item in sorted(items, key=lambda one: one.ann is None):
        _decide(item, index.get(item.identity, []), folders[0], seen)
        if item.ann is not None and item.action == "train":
            item.ann.weights = True


def _decide(item: WorkItem, runs: Sequence[KeptRun], pool: Path, seen: dict[str, Mapping[str, str]]) -> None:
    """Decide what is done with an item; ``seen``: checksums of data that is not here."""
    faults = [(run, _fault(item, run, seen)) for run in runs]
    item.kept = sorted((run for run, fault in faults if not fault), key=lambda run: not run.is_named)
    best = choose(item.kept, item.measures.values(), weights=item.weights)
    gone = item.weights and best is not None and not best.has_weights
    lacks = ", ".join(dict.fromkeys(one.kind for one in lacking(best, item.measures.values()))) if best else ""
    short = f"{best.place} lacks {lacks or 'its weights'}" if best and (lacks or gone) else ""
    if best and not short:
        item.action, item.why = "reuse", f"{best.place}"
    elif item.sums is None:
        item.action, item.why = (
            "cannot",
            "; ".join(filter(None, (item.damaged or why_data_is_missing(item.recipe), short))),
        )
    elif best and not gone and best.path == pool / item.place and (best.has_weights or not item.start.trained):
        item.action, item.why = "measure", short
    else:
        told = [short, *(f"{run.place} {fault}" for run, fault in faults if fault)]
        item.action, item.why = "train", "; ".join(filter(None, told)) or "no kept run matches"


def _fault(item: WorkItem, run: KeptRun, seen: dict[str, Mapping[str, str]]) -> str:
    """Explain why a kept run of an item's identity does not stand for it; "" if it does."""
    if run.unfinished:
        return run.unfinished
    if not numerics_agree(run):
        return "was made by code that gives other numbers"
    if item.sums is not None and run.data != item.sums:
        return "was made with other data"
    if item.sums is None and "root" in DATASETS[item.recipe.data.name].needs and not run.is_packed:
        return "may be of other data, and the data to compare with is not here"
    if (source := item.recipe.init.run) and began_with_others(run.evaluation, RunDirectory(Path(source))):
        return f"began with other weights than {source} has"
    if item.sums is None and seen.setdefault(data_key(item.recipe), run.data) != run.data:
        return "was made with other data than other runs"
    return ""
