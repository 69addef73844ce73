"""``bntt study``: one table or figure of the paper, from existing and new runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from bntt.io.files import read_json

if TYPE_CHECKING:
    from bntt.studies.run_studies import Folders, StudyPlan
    from bntt.studies.study_file import SettingName, Study
    from bntt.studies.work_items import WorkItem
    from bntt.studies.workers import Outcome


class StudyError(Exception):
    """Failure of some runs of a study; the others are done. Carries the exit code of the first that failed."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def study(
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY [STUDY ...]")],
    small: bool = False,
    jobs: int = 1,
    pool: Path = Path("runs/pool"),
    results: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    out: Path = Path("runs/studies"),
    data: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    dry_run: Annotated[bool, tyro.conf.arg(aliases=["--estimate"])] = False,
    only_kept: bool = False,
    pack: Path | None = None,
    merge: Path | None = None,
    device: str = "cpu",
    precision: Literal["fp32", "bf16-grad"] = "fp32",
) -> None:
    """Make the missing runs of a study, measure them, and write its numbers, pictures and verdicts.

    All studies share the runs in --pool. A run is used again if its recipe, seed, data checksums and numerics version
    agree, even if its weights are gone. (The numerics version is in runs/environment.py. It is raised by hand whenever
    the same recipe gives other numbers, and a test checks this. Runs without one count as version 1.) You can interrupt
    or kill the command at any time: the same command continues. A failed run does not stop the others; the exit code is
    then that of the first failure, or 3 if nothing can be made for lack of data. Writes result.json and figures into
    OUT/NAME, or OUT/NAME-small.

    Example: bntt study table-5 --small --jobs 2

    Args:
        names: names from `bntt list studies`, TOML files, or `all`.
        small: use the small setting, which two cores train in minutes to hours, instead of the paper's.
        jobs: number of runs at the same time; each uses its share of the cores, or OMP_NUM_THREADS threads.
        pool: the folder of runs.
        results: another folder with kept runs, or archives of them, repeatable; nothing is written there.
        out: the folder of results.
        data: the folder of a dataset, NAME=FOLDER, repeatable: `--data images=my/images`.
        dry_run: print which runs would be made and how long they take, which are used again, and which data is missing;
            make nothing.
        only_kept: make nothing, and write the results that exist: the rest is "not run".
        pack: a folder to keep the result in: a summary (NAME.json), its runs without their weights (NAME.tar.xz), and
            float16 weights of one start per norm (weights-NAME.tar.xz, at most 10 MB in a folder), with their checksums
            in SHA256SUMS; --results reads it again. Finished studies are packed while the others are made. An archive
            that holds more than the new result is not replaced: name its folder with --results too. If the name ends in
            .tar.xz, runs and weights go into one file with the checksums of its contents, for --merge elsewhere.
        merge: an archive from another machine, made by --pack FILE.tar.xz: its runs are verified and merged into the
            result, with device and commit; nothing is made. It is refused if it is damaged, has another numerics
            version or other data, or contradicts a start that is here; with --pack the merged runs are kept.
        device: cpu, or cuda.
        precision: precision of the gradients of new runs. bf16-grad is faster on processors with bfloat16; its forward
            pass has the spikes of fp32, and a run in one precision counts as a run in the other.
    """
    import torch

    from bntt.cli import console
    from bntt.engine.kernels import require_precision
    from bntt.io.archive import SUFFIX
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.overview import check_possible, overview
    from bntt.studies.run_studies import Folders, plan
    from bntt.studies.workers import WorkSettings

    if not names:
        raise RecipeError("name a study, several, or all: bntt study NAME [NAME ...]")
    if jobs < 1:
        raise RecipeError(f"--jobs must be 1 or more, got {jobs}")
    check_folders(pool, out, pack.parent if pack and pack.name.endswith(SUFFIX) else pack)
    require_device(device)
    require_precision(precision, torch.device(device))
    setting: SettingName = "small" if small else "paper"
    folders = Folders(pool, results, out, dict(_data_folder(one) for one in data), precision)
    with console.status("checking existing runs"):
        planned = plan(_studies(names, setting), setting, folders)
    cores = int(WorkSettings(pool, jobs).threads) * jobs
    if dry_run:
        for line in overview(planned, cores):
            console.line(line)
    if merge is not None:
        from bntt.studies.evidence.merging import take_in

        folder, lines = take_in(merge, planned.items, folders.folders)
        for line in lines:
            console.line(line)
        folders, only_kept = replace(folders, results=(*folders.results, folder)), True
    if not only_kept:
        check_possible(planned.items)
    if dry_run:
        return
    from bntt.studies.evidence.packing import check_nothing_is_lost, pack_results
    from bntt.studies.run_studies import results_of, write_results

    found = results_of(planned, folders, [], device) if pack or only_kept else []
    if pack:
        check_nothing_is_lost(found, pack)
    outcomes = [] if only_kept else _work(planned, folders, jobs, device, pack)
    failed = [outcome for outcome in outcomes if outcome.code]
    if not only_kept:
        found = results_of(planned, folders, outcomes, device)
    for path in write_results(found, folders):
        _print_result(path)
    for path in pack_results(found, pack) if pack else ():
        console.line(f"packed: {path}")
    if failed:
        raise StudyError(
            f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again", failed[0].code
        )


