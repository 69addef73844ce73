"""One fault: what is done, and what must come of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    fault: int
    what: str
    do: Callable[[Path], str]
    expect: str
    """A pattern of the outcome."""


def adder(cases: list[Case]) -> Callable[[int, str, str], Callable[[Callable[[Path], str]], Callable[[Path], str]]]:
    """A decorator that makes a function one more case of a list."""

    def case(fault: int, what: str, expect: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
        def add(do: Callable[[Path], str]) -> Callable[[Path], str]:
            cases.append(Case(fault, what, do, expect))
            return do

        return add

    return case
