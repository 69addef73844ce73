"""What a user does wrong, and what comes of it: one function a fault, and quality/faults.md is made from these.

    python -m tests.faults.cases

Numbers are those of the project's list of faults; rows with the same number are its variants.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bntt.cli import main as cli
from tests.faults import (
    cases_archives,
    cases_attacks,
    cases_calls,
    cases_commands,
    cases_data,
    cases_events,
    cases_images,
    cases_runs,
)
from tests.faults.case import Case
from tests.faults.elsewhere import CANNOT, ELSEWHERE

TABLE = Path(__file__).parents[2] / "quality" / "faults.md"
PARTS = [cases_commands, cases_data, cases_events, cases_images, cases_runs, cases_calls, cases_attacks, cases_archives]
CASES: list[Case] = [row for part in PARTS for row in part.CASES]


def outcome(row: Case) -> str:
    """Run a case in a folder and a data cache of its own; paths and lengths of this machine are taken out."""
    before = os.environ.get("BNTT_DATA")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BNTT_DATA"] = f"{folder}/cache"
        try:
            return row.do(Path(folder)).replace(folder, "...").replace(os.sep + "private", "")
        finally:
            del os.environ["BNTT_DATA"]
            if before is not None:
                os.environ["BNTT_DATA"] = before


def cell(text: str) -> str:
    """An outcome as the page shows it."""
    return text.replace("|", "/")


def table(outcomes: list[str]) -> str:
    """The page quality/faults.md."""
    head = (
        "# What happens when something is wrong\n\nMade by `python -m tests.faults.cases`, held to the code by "
        "`tests/faults`. Exit codes: "
        + ", ".join(f"{code} {said}" for code, (said, _) in cli.EXIT_CODES.items())
        + ".\n"
        "Where Python is called instead of the command line, the error is named.\n\n"
        "| fault | what | outcome |\n|---|---|---|\n"
    )
    rows = zip(CASES, outcomes, strict=True)
    lines = [f"| {row.fault} | {row.what} | {cell(text)} |\n" for row, text in rows]
    others = [f"| {number} | {what} | `tests/{test}` |\n" for number, rows in ELSEWHERE.items() for test, what in rows]
    left = [f"| {number} | {why} |\n" for number, why in CANNOT.items()]
    return "".join(
        [
            head,
            *lines,
            "\n## Shown by tests of their own\n\n| fault | what | test |\n|---|---|---|\n",
            *others,
            "\n## What cannot happen\n\n| fault | why |\n|---|---|\n",
            *left,
        ]
    )


if __name__ == "__main__":
    TABLE.write_text(table([outcome(row) for row in CASES]), encoding="utf-8")
    sys.stdout.write(f"wrote {TABLE}\n")
