"""Output of the commands: a bar on a terminal, tables, sections of results, and the streams that they are written to.

A stream may be closed, full, without a reader, or in an encoding that lacks γ.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from bntt.charts.records import STEPS, Axis, HeatMap, Lines, Number
from bntt.charts.section import Section

if TYPE_CHECKING:
    from bntt.runs.training.epoch_log import EpochResult, TrainingRecord


class OutputError(OSError):
    """Failure to write to standard output."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or error}")


class UsageError(ValueError):
    """Command line that asks for what cannot be done."""


class _Screen(Console):
    """Console whose reader may end: the work then continues without output. A failure to write is an error."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError as error:
            self.on_broken_pipe()
            if not self.stderr:  # standard output has the numbers, and needs no messages
                raise OutputError(error) from None

    def on_broken_pipe(self) -> None:
        del self._buffer[:]  # otherwise it would go to the other stream, before the numbers
        discard(sys.stderr if self.stderr else sys.stdout)


console = _Screen(highlight=False, markup=False, emoji=False)
SOON, QUIET = 10.0, 60.0
"""Seconds after which a training without a bar says how far it is, at first and from then on."""
MOST_STEPS = 100
"""Most steps that a table shows."""


@contextmanager
def aside(numbers_alone: bool) -> Iterator[None]:
    """Print on standard error in the block if standard output is only for numbers (``--json``, ``--csv``)."""
    before = console.stderr, console.is_interactive
    if numbers_alone:
        console.stderr = True
        console.is_interactive = console.is_terminal and not console.is_dumb_terminal
    try:
        yield
    finally:
        console.stderr, console.is_interactive = before


def line(text: str) -> None:
    """Print a text unchanged, tabs included, and end the line."""
    console.print(Segments([Segment(f"{text}\n")]), crop=False)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and nothing elsewhere. Yields a function of ``(done, total)``."""
    with _bar() as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def training(records: Iterable[TrainingRecord], shares: Sequence[float], images: int) -> None:
    """Show a run as it trains: a line for each epoch, with a bar on a terminal and a line a minute elsewhere."""
    from bntt.runs.training.epoch_log import EpochResult, Notice

    epochs, total, quiet, said, first = len(shares), sum(shares), SOON, 0.0, (0.0, 0.0)
    with _bar() as bar:
        task = bar.add_task("training", total=epochs * images)
        for record in records:
            if isinstance(record, Notice):
                line(record.text)
            elif isinstance(record, EpochResult):
                done = sum(shares[: record.epoch + 1])
                line(_epoch_line(record, epochs, record.seconds * (total - done) / done))
            else:
                what = f"epoch {record.epoch + 1}/{epochs}"
                bar.update(task, completed=record.epoch * images + record.seen, description=what)
                now, done = time.monotonic(), sum(shares[: record.epoch]) + shares[record.epoch] * record.seen / images
                if not said:
                    said, first = now, (now, done)
                elif not console.is_interactive and now - said > quiet:
                    said, quiet = now, QUIET
                    left = duration((now - first[0]) * (total - done) / (done - first[1]))
                    line(f"{what}, loss {record.loss:.3f}: {record.seen:,} of {images:,} images, {left} left")


def as_json(values: Mapping[str, object]) -> None:
    """Print the values as JSON and nothing else."""
    line(json.dumps(values, indent=1))


