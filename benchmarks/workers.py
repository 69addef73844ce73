"""Processes that measure: each has one variant, and answers every line that it gets with one line of JSON.

Nothing here imports torch, because a worker may measure the memory of a program without it.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bntt.io.memory import environment


class Worker:
    """A module of this package in a process of its own, which ends with the block; ``title`` names it in errors."""

    def __init__(self, title: str, module: str, told: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        chosen = environment(**settings)
        for name in {"OMP_WAIT_POLICY", "WORLD_SIZE"} - settings.keys():  # of this process, not of its workers
            chosen.pop(name, None)
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", json.dumps(told)]
        self.title, pipe = title, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=chosen)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and wait for its answer."""
        into: Any = self.process.stdin
        out: Any = self.process.stdout
        with suppress(BrokenPipeError):
            into.write(f"{line}\n")
            into.flush()
        answer = out.readline()
        if not answer:  # its traceback is on stderr
            raise RuntimeError(f"{self.title}: its process ended with code {self.process.wait()}")
        return json.loads(answer)  # type: ignore[no-any-return]


def take_turns(title: str, workers: Mapping[str, Worker], line: str, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Ask all workers in turn, round after round, and return the answers by name."""
    from rich.console import Console
    from rich.progress import track

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    terminal = Console(stderr=True)
    for _ in track(range(rounds), title, console=terminal, transient=True, disable=not terminal.is_terminal):
        for name, worker in workers.items():
            found[name].append(worker.ask(line))
    return found


def serve(answer: Callable[[str], Mapping[str, Any]]) -> None:
    """Answer every line until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line.strip())) + "\n")
        sys.stdout.flush()


def return_freed_memory() -> None:
    """Return freed memory to the system, so that leftovers of building a network do not count when it runs."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc's; elsewhere more stays
        libc.malloc_trim(0)
