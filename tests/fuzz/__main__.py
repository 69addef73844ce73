"""Run many cases: ``python -m tests.fuzz --cases 20000 --first 0 [--kinds all] [--seconds N] [--jobs 1]``.

Every second case is an ordinary one, and those between are of each kind at the borders in turn; ``--kinds borders``
leaves the ordinary ones away, and ``--kinds tied,threads`` asks for these alone. A case that was found is run again by
its kind and number: ``--kinds tied --first 7 --cases 1``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, cycle, islice

from tests.fuzz.borders.kinds import KINDS
from tests.fuzz.workers import FOUND, Name, verdicts

Ends = dict[str, Counter[str]]
"""How many cases of a kind ended in which way."""


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
    began, told, ends = time.monotonic(), 0.0, defaultdict[str, Counter[str]](Counter)
    for verdict in verdicts(islice(names(chosen.kinds, chosen.first), chosen.cases), chosen.jobs):
        ends[verdict.of][verdict.kind] += 1
        ends[verdict.of]["fused"] += verdict.fused
        if verdict.kind in FOUND:
            again = f"--kinds {verdict.of} --first {verdict.case} --cases 1"
            print(f"{verdict.kind}, {again}: {verdict.what}\n", flush=True)
        seconds = time.monotonic() - began
        if seconds - told > 10:
            told = seconds
            print(_total(ends, seconds), flush=True)
        if seconds > chosen.seconds:
            break
    print(table(ends), _total(ends, time.monotonic() - began), sep="\n")
    return int(any(counts[end] for counts in ends.values() for end in FOUND))


def chosen_kinds(text: str) -> tuple[str, ...]:
    """In the order in which they come."""
    if text == "all":
        return tuple(name for kind in KINDS for name in ("ordinary", kind))
    chosen = tuple(KINDS) if text == "borders" else tuple(text.split(","))
    if wrong := [name for name in chosen if name != "ordinary" and name not in KINDS]:
        raise argparse.ArgumentTypeError(f"there is no kind {', '.join(wrong)}: {', '.join(('ordinary', *KINDS))}")
    return chosen


def names(kinds: Sequence[str], first: int = 0) -> Iterator[Name]:
    """One kind after another, over and over; those of a kind are numbered."""
    numbers = {kind: count(first) for kind in kinds}
    return ((kind, next(numbers[kind])) for kind in cycle(kinds))


def table(ends: Ends) -> str:
    """A line for every kind."""
    lines = [f"{'kind':16}{'cases':>8}{'different':>10}{'refused':>9}{'errors':>8}{'ties':>7}{'noise':>7}{'fused':>8}"]
    for kind, counts in ends.items():
        errors = sum(counts[end] for end in FOUND if end != "different")
        done = counts.total() - counts["fused"]
        shown = counts["different"], counts["refused"], errors, counts["tie"], counts["noise"], counts["fused"]
        widths = (10, 9, 8, 7, 7, 8)
        lines.append(f"{kind:16}{done:8}" + "".join(f"{n:{width}}" for n, width in zip(shown, widths, strict=True)))
    return "\n".join(lines)


def _total(ends: Ends, seconds: float) -> str:
    total = sum(ends.values(), Counter[str]())
    fused = total.pop("fused", 0)
    done = total.total()
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(total.items()))
    return f"{done} cases: {counts}; {fused} fused throughout; {done / seconds:.0f} cases/s"


if __name__ == "__main__":
    sys.exit(main())
