"""Run many cases: ``python -m tests.fuzz --cases 20000 --first 0 [--kinds all] [--seconds N] [--jobs 1]``.

Every second case is an ordinary one, and those between are of each kind at the borders in turn; ``--kinds borders``
leaves the ordinary ones away, and ``--kinds tied,threads`` asks for these alone. A case that was found is run again by
its kind and number: ``--kinds tied --first 7 --cases 1``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, cycle, islice

from tests.fuzz.cases import KINDS
from tests.fuzz.workers import FOUND, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first of every kind")
    parser.add_argument(
        "--kinds", type=chosen_kinds, default=chosen_kinds("all"), help=f"all, borders, ordinary, {', '.join(KINDS)}"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args()
    began, told, ends = time.monotonic(), 0.0, Counter[tuple[str, str]]()
    for verdict in verdicts(islice(names(chosen.kinds, chosen.first), chosen.cases), chosen.jobs):
        ends[verdict.of, verdict.kind] += 1
        ends[verdict.of, "fused"] += verdict.fused
        if verdict.kind in FOUND:
            again = f"--kinds {verdict.of} --first {verdict.case} --cases 1"
            print(f"{verdict.kind}, {again}: {verdict.what}\n", flush=True)
        seconds = time.monotonic() - began
        if seconds - told > 10:
            told = seconds
            print(f"{sum(n for (_, end), n in ends.items() if end != 'fused')} cases in {seconds:.0f} s", flush=True)
        if seconds > chosen.seconds:
            break
    for kind in dict.fromkeys(chosen.kinds):
        print(kind, *(f"{count} {end}" for (of, end), count in sorted(ends.items()) if of == kind), sep="  ")
    return int(any(ends[kind, end] for kind in chosen.kinds for end in FOUND))


def chosen_kinds(text: str) -> tuple[str, ...]:
    """In the order in which they come."""
    if text == "all":
        return tuple(name for kind in KINDS for name in ("ordinary", kind))
    chosen = tuple(KINDS) if text == "borders" else tuple(text.split(","))
    if wrong := [name for name in chosen if name != "ordinary" and name not in KINDS]:
        raise argparse.ArgumentTypeError(f"there is no kind {', '.join(wrong)}: {', '.join(('ordinary', *KINDS))}")
    return chosen


def names(kinds: Sequence[str], first: int = 0) -> Iterator[tuple[str, int]]:
    """One kind after another, over and over; those of a kind are numbered."""
    numbers = {kind: count(first) for kind in kinds}
    return ((kind, next(numbers[kind])) for kind in cycle(kinds))


if __name__ == "__main__":
    sys.exit(main())
