"""The work of some studies: every start once, however many studies need it, and what of it exists."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bntt.data.errors import DataError
from bntt.data.registry import DATASETS
from bntt.io.files import find_object, read_json, write_json, write_whole
from bntt.runs.directory import RunDirectory, copy_run
from bntt.runs.environment import environment
from bntt.runs.identity import began_with_others, rules_facts
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import facts_of
from bntt.runs.recipe.datasets import build_data, data_key
from bntt.runs.recipe.file import dump_recipe
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.studies.cost import Cost, training_cost
from bntt.studies.measures import Measure
from bntt.studies.pool import (
    NAMED_KEYS,
    UNTRAINED,
    KeptRun,
    ann_place,
    data_checksums,
    directory_name,
    identity,
    kept_runs,
    numerics_agree,
    why_data_is_missing,
)
from bntt.studies.start_plan import PlannedRun, Start

Action = Literal["reuse", "adopt", "measure", "train", "cannot"]


@dataclass
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
    kept: KeptRun | None = None
    others: list[KeptRun] = field(default_factory=list)
    """Other complete runs of the same start, which give no number: on another device, or in another precision."""
    missing: list[Measure] = field(default_factory=list)
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
    """Set on every item which parts of it exist in some folders, the pool first, and which work is left."""
    index, seen = dict[str, list[KeptRun]](), dict[str, Mapping[str, str]]()
    for run in kept_runs(folders):
        index.setdefault(run.identity, []).append(run)
    for item in items:
        item.weights = False
    for item in sorted(items, key=lambda one: one.ann is None):
        choose_kept_run(item, index.get(item.identity, []), folders[0], seen)
        if item.ann is not None and item.action == "train":
            item.ann.weights = True


def choose_kept_run(item: WorkItem, kept: Sequence[KeptRun], pool: Path, seen: dict[str, Mapping[str, str]]) -> None:
    """Choose the best kept run for an item, or record why none will do; ``seen``: checksums of data not here."""
    fitting, reasons = list[KeptRun](), list[str]()
    for run in kept:
        if run.unfinished:
            reasons.append(f"{run.place} {run.unfinished}")
        elif not numerics_agree(run):
            reasons.append(f"{run.place} was made by code that gives other numbers")
        elif item.sums is not None and run.data != item.sums:
            reasons.append(f"{run.place} was made with other data")
        elif item.sums is None and "root" in DATASETS[item.recipe.data.name].needs and not run.is_packed:
            reasons.append(f"{run.place} may be of other data, and the data to compare with is not here")
        elif (source := item.recipe.init.run) and began_with_others(run.evaluation, RunDirectory(Path(source))):
            reasons.append(f"{run.place} began with other weights than {source} has")
        elif item.sums is None and seen.setdefault(data_key(item.recipe), run.data) != run.data:
            reasons.append(f"{run.place} was made with other data than other runs")
        else:
            fitting.append(run)
    fitting.sort(key=lambda run: _rank(item, run, pool))
    best = fitting[0] if fitting else None
    item.kept, item.missing = best, [] if best is None else _missing(item, best)
    apart = dict[str, KeptRun]()
    for run in fitting:
        apart.setdefault(run.origin, run)
    item.others = [*apart.values()][1:]
    whole = best is not None and not item.missing and (best.has_weights or not item.weights)
    if best is not None and whole:
        item.action, item.why = "reuse", f"{best.place}"
    elif best is not None and (best.has_weights or not item.start.trained) and item.sums is not None:
        inside = best.path.parent.resolve() == pool.resolve()
        item.action = "measure" if inside else "adopt"
        item.why = f"{best.place} lacks {_kinds(item.missing)}"
    elif item.sums is not None:
        lacks = f"{_kinds(item.missing)} is missing" if item.missing else "another run begins with them"
        gone = "" if best is None else f"{best.place} has no weights, and {lacks}; "
        item.action, item.why = "train", gone + ("; ".join(reasons) or ("" if gone else "no kept run matches"))
    else:
        part = "" if best is None else f"; {best.place} lacks {_kinds(item.missing) or 'its weights'}"
        item.action, item.why = "cannot", (item.damaged or why_data_is_missing(item.recipe)) + part


def _missing(item: WorkItem, run: KeptRun) -> list[Measure]:
    return [one for one in item.measures.values() if run.found(one) is None]


def _rank(item: WorkItem, run: KeptRun, pool: Path) -> tuple[bool, bool, bool, bool, int]:
    """Rank complete before incomplete, then with weights if they are needed, then float32, then in the pool."""
    missing = _missing(item, run)
    short = bool(missing) or (item.weights and not run.has_weights)
    rounded, elsewhere = run.recipe.compute.precision != "fp32", run.path.parent.resolve() != pool.resolve()
    return short, short and not run.has_weights, rounded, elsewhere, len(missing)


def _kinds(measures: Sequence[Measure]) -> str:
    return ", ".join(dict.fromkeys(one.kind for one in measures))


Job = dict[str, Any]
"""Work of one process, as a JSON object."""


def jobs_of(item: WorkItem, pool: Path, device: str) -> Iterator[tuple[str, Job]]:
    """Yield each job of an item with a word for messages; take the next one only when the last has succeeded."""
    run = pool / item.place
    if item.action == "reuse":
        return
    if item.action == "adopt" and item.kept is not None:
        _adopt(item.kept, run, pool / "locks" / item.place / "copy")
    elif item.action == "measure" and item.kept is not None:
        run = item.kept.path
    else:
        item.missing = list(item.measures.values())
        if item.start.trained:
            file = pool / "recipes" / f"{item.place}.toml"
            write_whole(file, dump_recipe(_with_ann(item, pool)).encode())
            yield "training", {"train": str(file), "name": item.place, "root": str(pool), "device": device}
        else:
            _write_untrained(run, item.recipe, device)
    for measure in item.missing:
        began = time.time()
        job, written = _measurement_job(measure, run, item.recipe)
        yield f"measuring ({measure.kind})", job | {"device": device}
        _save_measurement(run, measure, written, began)


def _measurement_job(measure: Measure, run: Path, recipe: Recipe) -> tuple[Job, Path]:
    """Make a job of a measurement, and name the file that it will write."""
    folder, source = run, run
    if measure.needs == "recipe":  # a folder for each set of arguments: cells with other settings would be refused
        folder, source = run / f"{measure.kind}-{measure.digest}", run / "recipe.toml"
    arguments = asdict(measure.for_run(facts_of(recipe)))
    job = {"measure": measure.measurement.name, "run": str(source), "folder": str(folder), "arguments": arguments}
    return job, folder / measure.written


def _with_ann(item: WorkItem, pool: Path) -> Recipe:
    """Return the recipe of an item, with the place of the ANN that it begins with."""
    if item.ann is None:
        return item.recipe
    kept, own = item.ann.kept, pool / item.ann.place
    place = kept.path if kept is not None and kept.has_weights and item.ann.action in ("reuse", "measure") else own
    return replace(item.recipe, convert=replace(item.recipe.convert, ann=str(place.resolve())))


def _adopt(kept: KeptRun, run: Path, made: Path) -> None:
    """Copy a kept run into the pool, and the ANN that it began with if it is only found by its name next to it."""
    copy_run(kept.path, run, made)
    if was := kept.recipe.convert.ann:
        ann, beside = ann_place(kept.recipe, kept.path, kept.evaluation), run.parent / Path(was).name
        if ann.resolve() != Path(was).resolve() and not beside.exists():
            copy_run(ann, beside, made)


def _write_untrained(run: Path, recipe: Recipe, device: str) -> None:
    """Write the directory of an untrained run: its recipe and its environment."""
    run.mkdir(exist_ok=True)
    write_whole(run / "recipe.toml", dump_recipe(recipe).encode())
    facts = {
        "device": device,
        "trained": False,
        **rules_facts(recipe),
        **parts_facts(recipe),
        "data": asdict(build_data(recipe).manifest),
    }
    write_json(run / "environment.json", {**environment(), **facts})


def _save_measurement(run: Path, measure: Measure, written: Path, began: float) -> None:
    """Keep a measurement together with its arguments."""
    values = read_json(written)
    facts, evaluation = environment(), find_object(run / "evaluation.json") or {}
    kept = {
        "kind": measure.kind,
        "arguments": asdict(measure.arguments),
        **{key: facts[key] for key in ("bntt", "numerics", "commit")},
        "of": {key: evaluation.get(key) for key in NAMED_KEYS},
        "seconds": time.time() - began,
        "values": values,
    }
    (run / "measures").mkdir(exist_ok=True)
    write_json(run / measure.file, kept)
