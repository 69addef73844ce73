"""Tables whose rows cost next to nothing, as one case each: a failure notes its row."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def rows(names: str | Sequence[str], table: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for every row of a table, in one case; as ``pytest.mark.parametrize`` otherwise.

    Each row has a ``tmp_path`` of its own; other fixtures are shared.
    """
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    listed = [row if len(wanted) > 1 else (row,) for row in table]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def every(**fixtures: Any) -> None:
            for number, row in enumerate(listed):
                own = dict(fixtures)
                if isinstance(place := own.get("tmp_path"), Path):
                    own["tmp_path"] = place / f"row-{number}"
                    own["tmp_path"].mkdir()
                try:
                    test(**own, **dict(zip(wanted, row, strict=True)))
                except BaseException as error:
                    error.add_note(f"row {number}: {row!r}"[:500])
                    raise

        signature = inspect.signature(test)
        left = [value for name, value in signature.parameters.items() if name not in wanted]
        every.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return every

    return decorate
