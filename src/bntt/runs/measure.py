"""Any measurement on any run, and its files: one implementation for the command line, studies and Python."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from bntt.analysis.card import CARD, CardArguments, CardResult
from bntt.analysis.card.hardware_profile import hardware_profile
from bntt.analysis.measurement import ArgumentError, Facts, Measurement, Progress, run_names
from bntt.analysis.result import Result, checked_arguments
from bntt.charts.files import save_figure
from bntt.deploy.description import Description
from bntt.io.checkpoint import CheckpointError
from bntt.io.errors import DataError
from bntt.io.files import find_object, write_json
from bntt.models import pretrained, pretrained_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.runs.directory import check_folders
from bntt.runs.identity import loaded_digest
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.open_run import LoadedRun, OpenedRecipe, load_run, open_recipe


def measure(
    name: str,
    *runs: str | Path | LoadedRun | OpenedRecipe,
    device: str = "cpu",
    folder: str | Path | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Result:
    """Measure runs, save the result in the directory of the first, and return it.

    Args:
        name: a key of :data:`~bntt.analysis.measurements.MEASUREMENTS`, as the command: "exit", "energy", "robust", ...
        *runs: run directories or loaded runs; one, or several for measurements that compare them. A measurement that
            trains takes the name or file of a recipe, or an opened recipe.
        device: the device to open them on, "cpu" or "cuda".
        folder: another folder to write the files to.
        progress: called with the progress.
        **arguments: arguments of the measurement, named as its command line flags.

    Returns:
        The measurement's result, a record that is also saved as ``<name>.json``.

    Raises:
        ArgumentError: on an unknown measurement or invalid arguments, if the run lacks the numbers it needs, was opened
            with overrides and the folder is a run directory, or has a model that was changed since.
        CheckpointError: if a directory is not a run, or cannot be measured.
        DataError: if its dataset is missing or damaged, or it has no samples to measure on.
        OSError: if the files cannot be written.

    >>> import tempfile
    >>> from bntt.runs.training.train import train_run
    >>> from bntt.runs.directory import new_run_directory
    >>> from bntt.runs.recipe.build import build_data
    >>> from bntt.runs.recipe.file import load_recipe
    >>> small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "data.images=500"]
    >>> recipe, place = load_recipe("demo", small), new_run_directory("demo", Path(tempfile.mkdtemp()))
    >>> for record in train_run(recipe, build_data(recipe), place):
    ...     pass
    >>> measure("drift", place.path, images=50).images
    500
    """
    measurement, folder = get_measurement(name), None if folder is None else Path(folder)
    opened = list[LoadedRun | OpenedRecipe]()
    for one in runs:
        if isinstance(one, LoadedRun | OpenedRecipe):
            opened.append(one)
        elif measurement.opens == "recipe":
            opened.append(open_recipe(str(one), folder=folder or Path(name), device=device))
        else:
            opened.append(load_run(one, device=device))
        if isinstance(one, LoadedRun) and one.state_sha256 not in ("", loaded_digest(one.model)):
            raise ArgumentError(
                f"{one.path}: its model was changed after load_run, and what is saved here counts as the run's: "
                f"measure the model with the functions of bntt.analysis"
            )
    check_folders(folder, *(one.path for one in opened[:1] if not folder))
    check_destination(opened, folder)
    checked = settled(measurement, opened, checked_arguments(measurement.arguments, arguments))
    result = run_measurement(measurement, opened, checked, progress or Progress())
    save_result(measurement, result, checked, folder or opened[0].path, opened=opened if folder else ())
    return result


def get_measurement(name: str) -> Measurement:
    """Return the measurement with this name."""
    if name not in MEASUREMENTS:
        raise ArgumentError(f"no measurement {name!r}: choose one of {', '.join(MEASUREMENTS)}")
    return MEASUREMENTS[name]


def check_measurable(measurement: Measurement, facts: Facts, arguments: Any, run: Path) -> None:
    """Refuse a run that lacks the numbers this measurement needs."""
    if why := measurement.refusal(facts, arguments):
        raise ArgumentError(f"{run}: {why}: {measurement.name} has nothing to measure there")


def settled(measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], arguments: Any) -> Any:
    """Return the arguments with the split to measure: if a run has no test samples, validation, with a warning."""
    split = getattr(arguments, "split", "")
    runs = [one for one in opened if split and isinstance(one, LoadedRun)]
    lacking = next((one.path for one in runs if not (one.recipe.data.name or len(one.data.test))), None)
    if split == "test" and lacking:
        arguments = replace(arguments, split="validation")
    if split and arguments.split == "validation" and measurement.chooses(arguments):
        more = f"; {lacking} has no test samples: call bntt.fit again with test=" if lacking else ": --split test"
        raise ArgumentError(f"bntt {measurement.name} chooses on validation, so it cannot measure there{more}")
    if split == "test" and lacking:
        warnings.warn(f"{lacking} has no test samples: measured on validation", stacklevel=2)
    return arguments


def run_measurement(
    measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], arguments: Any, progress: Progress
) -> Result:
    """Measure without writing anything."""
    most = len(opened) if measurement.several else 1 + bool(measurement.second)
    if not 0 < len(opened) <= most:
        wanted = f"one {measurement.opens}, got {len(opened)}" if most == 1 else "a run, or several to be compared"
        raise ArgumentError(f"{measurement.name}: name {wanted}")
    run_names([one for one in opened if isinstance(one, LoadedRun)])  # refuses a run that is given twice
    for one in opened:
        check_measurable(measurement, one.facts, arguments, one.path)
    _, measure = measurement.variants.get(measurement.variant(arguments), (None, measurement.measure))
    try:
        return measure(opened if measurement.several or measurement.second else opened[0], arguments, progress)
    except (TypeError, ValueError) as error:  # what a network lacks
        if type(error) not in (TypeError, ValueError):
            raise
        raise ArgumentError(f"{opened[0].path}: {error}") from error


Format = Literal["png", "pdf", "svg"]
"""File format of figures."""


def check_destination(opened: Sequence[LoadedRun | OpenedRecipe], folder: Path | None) -> None:
    """Refuse to put numbers measured with overridden options where those of a recipe are kept."""
    changed = [one.measured_with for one in opened if isinstance(one, LoadedRun)]
    if any(changed) and ((into := folder or opened[0].path) / "recipe.toml").exists():
        flags = dict.fromkeys(f"-s {key}={value}" for options in changed for key, value in options.items())
        raise ArgumentError(
            f"{into} keeps the numbers of its own recipe, and these are measured with {' '.join(flags)}: "
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
    """Write a result and its figures, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = measurement.stem(arguments)
    written = [folder / f"{stem}.json"]
    told = {"measured_on": _by_name(opened, "weights_sha256"), "measured_with": _by_name(opened, "measured_with")}
    write_json(written[0], result.to_json() | {name: value for name, value in told.items() if value})
    for figure in result.figures():
        written.append(folder / f"{'-'.join(part for part in (stem, figure.stem) if part)}.{form}")
        save_figure(figure, written[-1])
    return written


