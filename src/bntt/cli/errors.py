"""Exit codes of the commands, and errors in one line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from signal import SIGINT
from types import SimpleNamespace

from bntt.cli import console, signals
from bntt.runs.training.requests import Interrupted


class StudyError(Exception):
    """Failure of some runs of a study; the others are done. Carries the exit code of the first that failed."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


MACHINE = ("can't allocate memory", "CUDA error", "cuDNN error", "CUDA out of memory", "can't start new thread")
"""Parts of the messages of plain RuntimeErrors of PyTorch or Python that mean that the machine failed."""
STOPS = (KeyboardInterrupt, signals.Terminated, Interrupted)

EXIT_CODES = {
    0: "ok",
    2: "usage or recipe",
    3: "data",
    4: "checkpoint",
    5: "resource (disk, memory, device, another process of many)",
    6: "numbers not finite",
    7: "a result that cannot be used",
    75: "run directory in use",
    130: "interrupted (Ctrl-C)",
    143: "terminated (SIGTERM, SIGHUP)",
}
"""Exit codes of the commands, and what each means."""
ERRORS = {
    2: "UsageError RecipeError ArgumentError LaunchError OtherSettingsError DeployError",
    3: "DataError",
    4: "CheckpointError PretrainedError BundleError",
    5: "DeviceError BackendError LostProcessError MemoryError OutOfMemoryError OSError",
    6: "NonFiniteError",
    7: "LossBudgetError InvalidResultError",
    75: "RunLockedError",
}
"""Exit codes of errors, by the names of their classes: importing these would import torch."""


@contextlib.contextmanager
def errors_as_codes(*, debug: bool = False) -> Iterator[SimpleNamespace]:
    """Report an error of the block in one line, and yield what has its exit code ``code`` afterwards."""
    ended = SimpleNamespace(code=0)
    try:
        try:
            yield ended
        finally:
            stopped = isinstance(sys.exception(), STOPS)
            with contextlib.suppress(OSError) if stopped else contextlib.nullcontext(), console.writing():
                sys.stdout.flush()  # here, where a failure can still be reported
    except STOPS as stop:
        if not console.rank():  # only the first of several processes says it
            console.complain(str(stop) or "interrupted")
        ended.code = 130 if getattr(stop, "number", SIGINT) == SIGINT else 143
    except BrokenPipeError:  # the reader has ended: there is nothing more to say
        console.discard(sys.stdout)
    except Exception as error:
        code = exit_code(error)
        if debug or code is None:
            if console.rank() is not None:
                console.complain(f"{type(error).__name__}; its traceback follows")
            raise
        console.complain("; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])]))
        ended.code = code


def exit_code(error: Exception) -> int | None:
    """Return the documented code of an error, or None for a bug in bntt, which keeps its traceback."""
    if isinstance(error, StudyError):
        return error.code
    if any(said in str(error) for said in MACHINE):
        return 5
    ours = (kind for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in ("bntt", "torch", "builtins"))
    return next((code for kind in ours for code, names in ERRORS.items() if kind.__name__ in names.split()), None)
