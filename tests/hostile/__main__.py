"""``python -m tests.hostile``: many inputs, and what came of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.hostile.formats import FORMATS, here
from tests.hostile.work import Finding, Told, work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all formats together")
    parser.add_argument(
        "--format", action="append", choices=[*FORMATS], help="repeatable; all that are here by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each format")
    parser.add_argument("--keep", type=Path, help="a file that a line a format is added to")
    chosen = parser.parse_args()
    formats = chosen.format or here()
    findings: list[Finding] = []
    print(f"{'format':20} {'inputs':>9} {'read':>9} {'refused':>9} {'findings':>8} {'slowest':>8} {'MiB':>5} {'s':>6}")
    for place, name in enumerate(formats):
        count = chosen.inputs // len(formats) + (place < chosen.inputs % len(formats))
        whole = Told(name)
        for told in work(name, count, chosen.seed, chosen.first):
            add(whole, told)
        tell(whole)
        findings += whole.findings
        if chosen.keep:
            with chosen.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**vars(whole), "seed": chosen.seed, "first": chosen.first}) + "\n")
    for finding in findings:
        print(f"{finding.format} {finding.number}: {finding.what}\n    {finding.again(chosen.seed)}")
    return bool(findings)


def add(whole: Told, part: Told) -> None:
    whole.seen += part.seen
    whole.findings += part.findings
    whole.slowest, whole.growth = max(whole.slowest, part.slowest), max(whole.growth, part.growth)
    whole.seconds += part.seconds


def tell(told: Told) -> None:
    read, refused, found = told.seen["read"], told.seen["refused"], len(told.findings)
    line = f"{told.format:20} {read + refused + found:9,} {read:9,} {refused:9,} {found:8,}"
    print(f"{line} {told.slowest:7.2f}s {told.growth >> 20:5} {told.seconds:6.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
