"""What the makers of pages share: reading the runs kept in docs/results/, and saying numbers of several starts."""

from __future__ import annotations

import json
import statistics
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNS = HERE / "results"
Facts = dict[str, Any]


def read(run: Path) -> Facts:
    """What was written about one run."""
    found: Facts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in run.glob("*.json")}
    if (run / "recipe.toml").exists():
        found["recipe"] = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    return found


def epochs(run: Path) -> list[Facts]:
    """A row an epoch."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def starts(name: str) -> list[Facts]:
    """Every start of a run, ``NAME-SEED``, in order of its seed."""
    return [read(run) for run in sorted(RUNS.glob(f"{name}-[0-9]"))]


def spread(values: list[float], form: str) -> str:
    """Mean ± sd over starts, or the one."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{format(statistics.mean(values), form)} ± {format(statistics.stdev(values), form)}"


def over(found: list[Facts], of: Callable[[Facts], float], form: str) -> str:
    """A number of an evaluation, over starts."""
    return spread([of(facts["evaluation"]) for facts in found], form)


def table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def made(facts: Facts) -> str:
    """How a run was made, in one line."""
    environment = facts["environment"]
    threads = environment["threads"]
    said = f"commit {environment['commit']}, {environment['processor']}, {threads} thread{'s' if threads > 1 else ''}"
    return f"- `bntt {' '.join(environment['command'])}`: {said}"
