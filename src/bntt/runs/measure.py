"""Any measurement on any run: one implementation for the command line, studies and Python."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bntt.analysis.measurement import ArgumentError, Facts, Measurement, Progress, run_names
from bntt.analysis.result import Result, checked_arguments
from bntt.runs.directory import check_folders
from bntt.runs.identity import loaded_digest
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.open_recipe import OpenedRecipe, open_recipe
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.results import check_destination, save_result
from bntt.runs.training.estimate import Clock, spoken


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
        name: a key of :data:`~bntt.analysis.measurements.MEASUREMENTS`, as the verb: "exit", "energy", "robust", ...
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
    >>> from bntt.runs.recipe.datasets import build_data
    >>> from bntt.runs.recipe.file import load_recipe
    >>> small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "data.images=500"]
    >>> recipe, place = load_recipe("demo", small), new_run_directory("demo", Path(tempfile.mkdtemp()))
    >>> for record in train_run(recipe, build_data(recipe), place):
    ...     pass
    >>> measure("drift", place.path, images=50).images
    500
    """
    measurement, folder = get_measurement(name), None if folder is None else Path(folder)
    opened = [
        one if isinstance(one, LoadedRun | OpenedRecipe) else _open(measurement, one, folder, device) for one in runs
    ]
    for one in runs:  # what is opened here cannot have changed
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


def _open(measurement: Measurement, source: str | Path, folder: Path | None, device: str) -> LoadedRun | OpenedRecipe:
    if measurement.opens == "recipe":
        return open_recipe(str(source), folder=folder or Path(measurement.name), device=device)
    return load_run(source, device=device)


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
    return measurement.run(opened, arguments, progress)


class _EnoughError(Exception):
    """Signal that the measurement was timed for long enough."""


class _Stopwatch(Progress):
    """Progress that times every batch (the first, which sets up and warms up, apart) and ends after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.began = seconds, time.perf_counter()
        self.clock, self.each = Clock(), list[float]()

    def __call__(self, samples: int) -> None:
        super().__call__(samples)
        self.each.append(self.clock.lap() / samples)
        if time.perf_counter() - self.began > self.seconds and len(self.each) > 1:
            raise _EnoughError

    def skip(self, samples: int) -> None:
        super().skip(samples)
        self.clock.lap()

    def text(self) -> str:
        """Estimate the time of all that is not kept yet, by the fastest batch: other work makes batches slower."""
        left, took = max(self.done, self.total) - self.skipped_over, time.perf_counter() - self.began
        fastest = min(self.each[1:] or self.each, default=0.0)
        return f"{spoken(fastest * left)}, by the fastest of {len(self.each):,} batches in {took:.1f} s"


def estimate_measurement(
    measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], arguments: Any, seconds: float = 10.0
) -> str:
    """Start a measurement and estimate its time from that of its batches; no result is written."""
    watch = _Stopwatch(seconds)
    with suppress(_EnoughError):
        run_measurement(measurement, opened, arguments, watch)
    return watch.text()
