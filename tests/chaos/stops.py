"""Places where a run may be stopped, and what may come there."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bntt.analysis.accuracy import evaluation
from bntt.data import SampleLoader
from bntt.io import files
from bntt.runs import directory as kept
from bntt.runs import environment, measure
from bntt.runs import evaluation as run_evaluation
from bntt.runs.recipe import build
from bntt.runs.recipe import build as parts
from bntt.runs.training import curves
from bntt.runs.training import train as run
from bntt.training import objective, session


@dataclass(frozen=True)
class Place:
    """A call of a function, the how-manieth in the process."""

    name: str
    owner: Any
    function: str
    call: int = 1
    keeps: bool = True
    """Whether something was kept before, so that the run can go on."""
    saving: bool = False
    """Whether files are written there."""

    def trap(self, strike: Callable[[], None]) -> None:
        """Let ``strike`` come with that call, before it does anything."""
        real, calls = getattr(self.owner, self.function), 0

        def struck(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.call:
                strike()
            return real(*args, **options)

        setattr(self.owner, self.function, struck)


PLACES = [
    Place("reading the data", parts, "open_samples", keeps=False),
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
    Place("the last update of an epoch", session, "check_finite", 10),
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


def by_signal(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


STRIKES: dict[str, Callable[[], object]] = {
    "SIGKILL": by_signal(signal.SIGKILL),
    "SIGTERM": by_signal(signal.SIGTERM),
    "SIGINT": by_signal(signal.SIGINT),
    "SIGHUP": by_signal(signal.SIGHUP),
    "SIGUSR1": by_signal(signal.SIGUSR1),
    "SIGINT twice": lambda: [by_signal(signal.SIGINT)() for _ in range(2)],
    "a full disk": disk_full,
    "no memory": out_of_memory,
}
CODES = {
    "SIGKILL": {-signal.SIGKILL},
    "SIGTERM": {143},
    "SIGINT": {130},
    "SIGHUP": {143},
    "SIGUSR1": {0},
    "SIGINT twice": {130},
    "a full disk": {5, 0},
    "no memory": {5},
}
"""How the command may end; a full disk lets an old checkpoint lie for longer, and no more."""


def strikes_at(place: Place) -> list[str]:
    """What may come there."""
    if place.saving:
        return ["SIGKILL", "SIGTERM", "SIGINT", "a full disk"]
    return ["SIGKILL", "SIGTERM", "SIGINT", "no memory"]