def as_csv(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows of the same keys as comma-separated values under a line of heads, and nothing else."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    line(text.getvalue().removesuffix("\n"))


def table(title: str, steps: int, rows: Mapping[str, Sequence[str]]) -> None:
    """Print rows over time steps, from 1, in blocks that fit the screen; of many, every few and the last."""
    console.print(title, style="bold", soft_wrap=True)
    shown = range(steps)[:: -1 - (steps - 1) // MOST_STEPS][::-1]  # from the last backwards
    widest = max((len(cell) for cells in rows.values() for cell in cells), default=0)
    per_line = max(1, (console.width - max([12, *(len(name) + 2 for name in rows)])) // max(8, widest + 2))
    for first in range(0, len(shown), per_line):
        stretch = shown[first : first + per_line]
        grid = Table(box=None)
        grid.add_column("", overflow="fold")
        for t in stretch:
            grid.add_column(str(t + 1), justify="right")
        for name, cells in rows.items():
            grid.add_row(name, *(cells[t] for t in stretch))
        _print(grid)


def columns(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text under heads, the first column left-aligned."""
    console.print(title, style="bold", soft_wrap=True)
    grid = Table(box=None)
    for i, head in enumerate(heads):
        grid.add_column(head, justify="right" if i else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell for _, cell in zip(heads, row, strict=True)))
    _print(grid)


def _print(grid: Table) -> None:
    """Print a table; without a terminal, at its full width."""
    if not console.is_terminal:
        grid.width = console.measure(grid, options=console.options.update(width=1 << 20)).maximum
    console.print(grid, crop=False)


def section(title: str, content: Section) -> None:
    """Print a section of results: its text, its tables, and the numbers of its charts over time."""
    line("")
    line(title)
    for words in content.words:
        line(words)
    for grid in (*content.tables, *content.folded):
        columns(grid.caption, grid.columns, ([cell.text for cell in row] for row in grid.rows))
        if grid.note:
            line(grid.note)
    for chart in content.charts:
        if isinstance(chart, Lines) and chart.x == STEPS:
            steps = max((round(x) for one in chart.lines for x in one.x), default=0)
            shown = {}
            for one in chart.lines:
                values = {round(x): y for x, y in zip(one.x, one.y, strict=True) if y is not None}
                shown[one.name] = [_value(values.get(t), chart.y) for t in range(1, steps + 1)]
            table(f"{chart.title}: {chart.y.label}, at step", steps, shown)
        elif isinstance(chart, HeatMap) and chart.x == STEPS:
            rows = zip(chart.rows, chart.values, strict=True)
            cells = {name: [_value(value, chart.value) for value in row] for name, row in rows}
            table(f"{chart.title}: {chart.value.label}, at step", len(chart.columns), cells)
    for gap in content.gaps:
        line(gap)


def _value(value: Number, axis: Axis) -> str:
    """Format a value of a chart for a table.

    >>> _value(0.5455, Axis("accuracy", percent=True)), _value(0.0004, Axis("firing rate", percent=True))
    ('54.5%', '0.0400%')
    >>> _value(1234.5, Axis("spikes")), _value(12.345, Axis("spikes")), _value(None, Axis("spikes"))
    ('1,234', '12.35', '–')
    """
    if value is None:
        return "–"
    if axis.percent:
        return f"{100 * value:#.3g}%".replace(".%", "%")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"  # digits of a column align


@contextmanager
def status(what: str) -> Iterator[Callable[[str], None]]:
    """Show the current activity on a terminal; yields a function that changes the text."""
    if not console.is_terminal:  # without one, rich would end with an empty line
        yield lambda text: None
        return
    with console.status(Text(what)) as shown:
        yield lambda text: shown.update(Text(text))


def duration(seconds: float) -> str:
    """Format a duration: ``75`` → ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _epoch_line(epoch: EpochResult, epochs: int, left: float) -> str:
    number, best = f"{epoch.epoch + 1:>{len(str(epochs))}}/{epochs}", "  best" if epoch.best else ""
    return f"epoch {number}  {epoch}  {duration(epoch.seconds)}, {duration(left)} left{best}"


def shows_bars() -> bool:
    """Return True if a bar can be redrawn in place: not in a file, nor on a dumb terminal such as an editor's."""
    return console.is_terminal and console.is_interactive


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shows_bars() or console.quiet,
    )


def refuse(*cases: tuple[object, str]) -> None:
    """Refuse a command line in the first case that applies."""
    if wrong := next((why for applies, why in cases if applies), ""):
        raise UsageError(wrong)


def prepare() -> None:
    """Open closed streams on the null device, and replace characters that the encoding lacks with question marks."""
    for descriptor in range(3):  # else the next file that is opened would get one of these, and what is printed
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 -- while the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", write_through=False)  # written when flushed, not by each print


@contextmanager
def writing() -> Iterator[None]:
    """Convert a failure to print to :class:`OutputError`; a broken pipe (the reader ended) is left to the caller."""
    try:
        yield
    except OSError as error:
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(error) from None


def discard(stream: TextIO) -> None:
    """Discard everything that is still to be written to a stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_closed_terminal() -> None:
    """Discard what is still to be printed if the window of the terminal has been closed."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def rank() -> int | None:
    """Return this process's rank among several, as torchrun sets it; None for a single process."""
    return int(os.environ.get("RANK", "0")) if os.environ.get("WORLD_SIZE", "1") not in ("", "1") else None


def complain(text: str) -> None:
    """Print one line on standard error, if it can be written; one of several processes gives its rank."""
    which = "" if rank() is None else f"process {rank()}: "
    try:
        sys.stderr.write(f"bntt: {which}{' '.join(text.split())}\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
