"""A command line in a process of its own, forked so that it does not wait for torch; what it prints goes to a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from bntt.cli import main as cli

SHARED = ("matplotlib.backends.backend_agg", "matplotlib.figure", "torch.utils.tensorboard")
SHARED += ("bntt.charts.files", "bntt.runs.open_run", "bntt.runs.training.train")
for module in SHARED:  # or every child would import them again
    import_module(module)


def start(args: list[str], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """The number of a process that runs ``bntt args`` after ``before``, which may set traps in it."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it,
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup's this
        before()
        code = cli.main(args)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os._exit(code)


def ended(number: int) -> int:
    """The exit code of a process; minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def finished(args: list[str], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Start, and wait for the end."""
    return ended(start(args, log, before))
