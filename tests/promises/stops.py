"""Runs that are stopped, killed, out of memory or held by another process: R1, R3, R4, R6, R8, R11."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import NamedTuple

from bntt.analysis.accuracy import evaluation
from bntt.cli.train import train as train_verb
from bntt.runs.directory import RunDirectory
from bntt.training import session
from tests.chaos.child import ended, finished, start
from tests.chaos.kills import kills
from tests.chaos.outcome import outcome
from tests.chaos.stops import PLACES, Place
from tests.chaos.whole import SMALL, goes_on, stopped, struck_at
from tests.hostile.work import bound
from tests.promises.failing import ERRORS, failing, of_one_file
from tests.promises.promise import Measured, Promise, adder
from tests.promises.workers import same_by_workers

PROMISES: list[Promise] = []
promise = adder(PROMISES)
UPDATES, BATCHES = 12, 2
"""Of an epoch, and of a validation."""
KILLS = 200


class Stage(NamedTuple):
    """Where a run is made again and again, and what one that is left alone comes to."""

    folder: Path
    train: list[str]
    expected: dict[str, str]


@contextlib.contextmanager
def stage(epochs: int = 2, way: str = "lr = 0.3") -> Iterator[Stage]:
    """A recipe of twelve updates an epoch, and the outcome of a run of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        words = SMALL.replace("WAY", way).replace("batch_size = 400", "batch_size = 340")
        recipe = folder / "run.toml"
        recipe.write_text(words.replace("epochs = 2", f"epochs = {epochs}"), encoding="utf-8")
        train = ["train", str(recipe), "--root", str(folder)]
        if finished(train, folder / "log"):
            raise RuntimeError((folder / "log").read_text())
        yield Stage(folder, train, outcome(folder / "run"))


def place_named(name: str) -> Place:
    return next(place for place in PLACES if place.name == name)


@promise(
    "R1",
    "resume is bit exact, also mid-epoch",
    "100 % of >= 28 stop points identical; for 0, 1, 2 loader processes, and when their number changes at resume",
)
def resume() -> Measured:
    """SIGTERM after every update and in every batch of a validation; a new process goes on; SHA-256 of all."""
    after = [Place(f"update {n}", session.Session, "_recorded", n) for n in range(1, 2 * UPDATES + 1)]
    within = [Place(f"batch {n}", evaluation, "check_labels", n) for n in range(1, 2 * BATCHES + 1)]
    with stage() as (folder, train, expected):
        places = [*after, *within]
        wrong = [found for p in places if (found := stopped(folder, train, p, "SIGTERM", expected))]
        thrice = three_stops(folder, train, expected)
    same, tried = same_by_workers()
    said = f"{len(places) - len(wrong)} of {len(places)} stop points identical (SHA-256)"
    said += f"; three stops in one epoch {'identical' if thrice else 'DIFFER'}"
    said += f"; {same} of {tried} pairs of loader processes before and after the stop identical"
    return Measured(said, not wrong and len(places) >= 28 and thrice and same == tried)


