"""Runs that are stopped at every place, or starved of memory: R1, R6, R8."""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, TensorDataset

from bntt.analysis.accuracy import evaluation
from bntt.cli.train import train as train_verb
from bntt.data import SampleLoader
from bntt.io import files
from bntt.runs import directory as kept
from bntt.runs import environment, measure
from bntt.runs import evaluation as run_evaluation
from bntt.runs.recipe import build
from bntt.runs.training import curves
from bntt.runs.training import train as run
from bntt.training import Method, Session, objective, session
from tests.robustness.processes import Stage, bound, digest, finished, stage
from tests.robustness.promise import Measured, promise
from tests.robustness.user import model

WAYS = {
    "the paper's": "lr = 0.3",
    "adamw with amsgrad, averaged": 'optimizer = "adamw", lr = 0.01, amsgrad = true, average = 0.9',
    "one-cycle, clipped, smoothed": 'schedule = "one-cycle", clip_norm = 1.0, label_smoothing = 0.1',
    "adam, TET, cosine by step, warm-up": 'optimizer = "adam", lr = 0.01, loss = "tet", schedule = "cosine", '
    'lr_every = "step", warmup = 0.5',
}


class Place(NamedTuple):
    """A call of a function, the how-manieth in the process."""

    name: str
    owner: Any
    function: str
    call: int = 1
    keeps: bool = True
    """Whether something was kept before, so that the run can go on."""
    saving: bool = False
    """Whether files are written there."""

    def trap(self, strike: Callable[[], object]) -> None:
        """Let ``strike`` come with that call, before it does anything."""
        real, calls = getattr(self.owner, self.function), itertools.count(1)

        def struck(*args: Any, **options: Any) -> Any:
            if next(calls) == self.call:
                strike()
            return real(*args, **options)

        setattr(self.owner, self.function, struck)

    def strikes(self) -> list[str]:
        """What may come there."""
        return ["SIGKILL", "SIGTERM", "SIGINT", "a full disk" if self.saving else "no memory"]


PLACES = [
    Place("reading the data", build, "open_samples", keeps=False),
    Place("building the network", build, "build_model", keeps=False),
    Place("taking the run directory", run, "hold_run", keeps=False),
    Place("writing the recipe", run, "write_whole", keeps=False, saving=True),
    Place("writing the environment", environment, "write_json", keeps=False, saving=True),
    Place("looking at the untrained network", run, "startup_warnings", keeps=False),
    Place("reading the first batch", SampleLoader, "epoch", 2, keeps=False),
    Place("the first forward pass", objective.BatchLoss, "forward", 1, keeps=False),
    Place("the first backward pass", torch.Tensor, "backward", 1, keeps=False),
    Place("the first check before an update", session, "check_finite", 1, keeps=False),
    Place("between two updates", session.Session, "_recorded", 6),
    Place("a forward pass in mid-epoch", objective.BatchLoss, "forward", 7),
    Place("a backward pass in mid-epoch", torch.Tensor, "backward", 6),
    Place("the check before an update", session, "check_finite", 7),
    Place("the last update of an epoch", session, "check_finite", 12),
    Place("the beginning of a validation", run, "evaluate", 1),
    Place("the midst of a validation", evaluation, "check_labels", 2),
    Place("writing the best epoch", run, "write_checkpoint", 1, saving=True),
    Place("writing the metrics", run, "write_json_lines", 1, saving=True),
    Place("keeping the epoch", kept, "write_checkpoint", 3, saving=True),
    Place("opening a file", Path, "open", 9, keeps=False, saving=True),
    Place("syncing a file", os, "fsync", 8, saving=True),
    Place("renaming a file", Path, "replace", 7, saving=True),
    Place("syncing the folder", files, "sync_folder", 6, saving=True),
    Place("deleting an old checkpoint", Path, "unlink", 6, saving=True),  # after five temporary files, which are gone
    Place("the second epoch", session.Session, "_update", 14),
    Place("a validation in the second epoch", run, "evaluate", 2),
    Place("keeping the last epoch", kept, "write_checkpoint", 6, saving=True),
    Place("drawing the curves", curves, "save_figure"),
    Place("the test", run_evaluation, "evaluate"),
    Place("writing the evaluation", measure, "write_json", saving=True),
    Place("drawing the evaluation", measure, "save_figure", saving=True),
]
"""From the first line to the last."""
NAMED = {place.name: place for place in PLACES}


