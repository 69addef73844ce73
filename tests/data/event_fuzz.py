"""Recordings with bytes changed, cut, doubled: an error that says so or events, never anything else.

``python -m tests.data.event_fuzz --cases 100000 --sets 100000`` runs many, and as many whole sets
(:mod:`tests.data.set_fuzz`), in a process with a bound on its memory and on the time of each; tests run some.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import DAVIS346, read_aedat2, read_aedat4, read_nmnist
from bntt.io.errors import DataError
from tests.data.damaged import VERSION, archive, array, saved, zipped
from tests.data.events.aedat4_files import recording
from tests.data.guarded import MEMORY as BEYOND
from tests.data.guarded import SECONDS, guarded

SEEDS: dict[str, tuple[Callable[[Path], Events], bytes]] = {}
TIMES = [b"\0\0%c%c" % (i, i) for i in range(60)]
SEEDS["dvs128"] = (read_aedat2, VERSION + b"# a line\r\n" + b"".join(b"\0\0%c\3" % i + TIMES[i] for i in range(60)))
SEEDS["davis"] = (
    partial(read_aedat2, layout=DAVIS346, falling="sort"),
    VERSION + b"".join(b"%c\x10\0\0" % (35 + i % 2) + TIMES[i] for i in range(60)),
)
SEEDS["nmnist"] = (read_nmnist, b"".join(b"%c%c\x80%c\0" % (i % 34, i % 34, i) for i in range(60)) + b"\0\xf0\0\0\0")
SEEDS["npz"] = (archive, saved())
SEEDS["npz packed"] = (archive, zipped(array("<i8", "(3,)", bytes(24)), 8))
FOREIGN = {"aedat4": (read_aedat4, recording(1)), "aedat4 lz4": (read_aedat4, recording(2, lz4=True))}
"""Read by a package that may end the process: only in one of their own."""
MEMORY = 8 << 20
"""Bytes that a reader may take at one time: files here have less than 4,000."""


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: of a byte, a bit, a word to its extremes, a part doubled, taken away or put elsewhere."""
    bytes_ = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at, size = int(rng.integers(0, len(bytes_) + 1)), int(rng.integers(1, 17))
        part = bytes(bytes_[at : at + size])
        match int(rng.integers(0, 7)):
            case 0:
                bytes_[at : at + 1] = rng.bytes(1)
            case 1 if part:
                bytes_[at] ^= 1 << int(rng.integers(0, 8))
            case 2:
                bytes_[at : at + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"####")[size % 4]
            case 3:
                bytes_[at:at] = part
            case 4:
                del bytes_[at : at + size]
            case 5:
                del bytes_[at:]
            case 6:
                place = int(rng.integers(0, len(bytes_) + 1))
                bytes_[place : place + len(part)] = part
    return bytes(bytes_)


def run(
    cases: int,
    first: int = 0,
    before: Callable[[int], None] = lambda case: None,
    *,
    memory: bool = False,
    seeds: dict[str, tuple[Callable[[Path], Events], bytes]] = SEEDS,
) -> Counter[str]:
    """How many files were read, and how many refused.

    Args:
        before: called with the number of each case.
        memory: measure what the readers allocate in Python.
        seeds: files that are changed, with their readers.

    Raises:
        AssertionError: if a reader does anything else, or takes more memory than ``MEMORY``.
    """
    kinds, seen = list(seeds), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one"
        for case in range(first, first + cases):
            before(case)
            rng = np.random.default_rng(case)
            kind = kinds[case % len(kinds)]
            read, content = seeds[kind]
            path.unlink(missing_ok=True)  # a file written over may be waited for until it is on the disk
            path.write_bytes(changed(content, rng))
            if memory:
                tracemalloc.start()
            try:
                events = read(path)
                counts = to_frames(events, Binning(3, min(events.height, 3), min(events.width, 4)))
                assert int(counts.counts.long().sum()) == len(events)
                seen[f"{kind}: read"] += 1
            except DataError as error:
                named = str(path) in str(error)
                seen[f"{kind}: {'refused' if named else 'refused without its name'}"] += 1
            except BaseException as error:
                raise AssertionError(f"case {case} ({kind}): {error!r}") from error
            if memory:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak < MEMORY, f"case {case} ({kind}) took {peak} bytes"
    return seen


def run_all(cases: int, first: int, before: Callable[[int], None]) -> Counter[str]:
    """Those of packages too, where they are installed."""
    foreign = FOREIGN if importlib.util.find_spec("aedat") else {}
    return run(cases, first, before, seeds={**SEEDS, **foreign})


def main() -> None:
    from tests.data.set_fuzz import run_all as run_sets

    parser = argparse.ArgumentParser(prog="python -m tests.data.event_fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="files")
    parser.add_argument("--sets", type=int, default=100_000, help="sets of which something is changed")
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    for what, work, cases in (("files", run_all, chosen.cases), ("sets", run_sets, chosen.sets)):
        if cases:
            began = time.monotonic()
            for kind, count in sorted(guarded(work, cases, chosen.first).items()):
                print(f"{kind}: {count:,}")
            bounds = f"each within {SECONDS} s, all within {BEYOND >> 20} MiB beyond what the process began with"
            print(f"{cases:,} {what} in {time.monotonic() - began:.0f} s, {bounds}", flush=True)


if __name__ == "__main__":
    main()
