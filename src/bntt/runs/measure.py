"""Any measurement on any run: one implementation for the command line, studies and Python."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from bntt.analysis.measurement import ArgumentError, Facts, Measurement, Progress
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Result, checked_arguments, result_from
from bntt.charts.files import save_figure
from bntt.io.files import find_object, write_json, write_whole
from bntt.runs.open_run import LoadedRun, OpenedRecipe, load_run, open_recipe
from bntt.runs.stability.measurement import STABILITY as STABILITY  # registers itself
from bntt.runs.training.estimate import Clock, spoken

Format = Literal["png", "pdf", "svg"]
"""File format of figures."""


def measure(
    name: str,
    *runs: str | Path | LoadedRun | OpenedRecipe,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Result:
    """Measure runs, save the result beside the first of them, and return it.

    Args:
        name: a key of :data:`~bntt.analysis.measurements.MEASUREMENTS`.
        runs: run directories or open runs; one, or several for measurements that compare them. A measurement that
            trains takes a recipe's name or file, or an opened recipe.
        device: the device to open them on, "cpu" or "cuda".
        folder: folder to write the files to instead.
        progress: called with the progress.
        arguments: arguments of the measurement, named as its command line flags.

    Raises:
        ArgumentError: on an unknown measurement or invalid arguments, or if the run lacks the numbers it needs.
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
    measurement = measurement_of(name)
    opened = [
        one if isinstance(one, LoadedRun | OpenedRecipe) else _open(measurement, one, folder, device) for one in runs
    ]
    asked = settled(measurement, opened, checked_arguments(measurement.arguments, arguments))
    found = find(measurement, opened, asked, progress or Progress())
    keep(measurement, found, asked, folder or opened[0].path)
    return found


def _open(measurement: Measurement, source: str | Path, folder: Path | None, device: str) -> LoadedRun | OpenedRecipe:
    if measurement.opens == "recipe":
        return open_recipe(str(source), folder=folder or Path(measurement.name), device=device)
    return load_run(source, device=device)


def measurement_of(name: str) -> Measurement:
    """Return the measurement with this name.

    Raises:
        ArgumentError: if there is none.
    """
    if name not in MEASUREMENTS:
        raise ArgumentError(f"no measurement {name!r}: choose one of {', '.join(MEASUREMENTS)}")
    return MEASUREMENTS[name]


def check(measurement: Measurement, facts: Facts, asked: Any, run: Path) -> None:
    """Refuse a run that lacks the numbers this measurement needs.

    Raises:
        ArgumentError: with the reason.
    """
    if why := measurement.refusal(facts, asked):
        raise ArgumentError(f"{run}: {why}: bntt {measurement.name} has nothing to measure there")


def settled(measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], asked: Any) -> Any:
    """Return the arguments with the split that is measured: where a run has no test samples validation, with a warning.

    Raises:
        ArgumentError: if what the measurement chooses on validation would be measured there.
    """
    split = getattr(asked, "split", "")
    runs = [one for one in opened if split and isinstance(one, LoadedRun)]
    lacking = next((one.path for one in runs if not (one.recipe.data.name or len(one.data.test))), None)
    if split == "test" and lacking:
        asked = replace(asked, split="validation")
    if split and asked.split == "validation" and measurement.chooses(asked):
        more = f"; {lacking} has no test samples: call bntt.fit again with test=" if lacking else ": --split test"
        raise ArgumentError(f"bntt {measurement.name} chooses on validation, and is not measured there{more}")
    if split == "test" and lacking:
        warnings.warn(f"{lacking} has no test samples: measured on validation", stacklevel=2)
    return asked


def find(
    measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], asked: Any, progress: Progress
) -> Result:
    """Measure without writing anything.

    Raises:
        ArgumentError: if a run lacks the numbers needed, or the measurement takes exactly one run.
    """
    most = len(opened) if measurement.several else 1 + bool(measurement.second)
    if not 0 < len(opened) <= most:
        wanted = f"one {measurement.opens}, got {len(opened)}" if most == 1 else "a run, or several to be compared"
        raise ArgumentError(f"bntt {measurement.name}: name {wanted}")
    for one in opened:
        check(measurement, one.facts, asked, one.path)
    return measurement.run(opened, asked, progress)