def by_signal(*numbers: int) -> Callable[[], object]:
    return lambda: [os.kill(os.getpid(), number) for number in numbers]


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


STRIKES: dict[str, tuple[Callable[[], object], set[int]]] = {
    "SIGKILL": (by_signal(signal.SIGKILL), {-signal.SIGKILL}),
    "SIGTERM": (by_signal(signal.SIGTERM), {143}),
    "SIGINT": (by_signal(signal.SIGINT), {130}),
    "SIGHUP": (by_signal(signal.SIGHUP), {143}),
    "SIGUSR1": (by_signal(signal.SIGUSR1), {0}),
    "SIGINT twice": (by_signal(signal.SIGINT, signal.SIGINT), {130}),
    "a full disk": (disk_full, {5, 0}),  # it lets an old checkpoint lie for longer, and no more
    "no memory": (out_of_memory, {5}),
}
"""And the exit codes that it may lead to."""


def struck_at(on: Stage, place: Place, strike: str) -> tuple[str, float]:
    """Begin a run anew and let the strike come there: what is wrong with how it ended, and after how many seconds."""
    came = on.folder / "came"
    came.unlink(missing_ok=True)
    do, codes = STRIKES[strike]

    def strikes() -> None:
        came.write_text(str(time.monotonic()), encoding="utf-8")
        do()

    code = on.anew(lambda: place.trap(strikes))
    if not came.exists():
        return "it never came there", 0.0
    seconds, said = time.monotonic() - float(came.read_text(encoding="utf-8")), on.log.read_text()
    return f"ended with {code}: {said[-800:]}" if code not in codes or "Traceback" in said else "", seconds


def goes_on(on: Stage, place: Place) -> str:
    """Take the run up again; what is wrong with how it ends."""
    again = on.resumed()
    if again == 4 and not place.keeps:  # nothing was kept yet: begin again
        again = on.anew()
    return f"does not go on, {again}: {on.log.read_text()[-500:]}" if again else on.differs()


def stopped(on: Stage, place: Place, strike: str) -> str:
    """What is wrong with a run that is stopped there and goes on; "" if nothing is."""
    return struck_at(on, place, strike)[0] or goes_on(on, place)


def main(ways: int, places: str) -> int:
    """Every strike at every place, in so many ways of training; how many go wrong."""
    wrong = 0
    for way, words in list(WAYS.items())[:ways]:
        with stage(words) as on:
            tried = [(place, strike) for place in PLACES if places in place.name for strike in place.strikes()]
            found = [f"{s} at {p.name}: {said}" for p, s in tried if (said := stopped(on, p, s))]
        print(f"{way}: {len(tried) - len(found)} of {len(tried)} end as they must", *found, sep="\n  ", flush=True)
        wrong += len(found)
    return wrong


@promise("R1", "resume is bit exact, also in mid-epoch, for 0 to 2 loader processes")
def resume() -> Measured:
    """SIGTERM after each of 2 x 12 updates and in each of 2 x 2 batches of a validation; a new process goes on."""
    places = [Place("", session.Session, "_recorded", n) for n in range(1, 25)]
    places += [Place("", evaluation, "check_labels", n) for n in range(1, 5)]
    with stage() as on:
        wrong = [found for place in places if (found := stopped(on, place, "SIGTERM"))]
        thrice = three_stops(on)
    same, tried = same_by_workers()
    said = f"{len(places) - len(wrong)} of {len(places)} stop points identical (SHA-256); three stops in one epoch "
    said += f"{'identical' if thrice else 'DIFFER'}; {same} of {tried} pairs of loader processes identical"
    return Measured(said, not wrong and thrice and same == tried)


def three_stops(on: Stage) -> bool:
    """Of the first epoch's updates."""
    trap = partial(Place("", session.Session, "_recorded", 3).trap, by_signal(signal.SIGTERM))
    return [on.anew(trap), on.resumed(trap), on.resumed(trap), on.resumed()] == [143] * 3 + [0] and not on.differs()