def _by_name(opened: Sequence[LoadedRun | OpenedRecipe], what: str) -> dict[str, Any]:
    """Return an attribute of every run that has a value there, by names that tell the runs apart."""
    runs = [one for one in opened if isinstance(one, LoadedRun)]
    return {name: value for name, one in zip(run_names(runs), runs, strict=True) if (value := getattr(one, what))}


def describe_replaced(
    measurement: Measurement, arguments: Any, folder: Path, opened: Sequence[LoadedRun | OpenedRecipe] = ()
) -> str:
    """Name the result that :func:`save_result` will overwrite, and what it was measured with; "" if with the same."""
    file = folder / f"{measurement.stem(arguments)}.json"
    kept, now = find_object(file) or {}, json.loads(json.dumps(vars(arguments)))
    before, runs, own = kept.get("arguments"), kept.get("measured_on") or {}, [one.path.resolve() for one in opened]
    values = before.items() if isinstance(before, dict) else ()
    changed = [f"{name} = {value!r}" for name, value in values if value != now.get(name, value)]
    if kept and runs != _by_name(opened, "weights_sha256") and (runs or folder.resolve() not in own):
        changed.append("other runs or weights")
    if kept and (kept.get("measured_with") or {}) != _by_name(opened, "measured_with"):
        changed.append("other values of -s")
    return f"replaces {file} (it was measured with {', '.join(changed)})" if changed else ""


def card_of_run(run: LoadedRun, made: Description, progress: Progress) -> CardResult:
    """Return the card of a run; if its data is missing, only what needs none, and the reason."""
    try:
        _ = run.data
    except (DataError, CheckpointError) as error:
        return _card_without_data(run.model, made, run.recipe.data.name, str(error))
    found = run_measurement(CARD, [run], settled(CARD, [run], CardArguments()), progress)
    assert isinstance(found, CardResult)
    return found


def card_of_pretrained(name: str, made: Description) -> CardResult:
    """Return the card of a network that comes with the package, limited to what needs no data.

    >>> from bntt.runs.exported import describe_pretrained
    >>> card_of_pretrained("fashion-mnist-vgg6", describe_pretrained("fashion-mnist-vgg6")).state_bytes
    151080
    """
    missing = f"no data lie beside {name}, which comes with the package: train its recipe, and export the run"
    return _card_without_data(pretrained(name), made, pretrained_facts(name).dataset, missing)


def _card_without_data(model: SpikingClassifier, made: Description, dataset: str, missing: str) -> CardResult:
    try:
        found = hardware_profile(model, input_shape=made.input_shape)
    except TypeError as error:
        raise ArgumentError(str(error)) from None
    asked = CardArguments()
    return CardResult(arguments=asked, dataset=dataset, split=asked.split, missing=missing, **dict(found))
