"""``bntt``: commands, exit codes, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import NoReturn

import tyro

from bntt.cli import console, data, signals
from bntt.cli.errors import EXIT_CODES, errors_as_codes
from bntt.cli.exporting import export, import_file
from bntt.cli.measure import command
from bntt.cli.predict import predict
from bntt.cli.report import list_names, log, report, show
from bntt.cli.study import study
from bntt.cli.train import demo, train
from bntt.io.memory import keep_freed_memory
from bntt.runs.measurements import MEASUREMENTS
from bntt.version import __version__

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "train": {"demo": demo, "train": train, "import": import_file, "export": export},
    "measure": {"predict": predict},
    "compare": {"study": study},
    "data": {"data": data.data},
    "report": {"log": log, "report": report, "show": show, "list": list_names},
}
"""Commands that are not measurements, as the help groups them; measurements join "measure"."""
NO_COMMANDS = ("card", "equivalence")
"""Measurements that are not commands: ``bntt export`` prints a card, and the study section-3.3 has the equivalence."""
for _one in (*(call for group in GROUPS.values() for call in group.values()), *data.COMMANDS.values()):
    # joins the lines of a paragraph, since tyro would keep some breaks
    inspect.unwrap(_one).__doc__ = re.sub(r"(?<=\S)\n(?: {8,})?(?=\S)", " ", inspect.cleandoc(_one.__doc__ or ""))


def grouped_commands() -> dict[str, dict[str, Callable[..., None]]]:
    """Return every command, as the help groups them."""
    measured = {name: command(one) for name, one in MEASUREMENTS.items() if name not in NO_COMMANDS}
    return GROUPS | {"measure": GROUPS["measure"] | measured}


def commands() -> dict[str, Callable[..., None]]:
    """Return every command: those that train, show or move files, and one for each measurement."""
    return {name: call for group in grouped_commands().values() for name, call in group.items()}


DESCRIPTION = f"""\
Batch Normalization Through Time: train spiking networks with few time steps.

{textwrap.fill(f"exit codes: {', '.join(f'{code} {said}' for code, said in EXIT_CODES.items())}.", 78)}
bntt --with my_parts.py COMMAND loads your own parts from a file
(repeatable; see docs/how-to/extending.md). --threads N sets its threads;
--debug shows the traceback of an error."""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if "GOMP_SPINCOUNT" not in os.environ:  # waiting threads leave their cores to other work
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console.prepare()
    usage = "bntt [--with PARTS] COMMAND ..."
    before = argparse.ArgumentParser(prog="bntt", usage=usage, add_help=False, allow_abbrev=False)
    before.add_argument("--with", dest="parts", action="append")
    before.add_argument("--debug", action="store_true")
    before.add_argument("--threads", type=int)
    given, args = before.parse_known_args(argv)
    with signals.installed(), errors_as_codes(debug=given.debug) as ended:
        if given.parts:
            from bntt.runs.parts import load_parts

            load_parts(given.parts)
        if given.threads is not None:
            console.refuse((given.threads < 1, f"--threads must be 1 or more, got {given.threads}"))
            import torch

            torch.set_num_threads(given.threads)
        _run(args)
    return int(ended.code)


def entry() -> NoReturn:
    """Run :func:`main` as the program ``bntt``, and exit with its code."""
    signals.install()
    keep_freed_memory()
    code = main()
    if code in (130, 143):
        signals.ignore()
    sys.exit(code)


def _run(args: list[str]) -> None:
    command, asks_help = next(iter(args), ""), not {"-h", "--help"}.isdisjoint(args)
    if command and not command.startswith("-") and command not in (known := commands()):
        near = difflib.get_close_matches(command, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
        raise console.UsageError(f"unknown command {command!r}; {hint}")
    if console.rank() is not None and command != "train" and not asks_help:
        raise console.UsageError(f"{command} runs in one process: only train runs in several; leave out torchrun")
    if args == ["--version"]:
        print(f"bntt {__version__}")
        return
    with console.writing() if asks_help else contextlib.nullcontext():  # nothing but help is printed then
        if command in ("-h", "--help"):
            print(_overview())
        elif command == "data":
            tyro.extras.subcommand_cli_from_dict(data.commands(), prog="bntt data", args=args[1:])
        else:
            tyro.extras.subcommand_cli_from_dict(commands(), prog="bntt", description=DESCRIPTION, args=args)


def _overview() -> str:
    """List every command in one line, by group."""
    width = shutil.get_terminal_size().columns
    usage = "usage: bntt [--with PARTS] COMMAND ...    (bntt COMMAND --help: its options)"
    lines = [usage, "", *DESCRIPTION.splitlines()]
    for title, group in grouped_commands().items():
        lines += ["", f"{title}:"]
        for name, call in group.items():
            first = " ".join((call.__doc__ or "").strip().partition("\n\n")[0].split())
            lines += textwrap.wrap(f"  {name:12} {first}", width, subsequent_indent=" " * 15)
    return "\n".join(lines)


if __name__ == "__main__":
    entry()
