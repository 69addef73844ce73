"""One promise: what is asked, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Measured(NamedTuple):
    """What a measure found."""

    text: str
    met: bool | None
    """None: it was not run."""


class Promise(NamedTuple):
    """One row of the page."""

    name: str
    asked: str
    measure: Callable[[], Measured]
    long: bool = False
    """Measured only where it is named, or with ``--long``."""


PROMISES: dict[str, Promise] = {}
"""By name; those of the subjects that were imported."""


def promise(name: str, asked: str, *, long: bool = False) -> Callable[[Callable[[], Measured]], Callable[[], Measured]]:
    """Make a function the measure of one more promise."""

    def add(measure: Callable[[], Measured]) -> Callable[[], Measured]:
        PROMISES[name] = Promise(name, asked, measure, long)
        return measure

    return add
