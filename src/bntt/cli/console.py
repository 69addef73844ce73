"""What the verbs print: progress (a bar on a terminal, plain lines elsewhere), tables, results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bntt.experiments.run import EpochResult, RunResult
from bntt.training.fit import StepRecord

console = Console(highlight=False)
QUIET = 60.0
"""Seconds without a word, at the most, where there is no bar."""


def line(text: str) -> None:
    """One line of text, as it is."""
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over ``total`` images on a terminal; nothing elsewhere. Yields the function that advances it."""
    with _bar() as bar:
        task = bar.add_task(what, total=total)
        yield lambda images: bar.advance(task, images)


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """As :func:`progress`, for work that tells its total as it goes: yields a function of ``(done, total)``."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def training(records: Iterable[StepRecord | EpochResult], epochs: int, images: int) -> None:
    """Show a run as it trains: a line for each epoch, with a bar on a terminal, and a line a minute elsewhere."""
    seen, spoke = 0, time.monotonic()
    with _bar() as bar:
        task = bar.add_task("training", total=epochs * images)
        for record in records:
            if isinstance(record, EpochResult):
                line(_epoch_line(record, epochs))
                seen, spoke = 0, time.monotonic()
                continue
            seen += record.samples
            done = record.epoch * images + seen
            bar.update(task, completed=done, description=f"epoch {record.epoch + 1}/{epochs}")
            if not console.is_terminal and time.monotonic() - spoke > QUIET:
                line(f"epoch {record.epoch + 1}/{epochs}, {seen / images:.0%} of its images  loss {record.loss:.3f}")
                spoke = time.monotonic()


def result(outcome: RunResult) -> None:
    """Accuracy with its spread and interval, then accuracy, γ and firing rates over time."""
    accuracy, activity = outcome.evaluation.accuracy, outcome.evaluation.activity
    low, high = accuracy.interval
    line("")
    line(
        f"{outcome.split} accuracy {accuracy.mean:.1%} ± {accuracy.spread:.1%} "
        f"(sd over {len(accuracy.correct)} Poisson seeds; "
        f"95% interval for {accuracy.images:,} images {low:.1%} to {high:.1%}), epoch {outcome.epoch + 1}"
    )
    steps = len(accuracy.over_time)
    table("accuracy if stopped after step", steps, {outcome.split: [f"{a:.1%}" for a in accuracy.over_time]})
    gamma = {name: [f"{g:.2f}" for g in row.tolist()] for name, row in outcome.gamma.magnitude.items()}
    if gamma:
        table("mean |γ| at step", steps, gamma)
    rates = {name: [f"{r:.1%}" for r in activity.rate(name).tolist()] for name in activity.spikes}
    table("firing rate at step (spikes per neuron)", steps, rates)
    line(f"{activity.spikes_per_image():,.0f} spikes per image in all layers and steps")


def as_json(values: Mapping[str, object]) -> None:
    """The values as JSON and nothing else."""
    console.print(json.dumps(values, indent=1), markup=False, soft_wrap=True)


def table(title: str, steps: int, rows: Mapping[str, Sequence[str]]) -> None:
    """Rows over time steps, numbered from 1; a long time is cut into stretches that fit the screen."""
    console.print(title, style="bold", markup=False)
    per_line = max(1, (console.width - 12) // 8)
    for first in range(0, steps, per_line):
        stretch = range(first, min(first + per_line, steps))
        grid = Table(box=None)
        grid.add_column("")
        for t in stretch:
            grid.add_column(str(t + 1), justify="right")
        for name, cells in rows.items():
            grid.add_row(name, *(cells[t] for t in stretch))
        console.print(grid)


def duration(seconds: float) -> str:
    """``75`` → ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _epoch_line(epoch: EpochResult, epochs: int) -> str:
    left = epoch.seconds / (epoch.epoch + 1) * (epochs - epoch.epoch - 1)
    best = "  best" if epoch.best else ""
    return (
        f"epoch {epoch.epoch + 1:>{len(str(epochs))}}/{epochs}  loss {epoch.train_loss:.3f}  "
        f"train {epoch.train_accuracy:.1%}  validation {epoch.validation_accuracy:.1%}  lr {epoch.lr:.3g}  "
        f"{duration(epoch.seconds)}, {duration(left)} left{best}"
    )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
