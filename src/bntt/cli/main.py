"""``bntt``: verbs, exit codes, and errors in one line."""

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
from collections.abc import Callable, Iterator
from signal import SIGINT
from types import SimpleNamespace
from typing import NoReturn

import tyro

from bntt.cli import console, data, signals
from bntt.cli.exporting import export, import_file
from bntt.cli.measure import verb
from bntt.cli.predict import predict
from bntt.cli.report import list_names, log, report, show
from bntt.cli.study import StudyError, study
from bntt.cli.train import demo, train
from bntt.io.memory import keep_freed_memory
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.training.requests import Interrupted
from bntt.version import __version__

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "train": {"demo": demo, "train": train, "import": import_file, "export": export},
    "measure": {"predict": predict},
    "compare": {"study": study},
    "data": {"data": data.data},
    "report": {"log": log, "report": report, "show": show, "list": list_names},
}
"""Verbs that are not measurements, as the help groups them; measurements join "measure"."""
GONE = {
    "bench": "bench has left the package: run `python -m benchmarks` in a checkout of the source",
    "card": "card is no verb: `bntt export RUN` prints it; in Python, bntt.measure('card', RUN) measures it",
    "equivalence": "equivalence is no verb: the study section-3.3 has it; in Python, bntt.measure('equivalence', RUN)",
}
"""What took the place of a verb that the version before had."""
for _verb in (*(call for group in GROUPS.values() for call in group.values()), *data.VERBS.values()):
    # joins the lines of a paragraph, since tyro would keep some breaks
    inspect.unwrap(_verb).__doc__ = re.sub(r"(?<=\S)\n(?: {8,})?(?=\S)", " ", inspect.cleandoc(_verb.__doc__ or ""))


def grouped_verbs() -> dict[str, dict[str, Callable[..., None]]]:
    """Return every verb, as the help groups them."""
    measured = {name: verb(one) for name, one in MEASUREMENTS.items() if name not in GONE}
    return GROUPS | {"measure": GROUPS["measure"] | measured}


def verbs() -> dict[str, Callable[..., None]]:
    """Return every verb: those that train, show or move files, and one for each measurement that has not gone."""
    return {name: call for group in grouped_verbs().values() for name, call in group.items()}


MACHINE = ("can't allocate memory", "CUDA error", "cuDNN error", "CUDA out of memory", "can't start new thread")
"""Parts of the messages of plain RuntimeErrors of PyTorch or Python that mean that the machine failed."""
STOPS = (KeyboardInterrupt, signals.Terminated, Interrupted)

