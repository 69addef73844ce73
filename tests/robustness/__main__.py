"""``python -m tests.robustness [faults|files|stops|kills|promises]``; see the package."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.robustness import faults, files, kills, page, stops
from tests.robustness.promise import PROMISES


def promises(names: Sequence[str], long: bool) -> int:
    """Measure these, or all but the long ones, each in its own process, and make the page; how many could not be."""
    failed = 0
    for name in names or [name for name in page.ordered() if long or not PROMISES[name].long]:
        began = time.monotonic()
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(page.measured, name).result()
        except Exception:  # for a fault of ours: the others are measured, and it stays as it was
            traceback.print_exc()
            failed += 1
            continue
        row = page.of(found, time.monotonic() - began)
        page.save({**page.load(), name: row})  # somebody else may have measured another meanwhile
        print(f"{name:4} {page.MET[found.met].strip('*'):8} {row['seconds']:6.1f} s  {found.text}", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("faults", "files", "stops", "kills", "promises"), help="all in turn"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of promises, or of formats; all if left out")
    parser.add_argument("--inputs", type=int, default=100_000, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0, help="of changed files")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each format")
    parser.add_argument("--ways", type=int, default=99, help="how many ways of training are stopped")
    parser.add_argument("--places", default="", help="stops only where the name of the place holds this")
    parser.add_argument("--kills", type=int, default=200, help="how many")
    parser.add_argument("--long", action="store_true", help="promises that take hours, too")
    parser.add_argument("--page", action="store_true", help="measure no promise: make the page of what was kept")
    asked = parser.parse_args()
    if asked.page:
        page.save(page.load())
        return 0
    parts = {
        "faults": faults.main,
        "files": lambda: files.main(asked.names, asked.inputs, asked.seed, asked.first),
        "stops": lambda: stops.main(asked.ways, asked.places),
        "kills": lambda: len(kills.so_often(asked.kills)[1]),
        "promises": lambda: promises(asked.names, asked.long),
    }
    return sum(part() for what, part in parts.items() if asked.what in (None, what)) > 0


if __name__ == "__main__":
    sys.exit(main())
