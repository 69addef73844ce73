"""``bntt study``: one table or figure of the paper, from existing and new runs."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from bntt.cli import console, signals
from bntt.cli.errors import StudyError, errors_as_codes
from bntt.io.files import read_json

if TYPE_CHECKING:
    from bntt.studies.make_runs import Ended, Engine, Task
    from bntt.studies.plan import Folders, StudyPlan, WorkItem
    from bntt.studies.study_file import SettingName, Study
    from bntt.studies.study_result import StudyResult


def study(
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY [STUDY ...]")],
    small: bool = False,
    jobs: int = 1,
    backend: Literal["loky", "dask"] = "loky",
    address: str = "",
    pool: Path = Path("runs/pool"),
    results: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    out: Path = Path("runs/studies"),
    data: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    dry_run: bool = False,
    only_kept: bool = False,
    commands: bool = False,
    only: str = "",
    pack: Path | None = None,
    device: str = "cpu",
) -> None:
    """Make the missing runs of a study, measure them, and write its numbers, pictures and verdicts.

    All studies share the runs in --pool. A run is its content: the digest of its recipe, its data and the numerics
    version ends the name of its directory, and a directory that is complete is used again, even if its weights are
    gone. (The numerics version is in runs/environment.py. It is raised by hand whenever the same recipe gives other
    numbers, and a test checks this. Runs without one count as version 1.) You can interrupt or kill the command at any
    time: the same command continues. A failed run does not stop the others; the exit code is then that of the first
    failure, or 3 if nothing can be made for lack of data. Writes result.json and figures into OUT/NAME, or
    OUT/NAME-small.

    Example: bntt study table-5 --small --jobs 2

    Args:
        names: names from `bntt list studies`, TOML files, or `all`.
        small: use the small setting, which two cores train in minutes to hours, instead of the paper's.
        jobs: number of runs at the same time; each uses its share of the cores, or OMP_NUM_THREADS threads.
        backend: of joblib: processes of this machine (loky), or the workers of a Dask cluster, one run at a time for
            each of their threads; they see --pool and the data at the same paths.
        address: the address of Dask's scheduler, tcp://HOST:PORT.
        pool: the folder of runs.
        results: another folder with kept runs, or archives of them, repeatable; nothing is written there. A run there
            that lacks a measurement is made anew in --pool.
        out: the folder of results.
        data: the folder of a dataset, NAME=FOLDER, repeatable: `--data images=my/images`.
        dry_run: print which runs would be made, which are used again, and which data is missing; make nothing.
        only_kept: make nothing, and write the results that exist: the rest is "not run".
        commands: print a shell command for each run that is missing, for a job array or GNU parallel; make nothing.
        only: make this run alone, with what it begins with, and write no result; named as in --commands.
        pack: a folder to keep the result in: a summary (NAME.json), its runs without their weights (NAME.tar.xz), and
            their checksums in SHA256SUMS; --results reads it again, also on another machine. An archive that holds more
            than the new result is not replaced: name its folder with --results too.
        device: cpu, or cuda.
    """
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.make_runs import Engine
    from bntt.studies.plan import Folders, check_possible, overview, plan
    from bntt.studies.study_result import results_of

    if not names:
        raise RecipeError("name a study, several, or all: bntt study NAME [NAME ...]")
    if jobs < 1:
        raise RecipeError(f"--jobs must be 1 or more, got {jobs}")
    if (backend == "dask") != bool(address):
        raise RecipeError("--backend dask and --address tcp://HOST:PORT, that of its scheduler, belong together")
    if address and find_spec("distributed") is None:
        raise RecipeError("--backend dask needs the package distributed: pip install 'bntt[dask]'")
    check_folders(pool, out, pack)
    require_device(device)
    setting: SettingName = "small" if small else "paper"
    folders = Folders(pool, results, out, dict(_data_folder(one) for one in data))
    with console.status("checking existing runs"):
        planned = plan(_studies(names, setting), setting, folders)
    if dry_run:
        for line in overview(planned.items):
            console.line(line)
    if only:
        planned, pack = replace(planned, items=_alone(planned.items, only)), None
    if not only_kept:
        check_possible(planned.items)
    if dry_run:
        return
    if commands:
        flags = [f"--data={one}" for one in data] + [f"--results={one}" for one in results] + ["--small"] * small
        _print_commands(planned, [*names, *flags, f"--pool={pool}", f"--device={device}"])
        return
    outcomes = [] if only_kept else _work(planned, folders, Engine(jobs, address), device)
    if not only:
        _write(results_of(planned, folders, outcomes, device), folders, pack)
    if failed := [ended.code for _, ended in outcomes if ended.code]:
        raise StudyError(f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again", failed[0])


def _print_commands(planned: StudyPlan, given: Sequence[str]) -> None:
    """Print the command that makes each missing run alone."""
    from bntt.runs.parts import LOADED

    for item in planned.left():
        parts = [f"--with={part.source}" for part in LOADED]
        console.line(join(["bntt", *parts, "study", *given, f"--only={item.place}"]))


def _write(found: list[StudyResult], folders: Folders, pack: Path | None) -> None:
    from bntt.studies.evidence import pack_results
    from bntt.studies.study_result import write_results

    for path in write_results(found, folders.out):
        _print_result(path)
    for path in pack_results(found, pack) if pack else ():
        console.line(f"packed: {path}")


def _alone(items: Sequence[WorkItem], name: str) -> tuple[WorkItem, ...]:
    """Return the item of a run's name, after the one that it begins with."""
    from bntt.runs.recipe.file import RecipeError, unknown_name

    found = {item.place: item for item in items}
    if name not in found:
        raise RecipeError(f"--only {name}: {unknown_name(name, list(found))}")
    return tuple(item for item in (found[name].ann, found[name]) if item)


