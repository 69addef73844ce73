"""The calls to the system that writing a run makes, one of which fails: R4."""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from bntt.runs.directory import RunDirectory
from tests.robustness.processes import Stage, stage
from tests.robustness.promise import Measured, promise
from tests.robustness.watch import CHANGES, WRITES

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EINTR)


def failing(number: int, error: int, folder: Path, came: Path) -> None:
    """In a process that ends soon: fail the call of this number that writes in a folder, and leave a mark."""
    made, mark, synced = itertools.count(1), os.open(came, os.O_WRONLY), os.fsync

    def count() -> None:
        if next(made) == number:
            os.write(mark, b"x")
            raise OSError(error, os.strerror(error))

    def called(event: str, args: tuple[Any, ...]) -> None:
        writes = event.startswith(CHANGES) or (event == "open" and isinstance(args[2], int) and args[2] & WRITES)
        if writes and str(args[0]).startswith(str(folder)) and "tfevents" not in str(args[0]):
            count()

    os.fsync = lambda file: (count(), synced(file))  # type: ignore[assignment, func-returns-value]
    sys.addaudithook(called)


@promise("R4", "every failing call that writes is exit 5 or survived: the checkpoint before loads, no stump counts")
def failing_calls() -> Measured:
    """Every call fails once, with one error after another; each call and error of one file alone are in tests/io."""
    codes, wrong, number = Counter[int](), list[str](), 0
    with stage(epochs=1) as on:
        came = on.folder / "came"
        while True:
            number += 1
            came.write_bytes(b"")
            code = on.anew(partial(failing, number, ERRORS[number % len(ERRORS)], on.run, came))
            if not came.read_bytes():
                break
            codes[code] += 1
            if found := _wrong_after(code, on):
                wrong.append(f"call {number}: {found}")
    said = f"{codes.total() - len(wrong)} of {codes.total()} calls ({codes[5]} ended with exit 5, {codes[0]} went on)"
    return Measured(f"{said}{'; ' + wrong[0][:160] if wrong else ''}", not wrong)


def _wrong_after(code: int, on: Stage) -> str:
    """What is wrong with a run in which a call failed; "" if nothing is."""
    if code not in (0, 5) or "Traceback" in on.log.read_text():
        return f"exit {code}: {on.log.read_text()[-300:]}"
    kept = RunDirectory(on.run).checkpoints
    return "".join(kept.latest().skipped[:1]) if kept.folder.exists() and kept.paths() else ""
