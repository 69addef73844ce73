"""One promise: what is asked, and the function that measures it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple


class Measured(NamedTuple):
    """What a measure found."""

    text: str
    met: bool | None
    """None: it was not run."""


class NotRunError(RuntimeError):
    """A promise that cannot be measured here; the message says why."""


Measure = Callable[[], Measured]


@dataclasses.dataclass(frozen=True)
class Promise:
    """One row of the page."""

    name: str
    what: str
    asked: str
    measure: Measure
    long: bool = False
    """Measured only where it is named, or with ``--long``."""

    @property
    def how(self) -> str:
        """The function that measures it."""
        return f"{self.measure.__module__.replace('.', '/')}.py::{self.measure.__name__}"

    def measured(self) -> Measured:
        """What is so now; a promise that cannot be measured here says why."""
        try:
            return self.measure()
        except NotRunError as error:
            return Measured(f"not run: {error}", None)


def adder(promises: list[Promise]) -> Callable[..., Callable[[Measure], Measure]]:
    """A decorator that makes a function the measure of one more promise of a list."""

    def promise(name: str, what: str, asked: str, *, long: bool = False) -> Callable[[Measure], Measure]:
        def add(measure: Measure) -> Measure:
            promises.append(Promise(name, what, asked, measure, long))
            return measure

        return add

    return promise
