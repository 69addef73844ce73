"""``bntt study``: one table or figure of the paper, from existing and new runs."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout, suppress
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
    dry_run: Annotated[bool, tyro.conf.arg(aliases=["--estimate"])] = False,
    only_kept: bool = False,
    commands: bool = False,
    only: str = "",
    pack: Path | None = None,
    merge: Path | None = None,
    device: str = "cpu",
    precision: Literal["fp32", "bf16-grad"] = "fp32",
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
        backend: of joblib: processes of this machine (loky), or the workers of a Dask cluster, which see --pool and the
            data at the same paths; there is one run at a time for each of their threads, and --jobs means nothing.
        address: the address of Dask's scheduler, tcp://HOST:PORT.
        pool: the folder of runs.
        results: another folder with kept runs, or archives of them, repeatable; nothing is written there. A run there
            that lacks a measurement is made anew in --pool.
        out: the folder of results.
        data: the folder of a dataset, NAME=FOLDER, repeatable: `--data images=my/images`.
        dry_run: print which runs would be made and how long they take, which are used again, and which data is missing;
            make nothing.
        only_kept: make nothing, and write the results that exist: the rest is "not run".
        commands: print a shell command for each run that is missing, for a job array or GNU parallel; make nothing.
        only: make this run alone, with what it begins with, and write no result; named as in --commands.
        pack: a folder to keep the result in: a summary (NAME.json), its runs without their weights (NAME.tar.xz), and
            float16 weights of one start per norm (weights-NAME.tar.xz, at most 10 MB in a folder), with their checksums
            in SHA256SUMS; --results reads it again. Finished runs are packed while the others are made. An archive
            that holds more than the new result is not replaced: name its folder with --results too. If the name ends in
            .tar.xz, runs and weights go into one file with the checksums of its contents, for --merge elsewhere.
        merge: an archive from another machine, made by --pack FILE.tar.xz: its checksums and the names of its runs are
            checked, and the runs that --pool lacks are unpacked there; then as --only-kept. One that contradicts a run
            of the same name is refused.
        device: cpu, or cuda.
        precision: precision of the gradients of new runs. bf16-grad is faster on processors with bfloat16; its forward
            pass has the spikes of fp32, and a run in one precision counts as a run in the other.
    """
    import torch

    from bntt.engine.kernels import require_precision
    from bntt.io.archive import SUFFIX
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.evidence import merge as merged
    from bntt.studies.make_runs import Engine
    from bntt.studies.plan import Folders, check_possible, overview, plan
    from bntt.studies.study_result import results_of

    refusals = {
        "name a study, several, or all: bntt study NAME [NAME ...]": not names,
        f"--jobs must be 1 or more, got {jobs}": jobs < 1,
        "--backend dask and --address tcp://HOST:PORT, that of its scheduler, belong together": (backend == "dask")
        != bool(address),
        "--backend dask needs the package distributed: pip install 'bntt[dask]'": backend == "dask"
        and find_spec("distributed") is None,
        "--merge unpacks runs, and --dry-run makes nothing: choose one": bool(merge and dry_run),
    }
    if wrong := next((why for why, applies in refusals.items() if applies), ""):
        raise RecipeError(wrong)
    check_folders(pool, out, pack.parent if pack and pack.name.endswith(SUFFIX) else pack)
    require_device(device)
    require_precision(precision, torch.device(device))
    setting: SettingName = "small" if small else "paper"
    folders = Folders(pool, results, out, dict(_data_folder(one) for one in data), precision)
    if merge:
        pool.mkdir(parents=True, exist_ok=True)
        for line in merged(merge, pool):
            console.line(line)
    with console.status("checking existing runs"):
        planned = plan(_studies(names, setting), setting, folders)
    engine = Engine(jobs, backend, address)
    if dry_run:
        for line in overview(planned, engine.threads * jobs):
            console.line(line)
    if only:
        planned, pack = replace(planned, items=_alone(planned.items, only)), None
    if not (only_kept or merge):
        check_possible(planned.items)
    if dry_run:
        return
    if commands:
        flags = [f"--data={one}" for one in data] + [f"--results={one}" for one in results] + ["--small"] * small
        _print_commands(planned, [*names, *flags, f"--pool={pool}", f"--device={device}", f"--precision={precision}"])
        return
    outcomes = [] if only_kept or merge else _work(planned, folders, engine, device, pack)
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