def _data_folder(text: str) -> tuple[str, str]:
    from bntt.data.catalog import prepared_folders
    from bntt.data.samples import DATASETS
    from bntt.runs.recipe.file import RecipeError, unknown_name

    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise RecipeError(f"--data {text}: expected NAME=FOLDER, such as images=my/images")
    if name not in (known := [one for one, dataset in DATASETS.items() if not dataset.make]):
        raise RecipeError(f"--data {text}: {unknown_name(name, known)}")
    place = Path(folder).expanduser().resolve()
    if not place.exists() and str(place) not in (manifest.source for _, manifest in prepared_folders(name)):
        raise RecipeError(f"--data {text}: {place} does not exist, and nothing was prepared from it")
    return name, str(place)


def _studies(names: Sequence[str], setting: SettingName) -> list[Study]:
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.study_file import load_study, study_names

    if "all" in names:
        if len(names) > 1:
            raise RecipeError("all already names every study of the package: name no other with it")
        return [one for one in map(load_study, study_names()) if setting in one.settings]
    return [load_study(name) for name in dict.fromkeys(names)]


def _work(planned: StudyPlan, folders: Folders, engine: Engine, device: str) -> list[tuple[WorkItem, Ended]]:
    from bntt.studies.make_runs import work
    from bntt.studies.plan import counts, missing

    for said in (counts(planned.items), *missing(planned.items)):
        console.line(said)
    left = planned.left()
    outcomes: list[tuple[WorkItem, Ended]] = []
    if not left:
        return outcomes
    try:
        with console.status("") as say, signals.deferred() as requests:

            def tell(text: str) -> None:
                say(text)
                if not console.shows_bars():
                    console.line(text)

            def stopping(count: int) -> None:
                runs = "1 run is" if count == 1 else f"{count} runs are"
                console.complain(f"stopping: {runs} saved first; Ctrl-C again ends at once")

            how: dict[str, Any] = {"device": device, "requests": requests, "tell": tell, "stopping": stopping}
            for item, ended in work(planned.items, folders.pool, make_start, engine, **how):
                outcomes.append((item, ended))
                said = f"failed ({ended.why})" if ended.code else f"done in {console.duration(ended.seconds)}"
                console.line(f"[{len(outcomes)}/{len(left)}] {item.called}: {said}")
    except (KeyboardInterrupt, signals.Terminated):
        console.complain("finished work is kept; the same command continues")
        raise
    for item, ended in outcomes:
        log = folders.pool / "logs" / f"{item.place}.log"
        its = f"; its log: {log}" if ended.begun and log.name not in ended.why else ""
        if ended.code:
            console.complain(f"failed: {item.called}: {ended.why} (exit code {ended.code}{its})")
    return outcomes


def _print_result(path: Path) -> None:
    values = read_json(path)
    table = values["table"]
    console.line("")
    console.line(f"{values['title']}, {values['setting']} setting")
    heads = ("", *(f"{c['title']}{', ' + c['unit'] if c['unit'] else ''}" for c in table["columns"]))
    rows = [
        (
            row["label"],
            *(_cell(row["cells"][c["key"]], row["paper"][c["key"]]) for c in table["columns"]),
        )
        for row in table["rows"]
    ]
    if table["columns"]:
        console.columns("mean ± sd over starts; in brackets the paper's value, at the paper's size", heads, rows)
    for claim in values["claims"]:
        console.line(f"{claim['verdict'].upper()}: {claim['says']}: {claim['because']}")
    console.line(f"written: {path}; as a page: bntt report {quote(str(path.parent))}")


def _cell(cell: Any, paper: Any) -> str:
    own = "not run" if cell is None else cell["text"]
    return own if "value" not in paper else f"{own} [{paper['value']:g}]"


RETRY = 3.0
"""Seconds until a directory that another process holds is tried again."""


def make_start(task: Task) -> Ended:
    """Make what a start lacks, in a process of joblib, with the errors of ``bntt``; its output goes into its log."""
    from bntt.studies.make_runs import Ended, make_run

    began, trained = time.monotonic(), False

    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        from bntt.io.lock import RunLockedError
        from bntt.io.memory import keep_freed_memory
        from bntt.runs.parts import load_parts

        if parent_process() and threading.current_thread() is threading.main_thread():  # a process of ours
            keep_freed_memory()
            with suppress(AttributeError, OSError):  # Windows has none; after the first start it is done
                os.setsid()  # Ctrl-C reaches it through the study, once
        code = 1
        with signals.installed():
            try:
                with errors_as_codes() as ended:
                    load_parts(task.parts)
                    while True:
                        try:
                            trained = make_run(task, _train)
                            break
                        except RunLockedError as error:
                            console.complain(f"{error}; trying again")
                            time.sleep(RETRY)
                code = ended.code
            except Exception:
                traceback.print_exc()
    lines = [line for line in task.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip().removeprefix("bntt: ") if lines else f"see {task.log}"
    return Ended(code, last if code else "", time.monotonic() - began, trained)


def _train(recipe: Path, name: str, root: Path, device: str) -> None:
    from bntt.cli.train import train

    train(str(recipe), name=name, root=root, or_resume=True, device=device)
