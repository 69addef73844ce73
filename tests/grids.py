"""Tables of cases in a few of them: all pairs of options in place of all products, and rows that share one case."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from tests.pairs import pairs as pairwise


def pairs(**options: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test so that any two values of two options meet in some case.

    An option may be two arguments that go together, ``rule__reset=[(fire_after, hard_reset), ...]``; ``variant`` is the
    fixture of that name.
    """
    return _parametrize(options, pairwise(*map(list, options.values())))


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


def each_row(names: str, table: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on every row of a cheap table in one case; a failure names its row."""
    columns = [name.strip() for name in names.split(",")]
    held = list(table)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            for row in held:
                named = getattr(row, "values", None) if isinstance(row, ParameterSet) else None
                values = named or (row if len(columns) > 1 else (row,))
                try:
                    test(**fixtures, **dict(zip(columns, values, strict=True)))
                except BaseException as error:
                    error.add_note(f"in the row {row!r}")
                    raise

        asked = inspect.signature(test)
        fixtures = [one for name, one in asked.parameters.items() if name not in columns]
        run.__signature__ = asked.replace(parameters=fixtures)
        return run

    return decorate
