"""quality/promises.json, where what was measured is kept, and quality/promises.md, which is made of it."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

import torch

from bntt.runs.environment import environment
from tests.architecture.source import ROOT
from tests.promises.promise import Measured, Promise
from tests.promises.promises import GROUPS, PROMISES

FILE, PAGE = ROOT / "quality" / "promises.json", ROOT / "quality" / "promises.md"
HEAD = """\
# What is promised, and what was measured

Made by `python -m tests.promises` (`make promises`), of what quality/promises.json keeps: each row says what is asked,
what a program measured, and whether that is enough. Nothing here is written by hand; a promise that is not met says
*no*, with the number, and one that could not be measured says why. Names are those of the project's list.
"""


@dataclasses.dataclass(frozen=True)
class PlanCache:
    """What is kept of one measure."""

    measured: str
    met: bool | None
    seconds: float
    commit: str
    python: str
    torch: str
    processor: str


def of(measured: Measured, seconds: float, commit: str) -> PlanCache:
    """With what it was measured on."""
    return PlanCache(
        measured.text,
        measured.met,
        round(seconds, 1),
        commit,
        platform.python_version(),
        torch.__version__,
        environment()["processor"],
    )


def commit() -> str:
    """Of the source, "-dirty" where src or tests differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        status = [*git, "status", "--porcelain", "--", "src", "tests"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return name.stdout.strip() + ("-dirty" if changed else "")


def load() -> dict[str, PlanCache]:
    """What was measured so far, by name."""
    if not FILE.is_file():
        return {}
    return {name: PlanCache(**row) for name, row in json.loads(FILE.read_text(encoding="utf-8")).items()}


def save(kept: Mapping[str, PlanCache]) -> None:
    """Both files."""
    rows = {promise.name: dataclasses.asdict(kept[promise.name]) for promise in PROMISES if promise.name in kept}
    FILE.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


MET = {True: "yes", False: "**no**", None: "not run"}


def page(kept: Mapping[str, PlanCache]) -> str:
    """The whole of promises.md."""
    answers = [kept[promise.name].met if promise.name in kept else None for promise in PROMISES]
    counts = ", ".join(f"{answers.count(met)} {word.strip('*')}" for met, word in MET.items())
    lines = [HEAD, f"{len(PROMISES)} promises: {counts}."]
    for letter, title in GROUPS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| promise | what is promised | asked | measured | met | how |",
            "|---" * 6 + "|",
        ]
        lines += [_row(promise, kept.get(promise.name)) for promise in PROMISES if promise.name.startswith(letter)]
    return "\n".join([*lines, "", "## Where it was measured", "", *_places(kept)]) + "\n"


def _row(promise: Promise, kept: PlanCache | None) -> str:
    measured = "not run" if kept is None else kept.measured
    met = MET[None if kept is None else kept.met]
    cells = (promise.name, promise.what, promise.asked, measured, met, f"`{promise.how}`")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _places(kept: Mapping[str, PlanCache]) -> list[str]:
    """A line for every machine and commit, with the promises measured there."""
    found: dict[str, list[str]] = {}
    for promise in PROMISES:
        if (row := kept.get(promise.name)) is not None:
            where = f"commit {row.commit}, Python {row.python}, PyTorch {row.torch}, {row.processor}"
            found.setdefault(where, []).append(f"{promise.name} ({_seconds(row)})")
    return [f"- {where}: {', '.join(names)}" for where, names in found.items()]


def _seconds(row: PlanCache) -> str:
    return f"{row.seconds:.0f} s" if row.seconds < 600 else f"{row.seconds / 60:.0f} min"


def describe(promise: Promise, kept: Any) -> str:
    """The line that is printed."""
    return f"{promise.name:4} {MET[kept.met].strip('*'):8} {kept.seconds:6.1f} s  {kept.measured}"