def same_by_workers() -> tuple[int, int]:
    """A training that stops and goes on, for every pair of numbers of loader processes: how many end alike, of what."""
    pairs = TensorDataset(torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3)

    def begun(workers: int) -> Session:
        loader = DataLoader(pairs, batch_size=10, num_workers=workers, generator=torch.Generator())
        return Session(model(seed=1), loader, epochs=2, method=Method(lr=0.1), seed=3)

    def ends(stop: int, before: int, after: int) -> str:
        first, second = begun(before), begun(after)
        for _ in zip(range(stop), first.records(), strict=False):
            pass
        tensors, facts = first.state()
        second.load({name: value.clone() for name, value in tensors.items()}, facts)
        list(second.records())
        return digest(second.state()[0])

    found = [ends(*numbers) for numbers in itertools.product((1, 5), (0, 1, 2), (0, 1, 2))]
    return found.count(ends(0, 0, 0)), len(found)


WHERE = ("between two updates", "the midst of a validation", "keeping the epoch", "reading the data")


@promise("R6", "signals save and end with 143 or 130 within 5 s, a second SIGINT within 1 s")
def signals() -> Measured:
    """While it trains, validates, saves and reads; then it goes on."""
    wrong, slowest = list[str](), 0.0
    tried = list(itertools.product(WHERE, ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")))
    with stage() as on:
        for name, strike in tried:
            found, seconds = struck_at(on, NAMED[name], strike)
            if strike != "SIGUSR1":  # after which it trains on
                slowest = max(slowest, seconds)
            if found := found or goes_on(on, NAMED[name]):
                wrong.append(f"{strike} in {name}: {found}")
        found, at_once = struck_at(on, NAMED[WHERE[0]], "SIGINT twice")
    wrong += [found] if found else []
    said = f"{len(tried) + 1 - len(wrong)} of {len(tried) + 1} end with their code and go on with the same bits; "
    said += f"the slowest end after {slowest:.2f} s, after a second SIGINT {at_once:.2f} s"
    return Measured("; ".join([said, *wrong[:1]]), not wrong and slowest <= 5 and at_once <= 1)


LIMITS = (100, 300, 500, 800, 1200, 1600)
"""Megabytes beyond those that a process has that imported everything: too few for the training, each elsewhere."""
TOLD = {
    "B": r"batch",
    "T": r"num_steps|time steps",
    "an estimate": r"needs? .*(bytes|[KMG]i?B)",
    "a remedy": r"lower|fewer",
}
"""What the message is looked through for."""


@promise("R8", "out of memory is exit 5 and can be resumed; the message has B, T, an estimate and a remedy")
def no_memory() -> Measured:
    """An allocation that fails in forward and backward passes, and real limits of memory, from the first import on."""
    places, codes, message = ("a forward pass in mid-epoch", "a backward pass in mid-epoch", WHERE[0]), {}, ""
    with stage() as on:
        wrong = [found for name in places if (found := stopped(on, NAMED[name], "no memory"))]
        large = ["-s", "train.batch_size=4000", "-s", "network.num_steps=100", "--name", "limited"]
        for limit in LIMITS:
            codes[limit] = finished([*on.train, *large], on.log, partial(bound, limit * 1_000_000))
            message = on.log.read_text().splitlines()[-1] if codes[limit] == 5 else message
    lacks = [what for what, words in TOLD.items() if not re.search(words, message, re.IGNORECASE)]
    command, well = "fit_batch" in signature(train_verb).parameters, sum(code == 5 for code in codes.values())
    said = f"{len(places) - len(wrong)} of {len(places)} end with exit 5 and go on with the same bits; of {len(codes)} "
    said += f"limits of memory {well} end with exit 5"
    said += "".join(f", that of {limit} MB with {code}" for limit, code in codes.items() if code != 5)
    said += f"; the message lacks: {', '.join(lacks) or 'nothing'}; {'' if command else 'no '}`bntt train --fit-batch`"
    return Measured("; ".join([said, *wrong[:1]]), not (wrong or lacks) and well == len(codes) and command)