def _data_folder(text: str) -> tuple[str, str]:
    from bntt.data.catalog import prepared_folders
    from bntt.data.registry import DATASETS
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


def _work(planned: StudyPlan, folders: Folders, jobs: int, device: str, pack: Path | None) -> list[Outcome]:
    from bntt.cli import console, signals, streams
    from bntt.io.checkpoint import CheckpointError
    from bntt.runs.parts import LOADED
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.evidence.packing import pack_finished
    from bntt.studies.overview import counts, missing
    from bntt.studies.workers import WorkSettings, work

    pool, packed = folders.pool, time.monotonic()
    for said in (counts(planned.items), *missing(planned.items)):
        console.line(said)
    left, outcomes, pace = planned.left(), list[Any](), _Pace(planned.left(), jobs)
    if not left:
        return outcomes
    pool.mkdir(parents=True, exist_ok=True)
    try:
        with console.status("") as say:

            def tell(text: str) -> None:
                say(f"{text} ({pace.text()})")
                if not console.shows_bars():
                    console.line(text)

            def stopping(count: int) -> None:
                signals.arrived()
                runs = "1 run is" if count == 1 else f"{count} runs are"
                streams.complain(f"stopping: {runs} saved first; Ctrl-C again ends at once")

            program = (sys.executable, "-m", "bntt.cli.job", *(f"--with={part.source}" for part in LOADED))
            for outcome in work(planned.items, WorkSettings(pool, jobs, device, tell, program, stopping)):
                outcomes.append(outcome)
                pace.record(outcome)
                said = f"failed ({outcome.why})" if outcome.code else f"done in {console.duration(outcome.seconds)}"
                console.line(f"[{len(outcomes)}/{len(left)}] {outcome.item.called}: {said}; {pace.text()}")
                if pack and time.monotonic() - packed > PACK_EVERY:
                    try:
                        pack_finished(planned, folders, outcomes, pack, device)
                    except (RecipeError, CheckpointError, OSError) as error:
                        streams.complain(f"not packed yet: {error}")
                    packed = time.monotonic()
    except (KeyboardInterrupt, signals.Terminated):
        streams.complain("finished work is kept; the same command continues")
        raise
    for one in filter(lambda one: one.code, outcomes):
        log = pool / "logs" / f"{one.item.place}.log"
        begun = one.seconds > 0  # otherwise the log is from an earlier attempt
        its = f"; its log: {log}" if begun and log.is_file() and str(log) not in one.why else ""
        streams.complain(f"failed: {one.item.called}: {one.why} (exit code {one.code}{its})")
    return outcomes


class _Pace:
    """Estimator of the remaining work, and of its time from the pace so far."""

    def __init__(self, left: Sequence[WorkItem], jobs: int) -> None:
        self.left = {item.identity: item.work for item in left if item.action == "train"}
        self.count, self.jobs, self.began = len(left), min(jobs, len(left)) or 1, time.monotonic()
        self.done = self.seconds = 0.0

    def record(self, outcome: Outcome) -> None:
        self.count -= 1
        work = self.left.pop(outcome.item.identity, 0.0)
        if outcome.trained and not outcome.code:
            self.done, self.seconds = self.done + work, self.seconds + outcome.seconds

    def text(self) -> str:
        from bntt.cli import console

        if not self.count:
            return "nothing left"
        if not self.left:
            return f"{self.count} left"
        if not self.done:
            return f"{self.count} left, the first run will show how long"
        seconds = self.seconds / self.done * sum(self.left.values()) / self.jobs
        return f"{self.count} left, about {console.duration(seconds)}"


def _print_result(path: Path) -> None:
    from bntt.cli import console

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
