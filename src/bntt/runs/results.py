"""Results as files: where they may be written, writing them, and what they replace."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bntt.analysis.measurement import ArgumentError, Measurement, run_names
from bntt.analysis.result import Result
from bntt.charts.files import save_figure
from bntt.io.files import find_object, write_json, write_whole
from bntt.runs.open_recipe import OpenedRecipe
from bntt.runs.open_run import LoadedRun

Format = Literal["png", "pdf", "svg"]
"""File format of figures."""


def check_destination(opened: Sequence[LoadedRun | OpenedRecipe], folder: Path | None) -> None:
    """Refuse to put numbers measured with overridden options where those of a recipe are kept."""
    changed = [one.measured_with for one in opened if isinstance(one, LoadedRun)]
    if any(changed) and ((into := folder or opened[0].path) / "recipe.toml").exists():
        raise ArgumentError(
            f"{into} keeps the numbers of its own recipe, and these are measured with {_as_overrides(changed)}: "
            f"name another folder, --out FOLDER (in Python, folder=)"
        )


def save_result(
    measurement: Measurement,
    result: Result,
    arguments: Any,
    folder: Path,
    form: Format = "png",
    opened: Sequence[LoadedRun | OpenedRecipe] = (),
) -> list[Path]:
    """Write a result, its figures and attachments, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = measurement.stem(arguments)
    written = [folder / f"{stem}.json"]
    origin = _origin(opened)
    told = {"measured_on": origin, "measured_with": _overridden(opened)}
    write_json(written[0], result.to_json() | {name: value for name, value in told.items() if value})
    for figure in result.figures():
        written.append(folder / f"{'-'.join(part for part in (stem, figure.stem) if part)}.{form}")
        save_figure(figure, written[-1])
    for name, content in result.attachments().items():
        written.append(folder / f"{stem}-{name}")
        write_whole(written[-1], content)
    return written


def _origin(opened: Sequence[LoadedRun | OpenedRecipe]) -> dict[str, str]:
    """Return the checksums of the weights of runs, by names that tell them apart, as the result names them."""
    return {name: one.weights_sha256 for name, one in _named(opened).items()}


def _overridden(opened: Sequence[LoadedRun | OpenedRecipe]) -> dict[str, dict[str, Any]]:
    """Return the options that were overridden to measure runs, by the names of :func:`_origin`."""
    return {name: dict(one.measured_with) for name, one in _named(opened).items() if one.measured_with}


def _as_overrides(changed: Iterable[Mapping[str, Any]]) -> str:
    """Format the overridden options of all runs as flags.

    >>> _as_overrides([{"compute.precision": "fp32"}, {"compute.precision": "fp32"}])
    '-s compute.precision=fp32'
    """
    flags = [f"-s {key}={value}" for options in changed for key, value in options.items()]
    return " ".join(dict.fromkeys(flags))


def _named(opened: Sequence[LoadedRun | OpenedRecipe]) -> dict[str, LoadedRun]:
    runs = [one for one in opened if isinstance(one, LoadedRun)]
    return dict(zip(run_names(runs), runs, strict=True))


def describe_replaced(
    measurement: Measurement, arguments: Any, folder: Path, opened: Sequence[LoadedRun | OpenedRecipe] = ()
) -> str:
    """Describe the results that :func:`save_result` will overwrite; "" if none, or if equally measured."""
    file = folder / f"{measurement.stem(arguments)}.json"
    if (kept := find_object(file)) is None:
        return ""
    before, now, runs = kept.get("arguments"), json.loads(json.dumps(vars(arguments))), kept.get("measured_on")
    elsewhere = opened and folder.resolve() not in [one.path.resolve() for one in opened]
    if runs is None and elsewhere and (folder / "recipe.toml").is_file():
        runs = {folder.resolve().name: ""}  # a run's own results do not name it
    values = before.items() if isinstance(before, dict) else ()
    changed = [_as_flag(name, value) for name, value in values if value != now.get(name, value)]
    if isinstance(runs, dict) and runs != (here := _origin(opened)):
        changed.insert(0, f"on {'other weights of ' if runs.keys() == here.keys() else ''}{', '.join(runs)}")
    told, other = kept.get("measured_with"), _overridden(opened)
    if (options := told if isinstance(told, dict) else {}) != other:
        named = _as_overrides(one for one in options.values() if isinstance(one, dict))
        changed.append(f"with {named}" if named else "without -s")
    rows = kept["runs"][1:] if isinstance(kept.get("runs"), list) else []  # what `bntt robust` compared the first with
    compared = [str(row.get("run")) for row in rows if isinstance(row, dict)]
    if not {*compared} <= {*list(_named(opened))[1:]}:
        changed.append(f"next to {', '.join(compared)}")
    return f"replaces {file} (it was measured {', '.join(changed)})" if changed else ""


def _as_flag(name: str, value: Any) -> str:
    """Describe an argument as its flag: "with --draws 2", or "without --draws" where it was left out."""
    flag, values = f"--{name.replace('_', '-')}", value if isinstance(value, list) else [value]
    if value in (None, False, []):
        return f"without {flag}"
    return f"with {flag}" if value is True else f"with {flag} {' '.join(map(str, values))}"
