"""The verbs of all measurements: one function makes each of them from its declaration."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from bntt.analysis.measurement import ArgumentError, Measurement

if TYPE_CHECKING:
    from bntt.runs.open_run import LoadedRun

Run = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Runs = Annotated[
    tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
]
FLAGS = """

    Args:
        runs: the run directory{more}.
        out: folder for the files instead of the run directory.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print them as comma-separated values instead of tables.
    """


def verb(measurement: Measurement) -> Callable[..., None]:
    """The verb of a measurement: its flags are the fields of its arguments."""

    def call(
        runs: Any, arguments: Any, out: Path | None = None, device: str = "cpu", json: bool = False, csv: bool = False
    ) -> None:
        _measure(measurement, runs, arguments, out=out, device=device, json=json, csv=csv)

    # tyro only fills the fields: what they say together is checked where an error is one line
    unchecked = type(measurement.arguments.__name__, (measurement.arguments,), {"__post_init__": lambda self: None})
    call.__name__ = measurement.name
    call.__doc__ = measurement.help + FLAGS.format(more=", or several of the same images" * measurement.several)
    call.__annotations__ |= {
        "runs": Runs if measurement.several else Run,
        "arguments": tyro.conf.OmitArgPrefixes[unchecked],  # type: ignore[misc, valid-type]
        "out": Path | None,
        "device": str,
        "json": bool,
        "csv": bool,
    }
    call.__defaults__ = (unchecked(), None, "cpu", False, False)
    return call


def _measure(
    measurement: Measurement, runs: Any, arguments: Any, *, out: Path | None, device: str, json: bool, csv: bool
) -> None:
    from bntt.analysis.measurement import Progress
    from bntt.analysis.result import checked_arguments
    from bntt.cli import console, sections, streams
    from bntt.runs.measure import find, keep

    if json and csv:
        raise ArgumentError("--json and --csv: choose one")
    asked = checked_arguments(measurement.arguments, vars(arguments))
    opened = [_opened(measurement, run, device) for run in (runs if measurement.several else [runs])]
    with console.progress_of("measuring") as report, warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("default", UserWarning)
        found = find(measurement, opened, asked, Progress(report))
    for warning in given:
        streams.complain(f"warning: {warning.message}")
    if json:
        console.as_json(found.to_json())
    elif csv:
        console.as_csv(found.rows())
    else:
        sections.show(found.title, found.section())
    written = keep(measurement, found, asked, out or opened[0].path)
    if not (json or csv):
        console.line(f"written: {', '.join(str(path) for path in written)}")


def _opened(measurement: Measurement, run: Path, device: str) -> LoadedRun:
    """A run with its data at hand; says so if its network looks untrained."""
    from bntt.analysis import looks_untrained
    from bntt.cli import console, streams
    from bntt.runs.measure import check
    from bntt.runs.open_run import load_run

    loaded = load_run(run, device=device)
    check(measurement, loaded.facts, run)
    with console.status("opening the data"):
        _ = loaded.data
    if looks_untrained(loaded.model.network):
        streams.complain(f"warning: {run}: γ is where it began: this network has hardly been trained")
    return loaded
