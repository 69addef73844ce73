"""Shared by all pages: the runs kept in results/, numbers over several starts, tables, and pictures of results."""

from __future__ import annotations

import json
import re
import statistics
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bntt.analysis.result import result_from
from bntt.charts.records import Figure
from bntt.io.archive import unpacked
from bntt.runs.measure import MEASUREMENTS

ROOT = Path(__file__).parents[2]
TEXTS = Path(__file__).parent
RUNS = unpacked(ROOT / "results")
"""The directories of all kept runs."""
Facts = dict[str, Any]


def introduction(page: str) -> str:
    """Read the hand-written beginning of a page."""
    return (TEXTS / f"{page}.md").read_text(encoding="utf-8").rstrip()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read(run: Path) -> Facts:
    """Read the recipe and all JSON files of a run, by the stems of their names."""
    found: Facts = {path.stem: read_json(path) for path in run.glob("*.json")}
    if (run / "recipe.toml").exists():
        found["recipe"] = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    return found


def measured(run: Path, kind: str) -> Facts:
    """Read the record of a measurement that a study kept, or else a command."""
    kept = sorted(run.glob(f"measures/{kind}-*.json"))
    facts: Facts = read_json(kept[0])["values"] if kept else read_json(run / f"{kind}.json")
    return facts


def epochs(run: Path) -> list[Facts]:
    """Read the row of every epoch."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def starts(name: str, study: str = "") -> list[Facts]:
    """Read every start of a run of a study, or ``NAME-SEED`` where no study has it, in order of its seed."""
    runs = read_json(ROOT / "results" / f"{study}.json")["runs"] if study else []
    kept = [
        Path(one["directory"]).name for run in runs if run["name"] == name.partition("-")[2] for one in run["starts"]
    ]
    return [read(RUNS / run) for run in kept] or [read(run) for run in sorted(RUNS.glob(f"{name}-[0-9]"))]


def spread(values: list[float], form: str) -> str:
    """Format mean ± sd over starts, or the only value."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{format(statistics.mean(values), form)} ± {format(statistics.stdev(values), form)}"


def over(found: list[Facts], of: Callable[[Facts], float], form: str) -> str:
    """Format a number of an evaluation, over starts."""
    return spread([of(facts["evaluation"]) for facts in found], form)


def table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    r"""Write a table in Markdown; bars within a cell are escaped, because |γ| would add two cells.

    >>> table(("of", "n"), [["|γ|", "1"]])[2]
    '| \\|γ\\| | 1 |'
    """
    return [_row(heads), "|---" * len(heads) + "|", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in cells) + " |"


def made(facts: Facts) -> str:
    """Say in one line how a run was made."""
    environment = facts["environment"]
    threads = environment["threads"]
    said = f"commit {environment['commit']}, {environment['processor']}, {threads} thread{'s' if threads > 1 else ''}"
    *before, last = environment["command"]
    if last.startswith("{"):  # a study's job
        return f"- a study's run `{json.loads(last)['name']}`{''.join(f', `{one}`' for one in before)}: {said}"
    return f"- `bntt {' '.join([*before, last])}`: {said}"


def figures_of(run: str, stem: str) -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of what was measured on a run, each with the name of its file."""
    path = RUNS / run / f"{stem}.json"
    if not path.exists():
        return
    kind = next(one for one in MEASUREMENTS.values() if f"{stem}-".startswith(f"{one.file or one.name}-"))
    for figure in result_from(kind.record_in(stem), read_json(path)).figures():
        yield "-".join(part for part in (run, stem, figure.stem) if part) + ".svg", figure
