"""One start of a study in a process of joblib: its signals, errors and exit codes are those of ``bntt``."""

from __future__ import annotations

import os
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing import parent_process
from pathlib import Path

from bntt.studies.make_runs import Ended, Task, make_run

RETRY = 3.0
"""Seconds until a directory that another process holds is tried again."""


def make_start(task: Task) -> Ended:
    """Make what a start lacks; what it prints goes into its log."""
    began, trained = time.monotonic(), False

    def call() -> None:
        nonlocal trained
        load_parts(task.parts)
        while True:
            try:
                trained = make_run(task, _train)
                return
            except RunLockedError as error:
                streams.complain(f"{error}; trying again")
                time.sleep(RETRY)

    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        from bntt.cli import main, signals, streams
        from bntt.io.lock import RunLockedError
        from bntt.io.memory import keep_freed_memory
        from bntt.runs.parts import load_parts

        if parent_process() and threading.current_thread() is threading.main_thread():  # a process of ours, not of Dask
            keep_freed_memory()
            with suppress(AttributeError, OSError):  # Windows has none; after the first start it is done
                os.setsid()  # Ctrl-C reaches it through the study, once
        with signals.installed():
            try:
                code = main.run_safely(call)
            except Exception:
                traceback.print_exc()
                code = 1
    return Ended(code, _last_line(task.log) if code else "", time.monotonic() - began, trained)


def _train(recipe: Path, name: str, root: Path, device: str) -> None:
    from bntt.cli.train import train

    train(str(recipe), name=name, root=root, or_resume=True, device=device)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("bntt: ") if lines else f"see {log}"
