"""Inputs in a process of their own, with bounds on its memory and time; after one that ended it a new one goes on."""

from __future__ import annotations

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
from typing import Any, NamedTuple, TextIO

import numpy as np

MEMORY = 512 << 20
"""Bytes beyond those that the process has when it begins."""
SECONDS = 10
"""Of processor time, for an input."""
HANGS = 600
"""Of any time: an input that waits for something uses no processor."""
IN_MEMORY = Path("/dev/shm")


class Finding(NamedTuple):
    """One input that came to more than a reading or a refusal."""

    format: str
    number: int
    what: str

    def again(self, seed: int) -> str:
        return f"python -m tests.hostile --format {self.format} --seed {seed} --first {self.number} --inputs 1"


@dataclass
class Told:
    """What came of the inputs of one format."""

    format: str
    seen: Counter[str] = field(default_factory=Counter)
    """"read" and "refused"."""
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of processor time, of one input."""
    seconds: float = 0.0
    growth: int = 0
    """Bytes of memory that the process came to have beyond those of its first input."""


def input_of(name: str, number: int, seed: int, whole: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """The changed file of this number."""
    from tests.hostile.changes import changed

    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    return changed(whole[int(rng.integers(0, len(whole)))], rng, whole, words)


def work(name: str, inputs: int, seed: int = 0, first: int = 0) -> Iterator[Told]:
    """Inputs of one format; what each process of it told."""
    context, at, end = get_context("spawn"), first, first + inputs
    while at < end:
        number = context.Value("q", at)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=([name], range(at, end), seed, number, sender))
        process.start()
        sender.close()
        told, left = Told(name), True
        while left:
            try:
                found = receiver.recv()
            except EOFError:
                left = False
            else:
                told, left = found, _left(found, end - at)
        process.join()
        if ended := _left(told, end - at):
            told.findings.append(Finding(name, number.value, f"ended the process ({process.exitcode})"))
        yield told
        at = number.value + 1 if ended else end


def together(names: Sequence[str], count: int, seed: int = 0) -> list[Told]:
    """A few inputs of several formats in one process, for a test; after a finding that ends it the rest is left."""
    context = get_context("spawn")
    number = context.Value("q", 0)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_process, args=(names, range(count), seed, number, sender))
    process.start()
    sender.close()
    found: dict[str, Told] = {}
    try:
        while True:
            told = receiver.recv()
            found[told.format] = told
    except EOFError:
        process.join()
    last = next((name for name in names if name not in found or _left(found[name], count)), "")
    if last:
        ended = f"ended the process ({process.exitcode})"
        found.setdefault(last, Told(last)).findings.append(Finding(last, number.value, ended))
    return list(found.values())


def _left(told: Told, count: int) -> bool:
    return told.seen.total() + len(told.findings) < count


def _process(names: Sequence[str], numbers: range, seed: int, at: object, sender: Connection) -> None:
    """The process: tells every now and then, and at the end of each format."""
    errors = os.fdopen(os.dup(2), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # what foreign code says when it panics
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    for name in names:
        tempfile.tempdir = None
        with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
            tempfile.tempdir = folder
            os.environ["BNTT_DATA"] = f"{folder}/cache"
            told = Told(name)
            for _ in inputs(name, numbers, seed, Path(folder), told, at, errors):
                sender.send(told)
            sender.send(told)


def inputs(name: str, numbers: range, seed: int, folder: Path, told: Told, at: Any, errors: TextIO) -> Iterator[None]:
    """Read one after another; yields every thousandth."""
    import torch

    from tests.hostile.formats import FORMATS
    from tests.hostile.watch import the_watch

    torch.set_num_threads(1)
    kind, watch = FORMATS[name], the_watch()
    whole = list(kind.make(folder))
    for content in whole:  # imports everything, and shows that what is changed was readable
        kind.read(kind.put(folder, content))
    bound(MEMORY)
    began, start = time.monotonic(), _resident()
    for count, number in enumerate(numbers):
        at.value = number
        faulthandler.dump_traceback_later(HANGS, exit=True, file=errors)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        before = time.process_time()
        content = input_of(name, number, seed, whole, kind.words)
        outcome = _outcome(name, content, folder, watch)
        told.slowest = max(told.slowest, time.process_time() - before)
        if outcome in ("read", "refused"):
            told.seen[outcome] += 1
        else:
            told.findings.append(Finding(name, number, outcome))
        told.growth, told.seconds = max(told.growth, _resident() - start), time.monotonic() - began
        if count % 1000 == 999:
            yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    faulthandler.cancel_dump_traceback_later()


def _outcome(name: str, content: bytes, folder: Path, watch: object) -> str:
    from tests.hostile.formats import FORMATS

    kind = FORMATS[name]
    try:
        path = kind.put(folder, content)
        with watch.within(folder):  # type: ignore[attr-defined]
            kind.read(path)
    except kind.errors as error:
        said = str(error)
        if kind.named and str(folder) not in said:
            return f"refused without the file's name: {said:.200}"
        return "refused" if len(said) < 20_000 else f"refused in {len(said):,} characters"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error!s:.200}"
    return "read"


def bound(memory: int) -> None:
    """Let the address space of this process grow by so many bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
