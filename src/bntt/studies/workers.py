"""Do what studies need: each start in processes of its own, several at once, whatever becomes of the others.

What is done is in files, whole or not there at all, so that a kill at any moment costs what was under way; the same
command goes on. A start is worked at by one process in all: who holds ``locks/<place>`` in the pool.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from bntt.io.json_file import find_object, read_json, write_json
from bntt.io.lock import RunLockedError, hold_run
from bntt.io.whole_file import write_whole
from bntt.runs.environment import environment
from bntt.runs.recipe.build import facts_of
from bntt.runs.recipe.datasets import build_data
from bntt.runs.recipe.file import dump_recipe
from bntt.runs.recipe.option_versions import rules_told
from bntt.runs.recipe.schema import Recipe
from bntt.studies.measures import Measure
from bntt.studies.pool import OF, kept_run, numerics_agree
from bntt.studies.work_items import Item, choose

Job = dict[str, Any]
"""What a process is to do, as JSON has it."""
LOCKED, INVALID = 75, 7
"""Exit codes: another process works there; numbers that are written, and worth nothing."""
POLL = 0.05
RETRY = 3.0
"""Seconds until what another process holds is looked at again."""
PATIENCE = 300.0
"""Seconds that a process which was asked to stop may take to save."""


@dataclass(frozen=True)
class Outcome:
    """What became of an item."""

    item: Item
    code: int
    """0, or the exit code of what failed."""
    why: str
    seconds: float
    trained: bool


@dataclass(frozen=True)
class Workshop:
    """Where and how it is done."""

    pool: Path
    jobs: int = 1
    device: str = "cpu"
    tell: Callable[[str], None] = lambda text: None
    program: tuple[str, ...] = ()
    """Starts a process that does the job it is given, as JSON in its last argument; see :mod:`bntt.cli.job`."""

    @property
    def threads(self) -> str:
        """Of each process."""
        return os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.jobs))


@dataclass
class _Under:
    """An item that is being worked at: its steps yield one job after another."""

    item: Item
    steps: Iterator[Job]
    lock: ExitStack
    log: Path
    began: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | None = None
    code: int = 0
    trained: bool = False
    doing: str = ""


def work(items: Sequence[Item], shop: Workshop) -> Iterator[Outcome]:
    """Do what is left of every item, and give each as it ends; one that fails stops no other, but for those that begin
    with it.

    Raises:
        KeyboardInterrupt, SystemExit: when asked to stop; the processes have saved and ended by then.
    """
    waiting = [item for item in items if item.deed not in ("reuse", "cannot")]
    ended: dict[str, int] = {item.identity: 0 if item.deed == "reuse" else 2 for item in items if item not in waiting}
    later: dict[str, float] = {}
    running: list[_Under] = []
    for name in ("locks", "logs", "recipes"):
        (shop.pool / name).mkdir(parents=True, exist_ok=True)
    try:
        while waiting or running:
            for item in list(waiting):
                ann = item.ann if item.deed == "train" else None
                if ann is not None and ended.get(ann.identity, 0) != 0:
                    waiting.remove(item)
                    ended[item.identity] = ended[ann.identity]
                    yield Outcome(item, ended[ann.identity], f"what it begins with failed ({ann.called})", 0.0, False)
                elif (
                    len(running) < shop.jobs
                    and (ann is None or ann.identity in ended)
                    and time.monotonic() >= later.get(item.identity, 0.0)
                ):
                    under = _begun(item, shop)
                    if under is None:
                        later[item.identity] = time.monotonic() + RETRY
                    else:
                        waiting.remove(item)
                        running.append(under)
            for under in list(running):
                outcome = _advance(under, shop)
                if outcome is None:
                    continue
                running.remove(under)
                if outcome.code == LOCKED:
                    later[under.item.identity] = time.monotonic() + RETRY
                    waiting.append(under.item)
                    continue
                ended[under.item.identity] = outcome.code
                yield outcome
            time.sleep(POLL)
    finally:
        _stop(running)


def _begun(item: Item, shop: Workshop) -> _Under | None:
    """Take an item up; None while another process has it."""
    lock = ExitStack()
    folder = shop.pool / "locks" / item.place
    folder.mkdir(exist_ok=True)
    try:
        lock.enter_context(hold_run(folder))
    except RunLockedError:
        return None
    there = kept_run(shop.pool / item.place)
    if (
        there is not None and not there.unfinished and numerics_agree(there)
    ):  # another process may have done it meanwhile
        choose(item, [there], shop.pool)
    log = shop.pool / "logs" / f"{item.place}.log"
    under = _Under(item, iter(()), lock, log)
    under.steps = _steps(under, shop)
    return under


def _steps(under: _Under, shop: Workshop) -> Iterator[Job]:
    """The jobs of an item, one after another; one that failed ends them."""
    item, run = under.item, shop.pool / under.item.place
    if item.deed == "reuse":
        return
    if item.deed == "adopt" and item.kept is not None:
        _copy(item.kept.path, run, shop.pool / "locks" / item.place / "copy")
    elif item.deed == "measure" and item.kept is not None:
        run = item.kept.path
    elif not item.start.trained:
        _write_untrained(run, item.recipe, shop.device)
    else:
        recipe = _with_ann(item, shop)
        file = shop.pool / "recipes" / f"{item.place}.toml"
        write_whole(file, dump_recipe(recipe).encode())
        under.trained, under.doing = True, "training"
        yield {"train": str(file), "name": item.place, "root": str(shop.pool)}
        item.missing = list(item.measures.values())
    if not item.start.trained:
        item.missing = [one for one in item.measures.values() if not (run / one.file).is_file()]
    for measure in item.missing:
        began, under.doing = time.time(), f"measuring ({measure.kind})"
        job, written = _job(measure, run, item.recipe)
        yield job
        _keep(run, measure, written, began)


def _job(measure: Measure, run: Path, recipe: Recipe) -> tuple[Job, Path]:
    """A measurement as a job, and the file that it will write."""
    folder, source = run, run
    if measure.needs == "recipe":  # a folder of its own for every way to ask: cells of other settings would be refused
        folder, source = run / f"{measure.kind}-{measure.digest}", run / "recipe.toml"
    asked = measure.for_start(recipe.network.norm) if measure.needs == "recipe" else measure.for_run(facts_of(recipe))
    job = {"measure": measure.measurement.name, "run": str(source), "folder": str(folder), "arguments": asdict(asked)}
    return job, folder / measure.written


def _with_ann(item: Item, shop: Workshop) -> Recipe:
    if item.ann is None:
        return item.recipe
    kept, own = item.ann.kept, shop.pool / item.ann.place
    place = kept.path if kept is not None and kept.has_weights and item.ann.deed == "reuse" else own
    convert = item.recipe.convert.model_copy(update={"ann": str(place.resolve())})
    return item.recipe.model_copy(update={"convert": convert})


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


def _advance(under: _Under, shop: Workshop) -> Outcome | None:
    """Look at an item's process; begin the next when it has ended. None while there is more to do."""
    if under.process is not None:
        code = under.process.poll()
        if code is None:
            return None
        _close(under)
        invalid = code == INVALID and under.doing == "measuring (attack)"
        if code != 0 and not invalid:
            under.lock.close()
            return _outcome(under, code, _last_line(under.log))
    try:
        job = next(under.steps, None)
    except (OSError, ValueError) as error:
        under.lock.close()
        return _outcome(under, 5, str(error))
    if job is None:
        under.lock.close()
        return _outcome(under, 0, "")
    shop.tell(f"{under.item.called}: {under.doing}")
    under.output = under.log.open("ab")
    told = json.dumps(job | {"device": shop.device})
    under.output.write(f"{told}\n".encode())
    under.output.flush()
    under.process = subprocess.Popen(
        [*shop.program, told],
        stdin=subprocess.DEVNULL,
        stdout=under.output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": shop.threads},
        start_new_session=os.name == "posix",  # Ctrl-C reaches them through us, once
    )
    return None


def _outcome(under: _Under, code: int, why: str) -> Outcome:
    return Outcome(under.item, code, why, time.monotonic() - under.began, under.trained)


def _close(under: _Under) -> None:
    under.process = None
    if under.output is not None:
        under.output.close()
        under.output = None


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("bntt: ") if lines else f"see {log}"


def _stop(running: Sequence[_Under]) -> None:
    """Ask every process to save and end, and wait for it; whoever asks again does not wait."""
    for under in running:
        if under.process is not None:
            under.process.send_signal(signal.SIGTERM)
    try:
        end = time.monotonic() + PATIENCE
        for under in running:
            if under.process is not None:
                under.process.wait(max(0.0, end - time.monotonic()))
    except BaseException:
        for under in running:
            if under.process is not None:
                under.process.kill()
                under.process.wait()
        raise
    finally:
        for under in running:
            _close(under)
            under.lock.close()
