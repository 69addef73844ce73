"""The jobs that are left of a start, one process each: its training, then one measurement after another.

A job is JSON that :mod:`bntt.cli.job` takes: nothing here knows a command line.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bntt.io.files import find_object, read_json, write_json, write_whole
from bntt.runs.environment import environment
from bntt.runs.recipe.build import facts_of
from bntt.runs.recipe.datasets import build_data
from bntt.runs.recipe.file import dump_recipe
from bntt.runs.recipe.option_versions import rules_told
from bntt.runs.recipe.schema import Recipe
from bntt.studies.measures import Measure
from bntt.studies.pool import OF
from bntt.studies.work_items import Item

Job = dict[str, Any]
"""The work of one process, as JSON has it."""


def jobs_of(item: Item, pool: Path, device: str) -> Iterator[tuple[str, Job]]:
    """Yield each job of an item with a word for messages; the next one is asked for when the last has succeeded.

    Raises:
        OSError: if a file between them cannot be read or written.
        ValueError: if what a measurement wrote is no JSON.
    """
    run = pool / item.place
    if item.action == "reuse":
        return
    if item.action == "adopt" and item.kept is not None:
        _copy(item.kept.path, run, pool / "locks" / item.place / "copy")
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
        job, written = _measuring(measure, run, item.recipe)
        yield f"measuring ({measure.kind})", job | {"device": device}
        _keep(run, measure, written, began)


def _measuring(measure: Measure, run: Path, recipe: Recipe) -> tuple[Job, Path]:
    """A measurement as a job, and the file that it will write."""
    folder, source = run, run
    if measure.needs == "recipe":  # a folder of its own for every way to ask: cells of other settings would be refused
        folder, source = run / f"{measure.kind}-{measure.digest}", run / "recipe.toml"
    arguments = asdict(measure.for_run(facts_of(recipe)))
    job = {"measure": measure.measurement.name, "run": str(source), "folder": str(folder), "arguments": arguments}
    return job, folder / measure.written


def _with_ann(item: Item, pool: Path) -> Recipe:
    """The recipe of an item, with the place of the ANN that it begins with."""
    if item.ann is None:
        return item.recipe
    kept, own = item.ann.kept, pool / item.ann.place
    place = kept.path if kept is not None and kept.has_weights and item.ann.action == "reuse" else own
    return replace(item.recipe, convert=replace(item.recipe.convert, ann=str(place.resolve())))


def _copy(source: Path, target: Path, made: Path) -> None:
    """A run with its best weights, into the pool: whole, or not there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made, ignore=shutil.ignore_patterns("step-*", "lock*", "events.out*", "*.png"))
    made.rename(target)


def _write_untrained(run: Path, recipe: Recipe, device: str) -> None:
    """The directory of what trains by itself: its recipe and where it is made."""
    run.mkdir(exist_ok=True)
    write_whole(run / "recipe.toml", dump_recipe(recipe).encode())
    facts = {"device": device, "trained": False, **rules_told(recipe), "data": asdict(build_data(recipe).manifest)}
    write_json(run / "environment.json", {**environment(), **facts})


def _keep(run: Path, measure: Measure, written: Path, began: float) -> None:
    """Keep what was measured, beside what was asked for."""
    values = read_json(written)
    facts, evaluation = environment(), find_object(run / "evaluation.json") or {}
    kept = {
        "kind": measure.kind,
        "arguments": asdict(measure.arguments),
        **{key: facts[key] for key in ("bntt", "numerics", "commit")},
        "of": {key: evaluation.get(key) for key in OF},
        "seconds": time.time() - began,
        "values": values,
    }
    (run / "measures").mkdir(exist_ok=True)
    write_json(run / measure.file, kept)
