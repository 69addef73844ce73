"""External requests to a running training: to stop, or to save and continue."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Requests:
    """Requests set from outside at any time; the run handles and clears them at its safe points."""

    stop: int | None = None
    """Number of the signal that requests a stop: save, then raise :class:`Interrupted`."""
    save: bool = False
    """True to save at the next safe point and continue."""

    def stop_conversion(self, images: int) -> None:
        """Stop a conversion between two batches, if a stop is requested."""
        if self.stop is not None:
            raise Interrupted(self.stop, "the conversion has kept nothing yet: begin again")


class Interrupted(Exception):
    """Stop of a run on request: the signal, the outcome, and how to resume."""

    def __init__(self, number: int, then: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {then}")
        self.number = number


def command_to_resume(run: Path, device: str, processes: int) -> str:
    """Return the command that resumes a run with as many processes and the same user-defined parts."""
    from bntt.runs.parts import LOADED  # imported here: it loads torch, which the command line's help avoids

    kind = device if processes == 1 else device.partition(":")[0]  # each process has its own GPU
    program = "bntt" if processes == 1 else f"torchrun --nproc-per-node {processes} -m bntt"
    program += "".join(f" --with {shlex.quote(part.source)}" for part in LOADED)
    return f"{program} train {shlex.quote(str(run))} --resume{'' if kind == 'cpu' else f' --device {kind}'}"
