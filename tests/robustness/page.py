"""quality/robustness.json, where what was measured is kept, and quality/robustness.md, which is made of it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from bntt.cli.main import EXIT_CODES
from bntt.runs.environment import environment
from tests.architecture.source import ROOT
from tests.robustness import archives, failing, files, held, kills, stops, trainings, writes  # noqa: F401, which promise
from tests.robustness.faults import FAULTS
from tests.robustness.promise import PROMISES, Measured

FILE, PAGE = ROOT / "quality" / "robustness.json", ROOT / "quality" / "robustness.md"
GROUPS = {"R": "Reliability", "S": "Security", "N": "Numbers", "T": "Evaluation"}
MET = {True: "yes", False: "**no**", None: "not run"}
Row = dict[str, Any]
HEAD = """\
# What goes wrong, and what is promised

Made by `python -m tests.robustness promises`; no number is written by hand. Where tests of a room hold a promise, they
are what was measured.
"""
FAULTS_HEAD = f"""
## Faults

What a user does wrong at the command line, as rows of `tests/robustness/faults.py`: what is done, the exit code, and
the part that the message names. In Python the same mistakes raise an error that names the argument. Exit codes:
{", ".join(f"{code} {said}" for code, said in EXIT_CODES.items())}.

| rows | allowed | refused, by exit code |
|---|---|---|
"""


def measured(name: str) -> Measured:
    """On one thread."""
    torch.set_num_threads(1)
    return PROMISES[name].measure()


def of(measured: Measured, seconds: float) -> Row:
    """With what it was measured on; the page that is written meanwhile makes no commit dirty."""
    facts = {key: environment()[key] for key in ("commit", "python", "torch", "processor")}
    status = ["git", "-C", str(ROOT), "status", "--porcelain", "--", "src", "tests"]
    if not subprocess.run(status, capture_output=True, check=True).stdout:
        facts["commit"] = str(facts["commit"]).removesuffix("-dirty")
    return {"measured": measured.text, "met": measured.met, "seconds": round(seconds, 1), **facts}


def load() -> dict[str, Row]:
    """What was measured so far, by name."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def save(kept: Mapping[str, Row]) -> None:
    """Both files."""
    rows = {name: kept[name] for name in ordered() if name in kept}
    FILE.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


def ordered() -> list[str]:
    return sorted(PROMISES, key=lambda name: (list(GROUPS).index(name[0]), int(name[1:])))


def page(kept: Mapping[str, Row]) -> str:
    """The whole of robustness.md."""
    lines, met, where = [HEAD], Counter[bool | None](), dict[str, list[str]]()
    for name in ordered():
        row = kept.get(name, {"measured": "not run", "met": None})
        if name[1:] == next(other[1:] for other in ordered() if other[0] == name[0]):
            lines += ["", f"| {GROUPS[name[0]]} | promised | measured | met |", "|---|---|---|---|"]
        cells = (name, PROMISES[name].asked, row["measured"], MET[row["met"]])
        lines.append(f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |")
        met[row["met"]] += 1
        if name in kept:
            where.setdefault(f"{row['commit'][:12]}, PyTorch {row['torch']}, {row['processor']}", []).append(name)
    lines[0] += f"\n{len(PROMISES)} promises: {', '.join(f'{met[key]} {word}' for key, word in MET.items())}."
    lines += ["", *(f"- {' '.join(names)}: commit {place}" for place, names in where.items()), FAULTS_HEAD.rstrip()]
    for part, rows in FAULTS.items():
        ends = Counter(row.code for row in rows)
        refused = ", ".join(f"{count} with {code}" for code, count in sorted(ends.items()) if code)
        lines.append(f"| {len(rows)}: {part} | {ends[0]} | {refused} |")
    return "\n".join(lines) + "\n"
