"""Grids of cases in a few of them: every two values of any two options meet in some row, in place of all products."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

Choice = tuple[int, int]
"""An option and which of its values, both by number."""


def all_pairs(*options: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of one value an option, for ``pytest.mark.parametrize``.

    >>> all_pairs("ab", "xy", (1, 2))
    [('a', 'x', 1), ('a', 'y', 2), ('b', 'x', 2), ('b', 'y', 1)]
    """
    every = [[(i, value) for value in range(len(values))] for i, values in enumerate(options)]
    missing = {(a, b) for one, other in itertools.combinations(every, 2) for a in one for b in other}
    rows = []
    while missing:
        row: list[Choice] = list(min(missing))
        for choices in every:
            if choices[0][0] not in {option for option, _ in row}:
                row.append(max(choices, key=lambda choice: len(missing & _pairs([*row, choice]))))
        missing -= _pairs(row)
        rows.append(tuple(options[i][value] for i, value in sorted(row)))
    return rows


def _pairs(row: Sequence[Choice]) -> set[tuple[Choice, Choice]]:
    return set(itertools.combinations(sorted(row), 2))


def pairs(**options: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test so that any two values of two options meet in some case.

    An option may be two arguments that go together, ``rule__reset=[(fire_after, hard_reset), ...]``; ``variant`` is the
    fixture of that name.
    """
    return _parametrize(options, all_pairs(*map(list, options.values())))


def every_value(**options: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test so that every value of every option is in some case; options as those of :func:`pairs`."""
    columns = [list(option) for option in options.values()]
    most = max(map(len, columns))
    return _parametrize(options, list(zip(*(itertools.islice(itertools.cycle(c), most) for c in columns), strict=True)))


def _parametrize(options: Iterable[str], table: Iterable[Sequence[Any]]) -> pytest.MarkDecorator:
    names = [name.split("__") for name in options]
    rows = [
        [part for own, value in zip(names, row, strict=True) for part in (value if len(own) > 1 else [value])]
        for row in table
    ]
    flat = [name for own in names for name in own]
    return pytest.mark.parametrize(flat, rows, indirect=[name for name in flat if name == "variant"])
