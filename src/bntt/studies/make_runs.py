"""Runs that studies lack, made by joblib: each start is one task, in a process of this machine or of a cluster.

A task looks at its directory first, so that it does only what is missing there, whoever began it: the same command
continues. Results are files, written whole or not at all. A killed process costs only the work since its last
checkpoint: its tasks are submitted again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from bntt.io.files import find_object, read_json, write_json, write_whole
from bntt.runs.environment import environment
from bntt.runs.identity import rules_facts
from bntt.runs.measure import measure
from bntt.runs.parts import LOADED, parts_facts
from bntt.runs.recipe.build import build_data, facts_of
from bntt.runs.recipe.file import dump_recipe, load_recipe
from bntt.runs.recipe.schema import Recipe
from bntt.runs.training.requests import Requests
from bntt.studies.measures import Measure, measure_from
from bntt.studies.plan import WorkItem
from bntt.studies.pool import NAMED_KEYS, KeptRun, kept_run, lacking

TRIES = 3
"""Most processes that may be killed under a task; the last has no other task beside it."""


@dataclass(frozen=True)
class Engine:
    """The processes: ``jobs`` of this machine, or those of a Dask cluster whose scheduler has this address."""

    jobs: int = 1
    address: str = ""

    @property
    def threads(self) -> int:
        """Return the number of threads of each process of this machine."""
        return int(os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // self.jobs))

    @property
    def killed(self) -> tuple[type[Exception], ...]:
        """Return the errors by which joblib tells that a process was killed."""
        if not self.address:
            return (BrokenProcessPool,)
        from distributed import KilledWorker

        return BrokenProcessPool, KilledWorker

    @contextmanager
    def parallel(self) -> Iterator[Parallel]:
        """Yield what calls functions in the processes; for one, joblib would call them in this process."""
        takes: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
        if not self.address:
            with parallel_config("loky", inner_max_num_threads=self.threads):
                yield Parallel(max(2, self.jobs), pre_dispatch=self.jobs, **takes)
            return
        from distributed import Client

        with Client(self.address), parallel_config("dask") as found:  # type: ignore[no-untyped-call]
            counted = found["backend"].effective_n_jobs
            found["backend"].effective_n_jobs = lambda n_jobs: max(2, counted(n_jobs))
            yield Parallel(pre_dispatch="all", **takes)


@dataclass(frozen=True)
class Task:
    """A start as plain values, which another process or machine can read."""

    called: str
    run: str
    """Its directory."""
    recipe: str
    """The recipe as TOML, with the place of the ANN that it begins with."""
    trained: bool
    weights: bool
    """True if another start begins with its weights."""
    measures: tuple[tuple[str, dict[str, Any]], ...]
    """Kind and arguments of every measure."""
    device: str
    parts: tuple[str, ...]
    """What the user named by ``--with``."""

    @property
    def log(self) -> Path:
        """Return the file of what its process writes."""
        return Path(self.run).parent / "logs" / f"{Path(self.run).name}.log"


@dataclass(frozen=True)
class Ended:
    """How a task ended."""

    code: int
    """0, or the exit code of the failure."""
    why: str = ""
    seconds: float = 0.0
    trained: bool = False
    begun: bool = True


def task_of(item: WorkItem, pool: Path, device: str) -> Task:
    """Describe the work of an item."""
    measures = tuple((one.kind, asdict(one.arguments)) for one in item.measures.values())
    parts, recipe = tuple(part.source for part in LOADED), dump_recipe(item.begun(pool))
    run = str(pool.resolve() / item.place)
    return Task(item.called, run, recipe, item.start.trained, item.weights, measures, device, parts)


def work(
    items: Sequence[WorkItem],
    pool: Path,
    make: Callable[[Task], Ended],
    engine: Engine,
    *,
    device: str = "cpu",
    requests: Requests | None = None,
    tell: Callable[[str], None] = lambda text: None,
    stopping: Callable[[int], None] = lambda count: None,
) -> Iterator[tuple[WorkItem, Ended]]:
    """Make what the items lack, and yield each as it ends; what begins with another of them comes after it.

    ``make`` lets no exception out. A task whose process was killed is submitted again. A request to stop reaches every
    process of this machine; nothing is begun after it, and ``stopping`` is called with the number of starts that are
    being saved.
    """
    (pool / "logs").mkdir(parents=True, exist_ok=True)
    (pool / "recipes").mkdir(exist_ok=True)
    asked, missing = requests or Requests(), [item for item in items if item.action in ("train", "measure")]
    left = {str(pool.resolve() / item.place): item for item in missing}
    tasks, tries, begun = {run: task_of(left[run], pool, device) for run in left}, Counter[str](), set[str]()

    def goes_on() -> bool:
        return asked.stop is None

    def ends(run: str, ended: Ended) -> Iterator[tuple[WorkItem, Ended]]:
        item = left.pop(run)
        yield item, ended
        if ended.code and not ((made := whole_run(Path(run))) and made.has_weights):  # else only a measurement failed
            for other in [other for other, one in left.items() if one.ann is item and one.action == "train"]:
                yield from ends(other, Ended(ended.code, f"its source run failed ({item.called})", begun=False))

    def calls(batch: Sequence[str]) -> Iterator[Any]:
        for run in batch:  # joblib takes one when a process is free
            if goes_on():
                begun.add(run)
                tell(f"{tasks[run].called}: begun")
                yield delayed(_make_one)(make, tasks[run])

    while left and goes_on():
        ready = [run for run, item in left.items() if item.action == "measure" or item.ann not in left.values()]
        fewest = min(tries[run] for run in ready)
        batch = [run for run in ready if tries[run] == fewest]
        begun.clear()
        try:
            with engine.parallel() as parallel, _forwarding(asked, lambda: stopping(len(begun & left.keys()))):
                for run, ended in parallel(calls(batch[:1] if fewest == TRIES - 1 else batch)):
                    if goes_on() or not ended.code:
                        yield from ends(run, ended)
                    else:
                        del left[run]
        except engine.killed:
            for run in begun & left.keys() if goes_on() else ():
                tries[run] += 1
                if tries[run] == TRIES:
                    why = f"its process was killed {TRIES} times (was memory short?): see {tasks[run].log}"
                    yield from ends(run, Ended(5, why))


def _make_one(make: Callable[[Task], Ended], task: Task) -> tuple[str, Ended]:
    return task.run, make(task)


@contextmanager
def _forwarding(requests: Requests, stopping: Callable[[], None]) -> Iterator[None]:
    """Pass a request to stop on to the processes of this machine: a training saves, and ends."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if requests.stop is not None:
                stopping()
                for process in active_children():
                    process.terminate()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def make_run(task: Task, train: Callable[[Path, str, Path, str], None]) -> bool:
    """Make what a task's directory lacks, in this process; return True if it trained, or went on training."""
    run = Path(task.run)
    file = run.parent / "recipes" / f"{run.name}.toml"
    write_whole(file, task.recipe.encode())
    recipe = load_recipe(file)
    measures = [measure_from(kind, arguments) for kind, arguments in task.measures]
    there = whole_run(run)
    missing = lacking(there, measures) if there else measures
    trains = task.trained and (there is None or (not there.has_weights and bool(missing or task.weights)))
    if trains:
        train(file, run.name, run.parent, task.device)
        missing = measures
    elif there is None:
        _write_untrained(run, recipe, task.device)
    for one in missing:
        _measure(one, run, recipe, task.device)
    return trains


def whole_run(place: Path) -> KeptRun | None:
    """Return the run in a directory of the pool; None if it is not complete."""
    run = kept_run(place)
    return None if run is None or run.fault else run


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


def _measure(asked: Measure, run: Path, recipe: Recipe, device: str) -> None:
    """Measure a run, and keep the numbers together with the arguments."""
    folder, source, began = run, run, time.time()
    if asked.needs == "recipe":  # a folder for each set of arguments: cells with other settings would be refused
        folder, source = run / f"{asked.kind}-{asked.digest}", run / "recipe.toml"
    arguments = asdict(asked.for_run(facts_of(recipe)))
    measure(asked.measurement.name, source, device=device, folder=folder, **arguments)
    facts, evaluation = environment(), find_object(run / "evaluation.json") or {}
    kept = {
        "kind": asked.kind,
        "arguments": asdict(asked.arguments),
        **{key: facts[key] for key in ("bntt", "numerics", "commit")},
        "of": {key: evaluation.get(key) for key in NAMED_KEYS},
        "seconds": time.time() - began,
        "values": read_json(folder / asked.written),
    }
    (run / "measures").mkdir(exist_ok=True)
    write_json(run / asked.file, kept)