class _EnoughError(Exception):
    """Signal that the measurement was timed for long enough."""


class _Stopwatch(Progress):
    """Progress that times every batch, the first apart, which sets up and warms up, and ends after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.began, self.skipped = seconds, time.perf_counter(), 0
        self.clock, self.each = Clock(), list[float]()

    def __call__(self, samples: int) -> None:
        super().__call__(samples)
        self.each.append(self.clock.lap() / samples)
        if time.perf_counter() - self.began > self.seconds and len(self.each) > 1:
            raise _EnoughError

    def skip(self, samples: int) -> None:
        super().skip(samples)
        self.skipped += samples
        self.clock.lap()

    def text(self) -> str:
        """Foretell the time of all that need be done by the fastest batch: a busy machine makes others slower."""
        left, took = max(self.done, self.total) - self.skipped, time.perf_counter() - self.began
        fastest = min(self.each[1:] or self.each, default=0.0)
        return f"{spoken(fastest * left)}, by the fastest of {len(self.each):,} batches in {took:.1f} s"


def estimated(
    measurement: Measurement, opened: Sequence[LoadedRun | OpenedRecipe], asked: Any, seconds: float = 10.0
) -> str:
    """Start a measurement and estimate its time from that of its batches; no result is written.

    Measurements that save parts as they go (attacks, stability) keep the finished ones for the full measurement, whose
    time is then estimated without them.

    Args:
        seconds: time after which it stops, at the next batch, but not before the second.

    Raises:
        ArgumentError: as :func:`find`.
    """
    watch = _Stopwatch(seconds)
    with suppress(_EnoughError):
        find(measurement, opened, asked, watch)
    return watch.text()


def keep(measurement: Measurement, found: Result, asked: Any, folder: Path, form: Format = "png") -> list[Path]:
    """Write a result, its figures and attachments, each atomically.

    Args:
        form: file format of the figures.

    Returns:
        The files.

    Raises:
        OSError: if they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = measurement.stem(asked)
    written = [folder / f"{stem}.json"]
    write_json(written[0], found.to_json())
    for figure in found.figures():
        written.append(folder / f"{'-'.join(part for part in (stem, figure.stem) if part)}.{form}")
        save_figure(figure, written[-1])
    for name, content in found.attachments().items():
        written.append(folder / f"{stem}-{name}")
        write_whole(written[-1], content)
    return written


def replaced(measurement: Measurement, asked: Any, folder: Path) -> str:
    """Describe the results that :func:`keep` will overwrite; "" if none, or if they have the same arguments.

    >>> from tempfile import mkdtemp
    >>> folder, drift = Path(mkdtemp()), MEASUREMENTS["drift"]
    >>> write_json(folder / "drift.json", {"arguments": {"images": 900}})
    >>> replaced(drift, drift.arguments(), folder).partition("drift.json")[2]
    ', which was asked for with images 900'
    """
    file = folder / f"{measurement.stem(asked)}.json"
    before = (find_object(file) or {}).get("arguments")
    now = {one.name: getattr(asked, one.name) for one in fields(asked)}
    said = before.items() if isinstance(before, dict) else ()
    changed = [f"{key} {value}" for key, value in said if value != now.get(key)]
    return f"replaces {file}, which was asked for with {', '.join(changed)}" if changed else ""


def kept(measurement: Measurement, asked: Any, folder: Path) -> Result | None:
    """Return the saved result if it was measured with the same arguments, else None."""
    stem = measurement.stem(asked)
    values: Mapping[str, Any] | None = find_object(folder / f"{stem}.json")
    with suppress(ValueError):
        found = result_from(measurement.record_in(stem), values)
        return found if getattr(found, "arguments", None) == asked else None
    return None
