"""Runner of studies' work: each start in its own processes, several at once, isolated from others' failures.

Results are files, written whole or not at all, so that a kill at any moment costs only the work in progress; the same
command resumes. Only one process works on a start: the holder of ``locks/<place>`` in the pool.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bntt.io.lock import RunLockedError, hold_run
from bntt.studies.pool import kept_run, numerics_agree
from bntt.studies.work_items import Job, WorkItem, choose_kept_run, jobs_of

LOCKED = 75
"""Exit code: another process works there."""
POLL = 0.05
RETRY = 3.0
"""Seconds until a start that another process holds is checked again."""
PATIENCE = 300.0
"""Seconds that a process which was asked to stop may take to save."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of an item."""

    item: WorkItem
    code: int
    """0, or the exit code of the failed process."""
    why: str
    seconds: float
    trained: bool


@dataclass(frozen=True)
class WorkSettings:
    """Environment and tools of the work."""

    pool: Path
    jobs: int = 1
    device: str = "cpu"
    tell: Callable[[str], None] = lambda text: None
    program: tuple[str, ...] = ()
    """Command that starts a process and does the JSON job in its last argument; see :mod:`bntt.cli.job`."""
    stopping: Callable[[int], None] = lambda count: None
    """Called with the number of processes, before waiting until they have saved and ended."""

    @property
    def threads(self) -> str:
        """Return the number of threads of each process."""
        return os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.jobs))


@dataclass
class _Running:
    """Item in progress."""

    item: WorkItem
    jobs: Iterator[tuple[str, Job]]
    lock: ExitStack
    log: Path
    began: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | None = None
    trained: bool = False
    measuring: bool = False
    """True if its last job measures: the weights are there."""


def work(items: Sequence[WorkItem], settings: WorkSettings) -> Iterator[Outcome]:
    """Do the remaining work of every item, and yield each as it ends."""
    waiting = [item for item in items if item.action not in ("reuse", "cannot")]
    codes: dict[str, int] = {item.identity: 0 if item.action == "reuse" else 2 for item in items if item not in waiting}
    retry_at: dict[str, float] = {}
    running: list[_Running] = []
    for name in ("locks", "logs", "recipes"):
        (settings.pool / name).mkdir(parents=True, exist_ok=True)
    try:
        while waiting or running:
            for item in list(waiting):
                ann = item.ann if item.action == "train" else None
                if ann is not None and codes.get(ann.identity, 0) != 0:
                    waiting.remove(item)
                    codes[item.identity] = codes[ann.identity]
                    yield Outcome(item, codes[ann.identity], f"its source run failed ({ann.called})", 0.0, False)
                elif (
                    len(running) < settings.jobs
                    and (ann is None or ann.identity in codes)
                    and time.monotonic() >= retry_at.get(item.identity, 0.0)
                ):
                    one = _claim(item, settings)
                    if one is None:
                        if item.identity not in retry_at:
                            settings.tell(f"{item.called}: another process works on it: waiting for it")
                        retry_at[item.identity] = time.monotonic() + RETRY
                    else:
                        waiting.remove(item)
                        running.append(one)
            for one in list(running):
                outcome = _poll(one, settings)
                if outcome is None:
                    continue
                running.remove(one)
                if outcome.code == LOCKED:
                    retry_at[one.item.identity] = time.monotonic() + RETRY
                    waiting.append(one.item)
                    continue
                codes[one.item.identity] = 0 if one.measuring else outcome.code  # its weights are there to begin with
                yield outcome
            time.sleep(POLL)
    finally:
        _stop(running, settings.stopping)


def _claim(item: WorkItem, settings: WorkSettings) -> _Running | None:
    """Start on an item; return None while another process has it."""
    lock = ExitStack()
    folder = settings.pool / "locks" / item.place
    folder.mkdir(exist_ok=True)
    try:
        lock.enter_context(hold_run(folder))
    except RunLockedError:
        return None
    there = kept_run(settings.pool / item.place)
    if there is not None and not there.unfinished and numerics_agree(there):
        known = [] if item.kept is None or item.kept.path == there.path else [item.kept]
        choose_kept_run(item, [there, *known], settings.pool, {})  # another process may have done it meanwhile
    log = settings.pool / "logs" / f"{item.place}.log"
    return _Running(item, jobs_of(item, settings.pool, settings.device), lock, log)


def _poll(one: _Running, settings: WorkSettings) -> Outcome | None:
    """Poll an item's process; begin the next when it has ended. Return None while there is more to do."""
    if one.process is not None:
        code = one.process.poll()
        if code is None:
            return None
        _close(one)
        if code < 0:
            one.lock.close()
            return _outcome(one, 5, f"its process was killed by signal {-code} (was memory short?): see {one.log}")
        if code != 0:
            one.lock.close()
            return _outcome(one, code, _last_line(one.log))
    try:
        following = next(one.jobs, None)
    except (OSError, ValueError) as error:
        one.lock.close()
        return _outcome(one, 5, str(error))
    if following is None:
        one.lock.close()
        return _outcome(one, 0, "")
    doing, job = following
    one.trained, one.measuring = one.trained or "train" in job, "measure" in job
    settings.tell(f"{one.item.called}: {doing}")
    one.output, text = one.log.open("ab"), json.dumps(job)
    one.output.write(f"{text}\n".encode())
    one.output.flush()
    one.process = subprocess.Popen(
        [*settings.program, text],
        stdin=subprocess.DEVNULL,
        stdout=one.output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": settings.threads},
        start_new_session=os.name == "posix",  # Ctrl-C reaches them through us, once
    )
    return None


def _outcome(one: _Running, code: int, why: str) -> Outcome:
    return Outcome(one.item, code, why, time.monotonic() - one.began, one.trained)


def _close(one: _Running) -> None:
    one.process = None
    if one.output is not None:
        one.output.close()
        one.output = None


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("bntt: ") if lines else f"see {log}"


def _stop(running: Sequence[_Running], stopping: Callable[[int], None]) -> None:
    """Ask every process to save and end, and wait for it; a second request does not wait."""
    processes = [one.process for one in running if one.process is not None]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    try:
        if processes:
            stopping(len(processes))
        end = time.monotonic() + PATIENCE
        for process in processes:
            process.wait(max(0.0, end - time.monotonic()))
    except BaseException:
        for process in processes:
            process.kill()
            process.wait()
        raise
    finally:
        for one in running:
            _close(one)
            one.lock.close()
