"""The commands of all measurements: one function makes each of them from its declaration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from bntt.analysis.measurement import InvalidResultError, Measurement
from bntt.cli import console
from bntt.cli.train import Overrides
from bntt.registry import options_of

if TYPE_CHECKING:
    from bntt.runs.open_run import LoadedRun, OpenedRecipe

Run = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Runs = Annotated[
    tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
]
Recipe = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
From = Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")]


def command(measurement: Measurement) -> Any:
    """Make a measurement's command: its flags are the fields of its arguments, and those for opening and output."""
    flags = _flags(measurement)
    call: Any = lambda **given: _measure(measurement, given)  # noqa: E731, a def would be checked by its own types
    words = "\n".join(f"        {flag.name}: {words}" for flag, words in flags if words)
    call.__name__, call.__doc__ = measurement.name, f"{measurement.help}\n\n    Args:\n{words}\n    "
    call.__signature__ = Signature([flag for flag, _ in flags])
    call.__annotations__ = {flag.name: flag.annotation for flag, _ in flags}
    return call


def _flags(measurement: Measurement) -> list[tuple[Parameter, str]]:
    """List the flags, each with its help."""
    found: list[tuple[Parameter, str]] = []

    def add(name: str, annotation: Any, words: str, default: Any) -> None:
        found.append((Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation), words))

    if measurement.opens == "recipe":
        add("opened", Recipe, "a name from `bntt list recipes`, or a TOML file.", Parameter.empty)
        add("overrides", Overrides, "a value to change, repeatable: `-s network.num_steps=4`.", ())
    elif measurement.several:
        add("opened", Runs, "the run directory, or several on the same images.", Parameter.empty)
    else:
        add("opened", Run, "the run directory.", Parameter.empty)
    # tyro only fills the fields; they are checked together later, where an error becomes one line
    hints = {
        name: Annotated[one.hint, tyro.conf.arg(help=one.sentence)]  # in one line: tyro would keep the source's breaks
        for name, one in options_of(measurement.arguments).items()
    }
    unchecked = type(
        measurement.arguments.__name__,
        (measurement.arguments,),
        {"__post_init__": lambda self: None, "__annotations__": hints},
    )
    add("measurement", tyro.conf.OmitArgPrefixes[unchecked], "", unchecked())  # type: ignore[misc, valid-type]
    if measurement.second:
        add("second", From, measurement.second, None)
    if measurement.opens == "recipe":
        add("out", Path, "folder of the results.", Path(measurement.name))
    else:
        what = "where its data are; with --out another value of compute, or of evaluate's draws, batch_size or images"
        add("overrides", Overrides, f"{what}: `-s data.root=FOLDER`, `-s compute.precision=fp32`.", ())
        add("out", Path | None, "folder for the files instead of the run directory.", None)
    add("device", str, "cpu, or cuda.", "cpu")
    add("json", bool, "print the numbers as JSON instead of tables.", False)
    add("format", Literal["png", "pdf", "svg"], "format of the pictures.", "png")
    add("csv", bool, "print the numbers as comma-separated values instead of tables.", False)
    return found


def _measure(measurement: Measurement, given: Mapping[str, Any]) -> None:
    from bntt.analysis.measurement import Progress
    from bntt.analysis.result import checked_arguments
    from bntt.runs.directory import check_folders
    from bntt.runs.measure import describe_replaced, run_measurement, save_result, settled

    json, csv, out = given["json"], given["csv"], given["out"]
    console.refuse((json and csv, "--json and --csv: choose one"))
    check_folders(out)
    arguments = checked_arguments(measurement.arguments, vars(given["measurement"]))
    with warnings.catch_warnings(record=True) as caught, console.aside(json or csv):
        warnings.simplefilter("default", UserWarning)
        opened = _opened(measurement, given, arguments)
        arguments = settled(measurement, opened, arguments)
        with console.progress("measuring") as report:
            result = run_measurement(measurement, opened, arguments, Progress(report))
    for warning in caught:
        console.complain(f"warning: {warning.message}")
    if json:
        console.as_json(result.to_json())
    elif csv:
        console.as_csv(result.rows())
    else:
        console.section(result.title, result.section())
    folder = out or opened[0].path
    if note := describe_replaced(measurement, arguments, folder, opened):
        console.complain(f"note: {note}")
    written = save_result(measurement, result, arguments, folder, given["format"], opened if out else ())
    if not (json or csv):
        console.line(f"written: {', '.join(str(path) for path in written)}")
    if result.invalid:
        raise InvalidResultError(result.invalid)


def _opened(measurement: Measurement, given: Mapping[str, Any], arguments: Any) -> Sequence[LoadedRun | OpenedRecipe]:
    """Open a recipe, or runs with their data."""
    from bntt.runs.measure import check_destination, check_measurable
    from bntt.runs.open_run import load_run, open_recipe

    if measurement.opens == "recipe":
        return [open_recipe(given["opened"], given["overrides"], folder=given["out"], device=given["device"])]
    found: list[LoadedRun] = []
    runs: list[Path] = [*given["opened"]] if measurement.several else [given["opened"]]
    for run in [*runs, *filter(None, [given.get("second")])]:
        found.append(loaded := load_run(run, device=given["device"], overrides=given["overrides"]))
        check_destination([loaded], given["out"])
        check_measurable(measurement, loaded.facts, arguments, run)
        with console.status("opening the data"):
            _ = loaded.data
    return found
