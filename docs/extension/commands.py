"""Commands as ``--help`` prints them, exit codes, and the files of a run: made from the command line's own tables."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
import textwrap
from unittest.mock import patch

from bntt.analysis.accuracy import EvaluationResult
from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import data, main
from bntt.registry import sentences_of
from bntt.runs.directory import FILES
from bntt.runs.training.epoch_log import EpochResult

WIDTH = "82"
"""Columns of the help: what a page shows without a bar to scroll it by."""


def commands(lines: list[str]) -> str:
    """Expand a block of commands, or a line ``group measure`` for all of a group: the help of each."""
    made: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        for name in names_of(line.removeprefix("group ")) if line.startswith("group ") else [line]:
            made += [f"## bntt {name}", "", "```text", help_of(name), "```", ""]
    return "\n".join(made)


def names_of(group: str) -> list[str]:
    """The commands of a group, as the overview lists them; of "data" those below it."""
    return [f"data {name}" for name in data.COMMANDS] if group == "data" else [*main.grouped_commands()[group]]


def help_of(command: str) -> str:
    """What ``bntt COMMAND --help`` prints."""
    printed = io.StringIO()
    with (
        patch.dict(os.environ, {"COLUMNS": WIDTH, "NO_COLOR": "1"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main.main([*command.split(), "--help"])
    sys.stdout.flush()
    lines = printed.getvalue().strip().splitlines()
    return "\n".join(textwrap.fill(line, int(WIDTH)) if len(line) > int(WIDTH) else line.rstrip() for line in lines)


REMEDIES = {
    0: "Nothing: the work is done, or the program that read the output has ended (`| head`).",
    2: "Read the line on stderr: it names the flag or key, what it takes, and the nearest name.",
    3: "`bntt data where` lists what was found; `bntt data verify NAME` compares it with its checksums.",
    4: "The directory is not a run, or a file in it is damaged or from another network: read the line.",
    5: "Free it and start again with `--resume`; for memory, `bntt train RECIPE --fit-batch 1GiB`.",
    6: "Lower `train.lr`, or set `train.clip_norm`; the line names the layer and the step.",
    7: "The numbers were written, but they do not answer the question: read the line.",
    75: "Another process trains there: wait until it ends, or stop it.",
    130: "A training saves first (after a second Ctrl-C it has only its last checkpoint): continue with `--resume`. "
    "Repeat any other command.",
    143: "A training saves first: continue with `--resume`. Repeat any other command.",
}


def codes(_: list[str]) -> str:
    """Expand to the table of exit codes."""
    rows = [f"| {code} | {said} | {REMEDIES[code]} |" for code, said in main.EXIT_CODES.items()]
    return "\n".join(["| code | means | what to do |", "|---|---|---|", *rows])


RECORDS: dict[str, type] = {"metrics.jsonl": EpochResult, "evaluation.json": EvaluationResult}
"""The record of a file, or of its lines."""


def fields(lines: list[str]) -> str:
    """Expand a file of a run to the table of its fields, those of the record's bases first; some names say it all."""
    rows = []
    for file in filter(None, map(str.strip, lines)):
        kind = RECORDS[file]
        said = {field: text for one in reversed(kind.__mro__) for field, text in sentences_of(one).items()}
        for field in getattr(kind, "model_fields", None) or [one.name for one in dataclasses.fields(kind)]:
            rows.append(f"| `{field}` | {plain(said.get(field, ''))} |")
    return "\n".join(["| field | is |", "|---|---|", *rows])


def plain(text: str) -> str:
    """A docstring's sentence as Markdown in a cell: names of the API as code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return text.replace("|", "\\|")


def files(_: list[str]) -> str:
    """Expand to the table of a run's files, and of those that measurements add."""
    rows = [f"| `{name}` | {said} |" for name, said in FILES.items()]
    known = main.commands()
    makers = {name: f"bntt {name}" if name in known else f"bntt.measure('{name}', run)" for name in MEASUREMENTS}
    rows += [
        f"| `{one.file or one.name}*` | `{makers[one.name]}`: numbers as JSON, and pictures. |"
        for one in MEASUREMENTS.values()
    ]
    return "\n".join(["| file | holds |", "|---|---|", *rows])
