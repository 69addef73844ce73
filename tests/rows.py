"""Tables of cheap rows as one case: a failure names its row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from _pytest.mark.structures import ParameterSet


def each_row(names: str | Sequence[str], table: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on every row in turn; fixtures that it asks for are shared by all rows, but for ``tmp_path``."""
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = list(table)
    assert rows, "a table without rows proves nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            for number, row in enumerate(rows):
                own = dict(fixtures)
                if "tmp_path" in own:
                    own["tmp_path"] = own["tmp_path"] / f"row-{number}"
                    own["tmp_path"].mkdir()
                values = row.values if isinstance(row, ParameterSet) else (row,) if len(columns) == 1 else row
                given = dict(zip(columns, values, strict=True))
                try:
                    test(**own, **given)
                except BaseException as error:
                    error.add_note(f"in the row {given}")
                    raise

        signature = inspect.signature(test)
        fixtures = [one for name, one in signature.parameters.items() if name not in columns]
        run.__signature__ = signature.replace(parameters=fixtures)
        return run

    return decorate