def three_stops(folder: Path, train: list[str], expected: dict[str, str]) -> bool:
    """Of the first epoch's updates."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    again = ["train", str(folder / "run"), "--resume"]
    for command in (train, again, again):
        place = Place("an update", session.Session, "_recorded", 3)
        code = finished(command, folder / "log", partial(place.trap, terminate))
        if code != 143:
            return False
    return finished(again, folder / "log") == 0 and outcome(folder / "run") == expected


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@promise("R3", "a kill never loses more than one interval", "0 unreadable last checkpoints in 200 kills", long=True)
def killed() -> Measured:
    """SIGKILL at random in runs that keep themselves every second, as ``make chaos`` does; one that ends gives way to
    another.
    """
    done = wrong = runs = other = 0
    while done < KILLS and runs < KILLS:
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            wrong += kills(Path(folder), KILLS - done)
        match = re.search(r"^(\d+) kills: \d+ wrong; (.*)$", said.getvalue(), re.MULTILINE)
        if match is None:
            raise RuntimeError(said.getvalue()[-800:])
        done, runs, other = done + int(match[1]), runs + 1, other + ("left alone" not in match[2])
    ends = "all end with the bits of one that was left alone" if not other else f"{other} END WITH OTHER BITS"
    return Measured(f"{done} kills in {runs} runs: {wrong} wrong; {ends}", done >= KILLS and not wrong)


@promise(
    "R4",
    "every failing call to the system is survived",
    "100 %: the previous checkpoint loads, a typed error, exit code 5, no stump counted as a checkpoint",
)
def failing_calls() -> Measured:
    """Every call that writing makes fails once: of one file for four errors, of a whole run for one of them each."""
    survived, tried = of_one_file()
    codes, wrong, k = Counter[int](), list[str](), 0
    with stage(epochs=1) as (folder, train, _):
        directory, log, struck = folder / "run", folder / "log", folder / "struck"
        while True:
            k += 1
            shutil.rmtree(directory, ignore_errors=True)
            for old in (log, struck):
                old.unlink(missing_ok=True)
            error = ERRORS[k % len(ERRORS)]
            code = finished(train, log, partial(failing, k, error, struck))
            if not struck.exists():
                break
            codes[code] += 1
            if found := _wrong_after(code, log, directory):
                wrong.append(f"call {k}: {found}")
    calls = codes.total()
    said = f"one file: {survived} of {tried}; a run: {calls - len(wrong)} of {calls} calls"
    said += f" ({codes[5]} ended with exit 5, {codes[0]} went on)"
    return Measured(said + _first(wrong, folder), not wrong and survived == tried)


def _wrong_after(code: int, log: Path, directory: Path) -> str:
    """What is wrong with a run in which a call failed; "" if nothing is."""
    if code not in (0, 5) or "Traceback" in log.read_text():
        return f"exit {code}: {log.read_text()[-300:]}"
    kept = RunDirectory(directory).checkpoints
    if kept.folder.exists() and kept.paths() and (found := kept.latest().skipped):
        return found[0]
    return ""


def _first(wrong: list[str], folder: Path) -> str:
    """What is wrong first, in few words and without the place where it was tried."""
    return f"; {' '.join(wrong[0].replace(str(folder), '...').split())[:160]}" if wrong else ""


WHERE = {
    "training": "between two updates",
    "validating": "the midst of a validation",
    "saving": "keeping the epoch",
    "reading data": "reading the data",
}


@promise(
    "R6",
    "signals end cleanly",
    "checkpoint saved, exit 143 or 130, within 5 s (tiny); a second SIGINT within 1 s; resume bit exact",
)
def signals() -> Measured:
    """SIGTERM, SIGINT, SIGHUP and SIGUSR1 while it trains, validates, saves and reads; then it goes on."""
    wrong, slowest, tried = list[str](), 0.0, 0
    with stage() as (folder, train, expected):
        for where, name in WHERE.items():
            for strike in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"):
                place, tried = place_named(name), tried + 1
                found, seconds = struck_at(folder, train, place, strike)
                found = found or goes_on(folder, train, place, expected)
                if strike != "SIGUSR1":  # after which it trains on
                    slowest = max(slowest, seconds)
                if found:
                    wrong.append(f"{strike} while {where}: {found}")
        found, at_once = struck_at(folder, train, place_named(WHERE["training"]), "SIGINT twice")
    wrong += [found] if found else []
    said = f"{tried + 1 - len(wrong)} of {tried + 1} end with their code and go on with the same bits; "
    said += f"the slowest end after {slowest:.2f} s, after a second SIGINT {at_once:.2f} s"
    return Measured(said + _first(wrong, folder), not wrong and slowest <= 5 and at_once <= 1)


@promise(
    "R8",
    "out of memory is honest",
    "no silent change of the batch size; the message gives B, T, an estimate, a remedy; exit 5; the run can be "
    "resumed; a `fit-batch` command",
)
def no_memory() -> Measured:
    """An allocation that fails in forward and backward passes, and real limits of memory, from the first import on."""
    names = ("a forward pass in mid-epoch", "a backward pass in mid-epoch", "between two updates")
    with stage() as (folder, train, expected):
        places = [place_named(name) for name in names]
        wrong = [found for place in places if (found := stopped(folder, train, place, "no memory", expected))]
        codes, message = _limited(folder, train)
    lacks = [what for what, words in TOLD.items() if not re.search(words, message, re.IGNORECASE)]
    command, well = "fit_batch" in signature(train_verb).parameters, sum(code == 5 for code in codes.values())
    text = f"{len(places) - len(wrong)} of {len(places)} end with exit 5 and go on with the same bits; of {len(codes)} "
    text += f"limits of memory {well} end with exit 5"
    text += "".join(f", that of {limit} MB with {code}" for limit, code in codes.items() if code != 5)
    text += f"; the message lacks: {', '.join(lacks) or 'nothing'}"
    text += f"; {'there is' if command else 'no'} `bntt train --fit-batch`"
    return Measured(text, not (wrong or lacks) and well == len(codes) and command)


LIMITS = (100, 300, 500, 800, 1200, 1600)
"""Megabytes beyond those that a process has that imported everything: too few for the training, each elsewhere."""
TOLD = {
    "B": r"batch",
    "T": r"num_steps|time steps",
    "an estimate": r"needs? .*(bytes|[KMG]i?B)",
    "a remedy": r"lower|fewer|smaller",
}
"""What the last message is looked through for."""


def _limited(folder: Path, train: list[str]) -> tuple[dict[int, int], str]:
    """The exit code under each limit (70: an error that nothing expected), and the last message of those with 5."""
    codes, message, log = dict[int, int](), "", folder / "limited"
    large = ["-s", "train.batch_size=4000", "-s", "network.num_steps=100", "--name", "limited"]
    for limit in LIMITS:
        log.unlink(missing_ok=True)
        codes[limit] = finished([*train, *large], log, partial(bound, limit * 1_000_000))
        if codes[limit] == 5:
            message = log.read_text().splitlines()[-1]
    return codes, message


@promise(
    "R11",
    "one run, one directory",
    "a second process exits 75 within 2 s and names the first's number; a stale lock is no obstacle; metrics never mix",
)
def one_holder() -> Measured:
    """A second process in a run's directory, then the first is killed and the run goes on."""
    with stage() as (folder, train, expected):
        directory, log = folder / "run", folder / "second"
        shutil.rmtree(directory)
        holder = start(train, folder / "log", _slowly)
        _wait_for(directory / "checkpoints", "step-*")
        began = time.monotonic()
        code = finished(["train", str(directory), "--resume"], log)
        seconds = time.monotonic() - began
        named = f"process {holder} " in log.read_text()
        os.kill(holder, signal.SIGKILL)
        ended(holder)
        again = finished(["train", str(directory), "--resume"], log)
        same = again == 0 and outcome(directory) == expected
        epochs = [json.loads(line)["epoch"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    said = (
        f"exit {code} after {seconds:.2f} s (beyond the imports), {'naming' if named else 'NOT naming'} the process; "
    )
    said += f"after a kill exit {again}, {'the same bits' if same else 'OTHER BITS'}, epochs {epochs}"
    return Measured(said, code == 75 and seconds <= 2 and named and same)


def _slowly() -> None:
    """Updates that leave the time to look at the run."""
    real = session.Session._recorded

    def recorded(self: session.Session, *args: object) -> object:
        time.sleep(0.3)
        return real(self, *args)  # type: ignore[arg-type]

    session.Session._recorded = recorded  # type: ignore[method-assign, assignment]


def _wait_for(folder: Path, pattern: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        if time.monotonic() > end:
            raise RuntimeError(f"no {pattern} in {folder}")
        time.sleep(0.05)