EXIT_CODES = {
    0: ("ok", "Nothing: the work is done, or the program that read the output has ended (`| head`)."),
    2: ("usage or recipe", "Read the line on stderr: it names the flag or key, what it takes, and the nearest name."),
    3: ("data", "`bntt data where` lists what was found; `bntt data verify NAME` compares it with its checksums."),
    4: ("checkpoint", "The directory is not a run, or a file in it is damaged or from another network: read the line."),
    5: (
        "resource (disk, memory, device, another process of many)",
        "Free it and start again with `--resume`; for memory, `bntt train RECIPE --fit-batch 1GiB`.",
    ),
    6: ("numbers not finite", "Lower `train.lr`, or set `train.clip_norm`; the line names the layer and the step."),
    7: (
        "a result that cannot be used",
        "The numbers were written, but they do not answer the question: read the line.",
    ),
    75: ("run directory in use", "Another process trains there: wait until it ends, or stop it."),
    130: (
        "interrupted (Ctrl-C)",
        "A training saves first (after a second Ctrl-C it has only its last checkpoint): continue with `--resume`. "
        "Repeat any other command.",
    ),
    143: (
        "terminated (SIGTERM, SIGHUP)",
        "A training saves first: continue with `--resume`. Repeat any other command.",
    ),
}
"""Exit codes of the verbs: what each means, and what to do."""
ERRORS = {
    2: "UsageError RecipeError ArgumentError LaunchError OtherSettingsError DeployError",
    3: "DataError",
    4: "CheckpointError PretrainedError BundleError",
    5: "DeviceError BackendError LostProcessError MemoryError OutOfMemoryError OSError",
    6: "NonFiniteError",
    7: "LossBudgetError InvalidResultError",
    75: "RunLockedError",
}
"""Exit codes of errors, by the names of their classes: importing these would import torch."""
DESCRIPTION = f"""\
Batch Normalization Through Time: train spiking networks with few time steps.

{textwrap.fill(f"exit codes: {', '.join(f'{code} {said}' for code, (said, _) in EXIT_CODES.items())}.", 78)}
bntt --with my_parts.py VERB loads your own parts from a file or a package
(repeatable; see docs/how-to/extending.md). --debug shows the traceback of an error."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    if "GOMP_SPINCOUNT" not in os.environ:  # waiting threads leave their cores to other work
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console.prepare()
    before = argparse.ArgumentParser(
        prog="bntt", usage="bntt [--with PARTS] VERB ...", add_help=False, allow_abbrev=False
    )
    before.add_argument("--with", dest="parts", action="append")
    before.add_argument("--debug", action="store_true")
    given, args = before.parse_known_args(argv)
    with signals.installed(), errors_as_codes(debug=given.debug) as ended:
        if given.parts:
            from bntt.runs.parts import load_parts

            load_parts(given.parts)
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


@contextlib.contextmanager
def errors_as_codes(*, debug: bool = False) -> Iterator[SimpleNamespace]:
    """Report an error of the block in one line, and yield what has its exit code ``code`` afterwards."""
    ended = SimpleNamespace(code=0)
    try:
        try:
            yield ended
        finally:
            stopped = isinstance(sys.exception(), STOPS)
            with contextlib.suppress(OSError) if stopped else contextlib.nullcontext(), console.writing():
                sys.stdout.flush()  # here, where a failure can still be reported
    except STOPS as stop:
        if not console.rank():  # only the first of several processes says it
            console.complain(str(stop) or "interrupted")
        ended.code = 130 if getattr(stop, "number", SIGINT) == SIGINT else 143
    except BrokenPipeError:  # the reader has ended: there is nothing more to say
        console.discard(sys.stdout)
    except Exception as error:
        code = exit_code(error)
        if debug or code is None:
            if console.rank() is not None:
                console.complain(f"{type(error).__name__}; its traceback follows")
            raise
        console.complain("; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])]))
        ended.code = code


def _run(args: list[str]) -> None:
    verb, asks_help = next(iter(args), ""), not {"-h", "--help"}.isdisjoint(args)
    if verb and not verb.startswith("-") and verb not in (known := verbs()):
        near = difflib.get_close_matches(verb, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
        raise console.UsageError(GONE.get(verb) or f"unknown verb {verb!r}; {hint}")
    if console.rank() is not None and verb != "train" and not asks_help:
        raise console.UsageError(f"{verb} runs in one process: only train runs in several; leave out torchrun")
    if args == ["--version"]:
        print(f"bntt {__version__}")
        return
    with console.writing() if asks_help else contextlib.nullcontext():  # nothing but help is printed then
        if verb in ("-h", "--help"):
            print(_overview())
        elif verb == "data":
            tyro.extras.subcommand_cli_from_dict(data.verbs(), prog="bntt data", args=args[1:])
        else:
            tyro.extras.subcommand_cli_from_dict(verbs(), prog="bntt", description=DESCRIPTION, args=args)


def _overview() -> str:
    """List every verb in one line, by group."""
    width = shutil.get_terminal_size().columns
    lines = ["usage: bntt [--with PARTS] VERB ...    (bntt VERB --help: its options)", "", *DESCRIPTION.splitlines()]
    for title, group in grouped_verbs().items():
        lines += ["", f"{title}:"]
        for name, call in group.items():
            first = " ".join((call.__doc__ or "").strip().partition("\n\n")[0].split())
            lines += textwrap.wrap(f"  {name:12} {first}", width, subsequent_indent=" " * 15)
    return "\n".join(lines)


def exit_code(error: Exception) -> int | None:
    """Return the documented code of an error, or None for a bug in bntt, which keeps its traceback."""
    if isinstance(error, StudyError):
        return error.code
    if any(said in str(error) for said in MACHINE):
        return 5
    ours = (kind for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in ("bntt", "torch", "builtins"))
    return next((code for kind in ours for code, names in ERRORS.items() if kind.__name__ in names.split()), None)
