"""What a run is asked for from outside while it trains: to stop, or to save and go on."""

from __future__ import annotations

import signal
from dataclasses import dataclass


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
