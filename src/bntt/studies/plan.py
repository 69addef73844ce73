"""What studies need: every start of every run once, what of it exists, and what is left to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bntt.data.samples import DATASETS
from bntt.io.archive import packed_place
from bntt.io.errors import DataError
from bntt.io.files import last_name, names_in
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import began_with_others
from bntt.runs.recipe.build import (
    build_data,
    data_key,
    facts_of,
    with_absolute_paths,
)
from bntt.runs.recipe.file import key_in, load_recipe
from bntt.runs.recipe.schema import Recipe, RecipeError
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
    why_data_is_missing,
)
from bntt.studies.study_file import RunSpec, SettingName, Study

OF_STARTS = {"seed": "seeds", "convert.ann": "begins_with"}
"""Keys of recipes that a study sets for every start, and its own keys that they come from."""
EACH = 20
"""Most runs that an overview lists one by one."""
Action = Literal["reuse", "measure", "train", "cannot"]


@dataclass(frozen=True)
class Folders:
    """Folders from which studies read and to which they write."""

    pool: Path = Path("runs/pool")
    results: tuple[Path, ...] = ()
    """Folders searched for kept runs, besides the pool; nothing is written there."""
    out: Path = Path("runs/studies")
    data: Mapping[str, str] = field(default_factory=dict)
    """``data.root`` by the name of the dataset."""

    @property
    def folders(self) -> list[Path]:
        return [self.pool, *self.results]


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


@dataclass(eq=False)
class WorkItem:
    """Required start, with all measures that any study needs of it."""

    identity: str
    start: Start
    ann: WorkItem | None
    """Item whose ANN it begins with."""
    sums: Mapping[str, str] | None
    """Checksums of its data; None if the data is not here."""
    damaged: str = ""
    """Fault in its data; "" if there is none."""
    measures: dict[str, Measure] = field(default_factory=dict)
    """Measures by their digests."""
    needed_by: list[str] = field(default_factory=list)
    action: Action = "cannot"
    why: str = ""
    kept: list[KeptRun] = field(default_factory=list)
    """Complete runs of it, the pool's first; in folders of results there may be several."""
    weights: bool = False
    """True if another item begins with its weights."""

    @property
    def recipe(self) -> Recipe:
        return self.start.recipe

    @property
    def place(self) -> str:
        """Return the name of its directory in the pool."""
        return directory_name(Path(self.start.recipe_name).stem, self.identity, self.sums or {})

    @property
    def called(self) -> str:
        """Return its name for messages: that of the first study that needs it."""
        return self.needed_by[0]

    @property
    def missing(self) -> str:
        """Explain what is missing where it cannot be made."""
        return self.damaged or why_data_is_missing(self.recipe)

    def begun(self, pool: Path) -> Recipe:
        """Return its recipe with the place of the ANN that it begins with."""
        if self.ann is None:
            return self.recipe
        whole = [run.path for run in self.ann.kept if run.has_weights]
        place = (whole or [pool / self.ann.place])[0]
        return replace(self.recipe, convert=replace(self.recipe.convert, ann=str(place.resolve())))


@dataclass(frozen=True)
class StudyPlan:
    """Studies at one setting, and everything that they need."""

    setting: SettingName
    studies: tuple[tuple[Study, tuple[PlannedRun, ...]], ...]
    items: tuple[WorkItem, ...]

    def left(self) -> list[WorkItem]:
        """List the items that still need work."""
        return [item for item in self.items if item.action not in ("reuse", "cannot")]


def plan(studies: Sequence[Study], setting: SettingName, folders: Folders) -> StudyPlan:
    """Plan some studies: what they need, and what of it exists. Data found in its usual places is prepared."""
    for name, count in Counter(study.name for study in studies).items():
        if count > 1:
            raise RecipeError(f"{count} studies are called {name}, and would have one result: rename a file")
    for folder in folders.results:
        if not folder.is_dir():
            raise RecipeError(f"--results {folder}: is not a folder")
    planned = tuple((study, tuple(plan_study(study, setting, folders.data))) for study in studies)
    recipes = [start.recipe for _, runs in planned for run in runs for start in run.starts]
    places: dict[str, str] = {}
    for place in (recipe.init.run for recipe in recipes if recipe.init.run):  # evidence knows them by their names
        if (other := places.setdefault(last_name(place), place)) != place:
            raise RecipeError(f"init.run: {other} and {place} have one name: give one of the two runs another name")
    for recipe in {data_key(recipe): recipe for recipe in recipes}.values():
        with suppress(DataError, RecipeError):  # items report missing data
            build_data(recipe)
    items = work_items((study.name, runs) for study, runs in planned)
    seeds = list(dict.fromkeys(item.start.seed for item in items))
    items.sort(key=lambda item: seeds.index(item.start.seed))  # the first start of every run comes first
    decide_actions(items, folders.folders)
    return StudyPlan(setting, planned, tuple(items))


def plan_study(study: Study, setting: SettingName, data_roots: Mapping[str, str] | None = None) -> list[PlannedRun]:
    """Plan every run of a study at a setting."""
    if setting not in study.settings:
        raise RecipeError(f"study {study.name} has no setting {setting!r}, only {', '.join(study.settings)}")
    planned = []
    for run in study.runs_at(setting):
        at, whole = run.at(setting), study.settings[setting]
        recipe = at.recipe or whole.recipe
        overrides = (*(() if at.recipe else whole.set), *run.set, *at.set)
        try:
            starts = tuple(
                _start(study, run, recipe, overrides, seed, data_roots or {})
                for seed in dict.fromkeys(at.seeds or whole.seeds)
            )
        except RecipeError as error:
            raise RecipeError(f"study {study.name}, runs {run.name}: {error}") from None
        planned.append(PlannedRun(run.name, at.label or run.label or run.name, recipe, overrides, starts))
    return planned