PACK_EVERY = 300.0
"""Least seconds from one packing of the finished runs to the next."""


def _work(
    planned: StudyPlan, folders: Folders, engine: Engine, device: str, pack: Path | None
) -> list[tuple[WorkItem, Ended]]:
    from bntt.io.checkpoint import CheckpointError
    from bntt.runs.recipe.file import RecipeError
    from bntt.runs.training.requests import Requests
    from bntt.studies.evidence import pack_results
    from bntt.studies.make_runs import work
    from bntt.studies.plan import counts, missing
    from bntt.studies.study_result import results_of

    packed = time.monotonic()
    for said in (counts(planned.items), *missing(planned.items)):
        console.line(said)
    left = planned.left()
    outcomes: list[tuple[WorkItem, Ended]] = []
    if not left:
        return outcomes
    local = engine.backend == "loky"
    try:
        with console.status("") as say, signals.deferred() if local else nullcontext(Requests()) as requests:

            def tell(text: str) -> None:
                say(f"{text} ({time_left(left, outcomes, engine.jobs)})")
                if not console.shows_bars():
                    console.line(text)

            def stopping(count: int) -> None:
                runs = "1 run is" if count == 1 else f"{count} runs are"
                console.complain(f"stopping: {runs} saved first; Ctrl-C again ends at once")

            how: dict[str, Any] = {"device": device, "requests": requests, "tell": tell, "stopping": stopping}
            for item, ended in work(planned.items, folders.pool, make_start, engine, **how):
                outcomes.append((item, ended))
                said = f"failed ({ended.why})" if ended.code else f"done in {console.duration(ended.seconds)}"
                console.line(
                    f"[{len(outcomes)}/{len(left)}] {item.called}: {said}; {time_left(left, outcomes, engine.jobs)}"
                )
                if pack and time.monotonic() - packed > PACK_EVERY:
                    found = results_of(planned, folders, outcomes, device)
                    try:
                        pack_results([one for one in found if any(run.kept for run in one.found.values())], pack)
                    except (RecipeError, CheckpointError, OSError) as error:
                        console.complain(f"not packed yet: {error}")
                    packed = time.monotonic()
    except (KeyboardInterrupt, signals.Terminated):
        console.complain("finished work is kept; the same command continues")
        raise
    for item, ended in outcomes:
        log = folders.pool / "logs" / f"{item.place}.log"
        its = f"; its log: {log}" if ended.begun and log.name not in ended.why else ""
        if ended.code:
            console.complain(f"failed: {item.called}: {ended.why} (exit code {ended.code}{its})")
    return outcomes


def time_left(left: Sequence[WorkItem], outcomes: Sequence[tuple[WorkItem, Ended]], jobs: int) -> str:
    """Say how many of the items are left, and how long they take by the pace of those that were trained."""
    ended = {item.identity for item, _ in outcomes}
    work = {item.identity: item.seconds or 60.0 for item in left if item.action == "train"}
    rest = [work[one] for one in work if one not in ended]
    trained = [(work.get(item.identity, 0.0), one.seconds) for item, one in outcomes if one.trained and not one.code]
    if len(outcomes) == len(left):
        return "nothing left"
    said = f"{len(left) - len(outcomes)} left"
    if not rest:
        return said
    if not (done := sum(work for work, _ in trained)):
        return f"{said}, the first run will show how long"
    seconds = sum(seconds for _, seconds in trained) / done * sum(rest) / min(jobs, len(left))
    return f"{said}, about {console.duration(seconds)}"


def _print_result(path: Path) -> None:

    values = read_json(path)
    table, few = values["table"], " (preliminary: fewer than 5 starts)" if values["preliminary"] else ""
    console.line("")
    console.line(f"{values['title']}, {values['setting']} setting{few}")
    heads = ("", *(f"{c['title']}{', ' + c['unit'] if c['unit'] else ''}" for c in table["columns"]))
    rows = [
        (
            row["label"] + (f" (by definition {row['same_as']})" if "same_as" in row else ""),
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

        if parent_process() and threading.current_thread() is threading.main_thread():  # a process of ours, not of Dask
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
