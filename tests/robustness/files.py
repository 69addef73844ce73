"""Files of every format changed at random, read in a process with bounds on memory and time: S3.

A reader may give what it read, or raise the error that its format has for a file that is none. Anything else is a
finding: another error, code that runs, a process or a socket that is opened, a write outside the folder, more memory or
time than there is reason for, a process that ends. Each is told with the command that makes it anew.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tests.robustness.changes import changed
from tests.robustness.processes import bound
from tests.robustness.promise import Measured, promise
from tests.robustness.watch import watched

MEMORY = 512 << 20
"""Bytes beyond those that the process has when it begins."""
SECONDS, HANGS = 10, 600
"""Of processor time for an input, and of any time: one that waits for something uses no processor."""


@dataclass
class Told:
    """What came of inputs of one format."""

    format: str
    seen: Counter[str] = field(default_factory=Counter)
    """"read" and "refused"."""
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of processor time, of one input."""
    growth: int = 0
    """Bytes of memory that the process came to have beyond those of its first input."""

    def add(self, more: Told) -> None:
        self.seen += more.seen
        self.findings += more.findings
        self.slowest, self.growth = max(self.slowest, more.slowest), max(self.growth, more.growth)

    def find(self, number: int, seed: int, what: str) -> None:
        again = f"python -m tests.robustness files {self.format} --seed {seed} --first {number} --inputs 1"
        self.findings.append(f"{self.format} {number}: {what}\n    {again}")


def work(names: Sequence[str], count: int, seed: int = 0, first: int = 0) -> list[Told]:
    """So many inputs of each format; after one that ended the process a new one goes on."""
    context, told, left = get_context("spawn"), [Told(name) for name in names], [(name, first) for name in names]
    while left:
        at = context.Array("q", [0, first])
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(left, first + count, seed, at, sender))
        process.start()
        sender.close()
        with contextlib.suppress(EOFError):
            while True:
                more = receiver.recv()
                told[names.index(more.format)].add(more)
        process.join()
        if process.exitcode == 0:
            break
        (name, _), *left = left[at[0] :]
        one = told[names.index(name)]
        one.find(at[1], seed, f"ended the process ({process.exitcode})")
        if at[1] + 1 < first + count and len(one.findings) < 20:  # else it is left
            left.insert(0, (name, at[1] + 1))
    return told


def _process(left: Sequence[tuple[str, int]], end: int, seed: int, at: Any, sender: Connection) -> None:
    """The process: tells every now and then, and at the end of each format."""
    errors, quiet = os.fdopen(os.dup(2), "w"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # what foreign code says when it panics
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    for place, (name, first) in enumerate(left):
        at[:] = (place, first)
        tempfile.tempdir = None
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
            tempfile.tempdir, os.environ["BNTT_DATA"] = folder, f"{folder}/cache"
            for told in _inputs(name, range(first, end), seed, Path(folder), at, errors):
                sender.send(told)


def _inputs(name: str, numbers: range, seed: int, folder: Path, at: Any, errors: TextIO) -> Iterator[Told]:
    """Read one after another; what came of every thousand."""
    import torch

    from tests.robustness.formats import FORMATS

    torch.set_num_threads(1)
    kind, told = FORMATS[name], Told(name)
    whole = list(kind.make(folder))
    for content in whole:  # imports everything, and shows that what is changed was readable
        kind.read(kind.put(folder, content))
    bound(MEMORY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        at[1] = number
        faulthandler.dump_traceback_later(HANGS, exit=True, file=errors)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        began = time.process_time()
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        what = _read(kind, changed(whole[int(rng.integers(0, len(whole)))], rng, whole, kind.words), folder)
        told.slowest = max(told.slowest, time.process_time() - began)
        told.growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if what in ("read", "refused"):
            told.seen[what] += 1
        else:
            told.find(number, seed, what)
        if told.seen.total() == 1000:
            yield told
            told = Told(name)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    faulthandler.cancel_dump_traceback_later()
    yield told


def _read(kind: Any, content: bytes, folder: Path) -> str:
    """What came of one: "read", "refused", or what is wrong."""
    try:
        path = kind.put(folder, content)
        with watched(folder, forbids=True):
            kind.read(path)
    except kind.error as error:
        said = str(error)
        if kind.named and str(folder) not in said:
            return f"refused without the file's name: {said:.200}"
        return "refused" if len(said) < 20_000 else f"refused in {len(said):,} characters"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error!s:.200}"
    return "read"


def main(names: Sequence[str], inputs: int, seed: int, first: int) -> int:
    """Inputs of all formats together; the number of findings."""
    return sum(len(one.findings) for one in _shown(names, inputs, seed, first))


def _shown(names: Sequence[str], inputs: int, seed: int = 0, first: int = 0) -> Iterator[Told]:
    """One format after another, each with its line."""
    from tests.robustness.formats import here

    for name in (names := names or here()):
        (told,) = work([name], -(-inputs // len(names)), seed, first)
        seen = f"{told.seen['read']:9,} read {told.seen['refused']:9,} refused {len(told.findings):4} findings"
        print(f"{name:20} {seen} {told.slowest:7.2f} s {told.growth >> 20:5} MiB", *told.findings, sep="\n", flush=True)
        yield told


@promise("S3", "100,000 changed files: no untyped error, none beyond 2 s and 512 MB", long=True)
def fuzzed() -> Measured:
    """A million inputs of all formats together."""
    told, whole = list(_shown([], 1_000_000)), Told("all")
    for one in told:
        whole.add(one)
    seen, findings, grown = whole.seen, len(whole.findings), whole.growth / 1e6
    said = f"{seen.total() + findings:,} changed files of {len(told)} formats: {seen['read']:,} read, "
    said += (
        f"{seen['refused']:,} refused in words, {findings} findings; at most {whole.slowest:.2f} s and {grown:.0f} MB"
    )
    return Measured(said, not findings and whole.slowest <= 2 and grown <= 512)