def _start(
    study: Study, run: RunSpec, name: str, overrides: tuple[str, ...], seed: int, data_roots: Mapping[str, str]
) -> Start:
    if taken := [key for key in map(key_in, overrides) if key in OF_STARTS]:
        raise RecipeError(f"set: {taken[0]} is given by {OF_STARTS[taken[0]]}")
    beside = study.folder is not None and name not in names_in("runs/recipes")
    ann = [f"convert.ann={json.dumps(run.begins_with, ensure_ascii=False)}"] if run.begins_with else []
    recipe = load_recipe(study.folder / name if beside and study.folder else name, [*overrides, *ann, f"seed={seed}"])
    if recipe.convert.ann and not run.begins_with:
        raise RecipeError("begins with an ANN: name its run in begins_with")
    if root := data_roots.get(recipe.data.name):
        recipe = replace(recipe, data=replace(recipe.data, root=root))
    facts = facts_of(recipe)
    measures = {one: study.measures[one] for one in study.measures_of(run) if study.measures[one].takes(facts)}
    return Start(run.name, seed, with_absolute_paths(recipe), name, measures, run.begins_with, run.trained)


def work_items(plans: Iterable[tuple[str, Sequence[PlannedRun]]]) -> list[WorkItem]:
    """List every start of some studies once, each after the one that it begins with."""
    found: dict[str, WorkItem] = {}
    data: dict[str, tuple[Mapping[str, str] | None, str]] = {}
    for study, runs in plans:
        mine: dict[tuple[str, int], WorkItem] = {}
        for start in (start for run in runs for start in run.starts):
            ann = mine.get((start.begins_with, start.seed))
            if start.begins_with and ann is None:
                raise RecipeError(
                    f"study {study}, runs {start.run}: begins with {start.begins_with}, which has no start of seed "
                    f"{start.seed} at this setting"
                )
            of = identity(start.recipe, ann.identity if ann else "") + UNTRAINED * (not start.trained)
            if of not in found:
                if (key := data_key(start.recipe)) not in data:
                    try:
                        data[key] = data_checksums(start.recipe), ""
                    except DataError as error:
                        data[key] = None, str(error)
                found[of] = WorkItem(of, start, ann, *data[key])
            item = mine[start.run, start.seed] = found[of]
            item.measures |= {one.digest: one for one in start.measures.values()}
            item.needed_by.append(f"{study}: {start.run}, seed {start.seed}")
    return list(found.values())


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
        item.action, item.why = "cannot", "; ".join(filter(None, (item.missing, short)))
    elif best and not gone and best.path == pool / item.place and (best.has_weights or not item.start.trained):
        item.action, item.why = "measure", short
    else:
        told = [short, *(f"{run.place} {fault}" for run, fault in faults if fault)]
        item.action, item.why = "train", "; ".join(filter(None, told)) or "no kept run matches"


def _fault(item: WorkItem, run: KeptRun, seen: dict[str, Mapping[str, str]]) -> str:
    """Explain why a kept run of an item's identity does not stand for it; "" if it does."""
    if run.fault:
        return run.fault
    if item.sums is not None and run.data != item.sums:
        return "was made with other data"
    if item.sums is None and "root" in DATASETS[item.recipe.data.name].needs and packed_place(run.path) is None:
        return "may be of other data, and the data to compare with is not here"
    if (source := item.recipe.init.run) and began_with_others(run.evaluation, RunDirectory(Path(source))):
        return f"began with other weights than {source} has"
    if item.sums is None and seen.setdefault(data_key(item.recipe), run.data) != run.data:
        return "was made with other data than other runs"
    return ""


def counts(items: Sequence[WorkItem]) -> str:
    """Count the runs by what is done with them."""
    actions = Counter(item.action for item in items)
    return (
        f"{len(items)} runs: {actions['reuse']} are used again, {actions['measure']} are measured further, "
        f"{actions['train']} are made, {actions['cannot']} cannot be made"
    )


def missing(items: Sequence[WorkItem]) -> Iterator[str]:
    """Yield a line for each reason why runs cannot be made: how many, and how to get what is missing."""
    for why, count in Counter(item.missing for item in items if item.action == "cannot").items():
        yield f"{count} cannot be made: {why}"


def check_possible(items: Sequence[WorkItem]) -> None:
    """Refuse studies for which nothing is here, and nothing can be made."""
    if items and all(item.action == "cannot" for item in items):
        raise DataError("nothing can be made: " + "; ".join(dict.fromkeys(item.missing for item in items)))


def overview(items: Sequence[WorkItem]) -> Iterator[str]:
    """Yield the lines of a dry run: each run if they are few, what is missing, and the counts."""
    words = {"reuse": "used again", "measure": "measured more", "train": "made", "cannot": "cannot be made"}
    if len(items) <= EACH:
        yield from (f"{words[item.action]:15} {item.called}: {item.why}" for item in items)
    yield from missing(items)
    yield counts(items)
