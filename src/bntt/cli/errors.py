"""Exit codes of the verbs, and errors in one line."""

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
    0: ("ok", "Nothing: the work is done, or the program that read the output has ended (`| head`)."),
    2: ("usage or recipe", "Read the line on stderr: it names the flag or key, what it takes, and the nearest name."),
    3: ("data", "`bntt data where` lists what was found; `bntt data verify NAME` compares it with its checksums."),
    4: ("checkpoint", "The directory is not a run, or a file in it is damaged or from another network: read the line."),
    5: (
        "resource (disk, memory, device, another process of many)",
        "Free it and start again with `--resume`; for memory, `bntt train RECIPE --fit-batch 1GiB`.",
    ),
    6: ("numbers not finite", "Lower `train.lr`, or set `train.clip_norm`; the line names the layer and the step."),
    7: (
        "a result that cannot be used",
        "The numbers were written, but they do not answer the question: read the line.",
    ),
    75: ("run directory in use", "Another process trains there: wait until it ends, or stop it."),
    130: (
        "interrupted (Ctrl-C)",
        "A training saves first (after a second Ctrl-C it has only its last checkpoint): continue with `--resume`. "
        "Repeat any other command.",
    ),
    143: (
        "terminated (SIGTERM, SIGHUP)",
        "A training saves first: continue with `--resume`. Repeat any other command.",
    ),
}
"""Exit codes of the verbs: what each means, and what to do."""
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
