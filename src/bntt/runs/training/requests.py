"""What a run is asked for from outside while it trains: to stop, or to save and go on."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Wishes:
    """Set from outside at any time; the run looks at them at its safe points, saves and takes back what is done.

    >>> wishes = Wishes()
    >>> wishes.stop = 15  # SIGTERM
    >>> raise Interrupted(wishes.stop, "everything is saved")
    Traceback (most recent call last):
    bntt.runs.training.requests.Interrupted: stopped by SIGTERM; everything is saved
    """

    stop: int | None = None
    """The number of the signal that asks for the end: save, then raise :class:`Interrupted`."""
    save: bool = False
    """Save at the next safe point and go on."""


class Interrupted(Exception):
    """A run that stopped because it was asked to: by which signal, and what became of it and how it goes on."""

    def __init__(self, number: int, then: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {then}")
        self.number = number


def command_to_resume(run: Path, device: str, processes: int) -> str:
    """Return the command that takes a run up again, by as many processes and with the same parts of one's own.

    >>> command_to_resume(Path("runs/mine"), "cuda:1", 2)
    'torchrun --nproc-per-node 2 -m bntt train runs/mine --resume --device cuda'
    """
    from bntt.runs.parts import LOADED  # here: it waits for torch, and the command line's help does not

    kind = device if processes == 1 else device.partition(":")[0]  # of GPUs each process has its own
    program = "bntt" if processes == 1 else f"torchrun --nproc-per-node {processes} -m bntt"
    program += "".join(f" --with {shlex.quote(part.source)}" for part in LOADED)
    return f"{program} train {shlex.quote(str(run))} --resume{'' if kind == 'cpu' else f' --device {kind}'}"
