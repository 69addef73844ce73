"""Pairwise grids: every two values of any two options meet in some row, in far fewer rows than their product."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

Choice = tuple[int, int]
"""An option and which of its values, both by number."""


def pairs(*options: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of one value an option, for ``pytest.mark.parametrize``.

    >>> pairs("ab", "xy", (1, 2))
    [('a', 'x', 1), ('a', 'y', 2), ('b', 'x', 2), ('b', 'y', 1)]
    """
    every = [[(i, value) for value in range(len(values))] for i, values in enumerate(options)]
    missing = {(a, b) for one, other in combinations(every, 2) for a in one for b in other}
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
    return set(combinations(sorted(row), 2))
