"""The record of an early exit of all samples at one step: rules side by side, and the results of every threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Context
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.measurement import Split
from bntt.analysis.result import Metric, Number, OverSteps, Record, Result, Share
from bntt.charts.records import STEPS, Axis, Chart, Figure, Level, Line, Lines, over_steps
from bntt.charts.section import Cell, Section, Table, gap, plural, share

GAMMA = Axis("mean |γ| over channels", low=0)
DEVIATION = Axis("mean σ̄ over channels", low=0)
THRESHOLD = Axis("threshold of mean |γ|", low=0)
UNTIL = Axis("steps until exit", whole=True, low=0)
STOPPED = "accuracy at the exit"
PAPER_THRESHOLD = 0.1
"""Threshold of the paper's Figure 4."""
Reading = Literal["magnitude", "signed", "relative"]
"""The mean over channels that is compared with the threshold, see :class:`~bntt.analysis.GammaProfile`: that of |γ|;
that of γ, as the paper words it; or that of |γ|/σ̄ in the unit of γ."""
READINGS: dict[Reading, str] = {"magnitude": "mean |γ|", "signed": "mean γ (paper)", "relative": "mean |γ|/σ̄"}
SHOWN = 0.12
"""Range of accuracy shown below the highest."""


class Stop(Record):
    """The stop by one rule."""

    steps: int
    threshold: Number
    """The highest threshold that stops there; None for a truncation."""
    validation_accuracy: Share
    validation_lost: float
    """Accuracy lost compared with all steps; negative if the stop is more accurate."""
    test_accuracy: Number = None
    test_lost: Number = None
    """Accuracy lost on the test split; None if only validation was measured."""

    def measured(self, split: str) -> tuple[Number, Number]:
        """Return accuracy and loss on a split."""
        if split == "validation":
            return self.validation_accuracy, self.validation_lost
        return self.test_accuracy, self.test_lost


class GridRow(Record):
    """One number of steps, with the range of thresholds that stop there: above one, up to the other."""

    steps: int
    largest_mean_gamma: Number
    """The largest mean of all layers at this step; None if no γ has a path to the readout."""
    threshold_above: Number
    """Lower end of the thresholds, excluded; None if no threshold stops here."""
    threshold_to: Number
    """Upper end of the thresholds, included; None if there is no highest."""
    validation_accuracy: Share
    test_accuracy: Number = None


class EarlyExit(Result):
    """The part common to the records of all early exits: their choice and measurement."""

    arguments: ExitArguments | None = None
    """The arguments; None in older files, which do not have them."""
    split: Split
    loss_allowed: float
    """The allowed loss, as a share: 0.005 is half a point."""
    draws: int

    def spoken(self, images: int) -> str:
        """Describe the images and draws that were measured."""
        return f"{plural(images, f'{self.split} image')}, {plural(self.draws, 'draw')} of each"

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)  # fields of one split have no numbers of the other


class ExitResult(EarlyExit):
    """The early exit of one run, by γ and by truncation."""

    steps: int
    threshold: Number
    chosen_on: Literal["validation", "stated"]
    data_sha256: Mapping[str, str]
    weights_sha256: str
    num_steps: int
    validation_images: int
    test_images: int | None = None
    chosen: Stop
    by_reading: Mapping[Reading, Stop | None]
    """The stop by every reading of γ; None if no threshold stays within the loss."""
    truncation: Stop
    """The fewest steps within the loss, regardless of γ."""
    paper_threshold: Stop
    grid: Sequence[GridRow]
    deviation: Mapping[str, OverSteps]
    gamma_magnitude: Mapping[str, OverSteps]
    gamma_signed: Mapping[str, OverSteps]
    gamma_relative: Mapping[str, OverSteps]
    driven: Mapping[str, tuple[int, int]]
    """The first step, from 0, whose γ has a path to the readout, and the one after the last."""

    @model_validator(mode="after")
    def _fits(self) -> ExitResult:
        """Reject a file whose parts differ in their numbers of steps or layers."""
        stops = (self.chosen, self.truncation, self.paper_threshold, *self.by_reading.values())
        if not self.grid or [row.steps for row in self.grid] != list(range(1, self.num_steps + 1)):
            raise ValueError(f"the grid must have one row for each of {self.num_steps} steps")
        if any(not 1 <= steps <= self.num_steps for steps in (self.steps, *(stop.steps for stop in stops if stop))):
            raise ValueError(f"a stop is not within {self.num_steps} steps")
        if not self.driven.keys() >= self.gamma_magnitude.keys() | self.deviation.keys():
            raise ValueError("driven names fewer layers than γ has")
        return self

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "exit-steps": Metric("steps until the exit", "", lambda r, at: r.chosen.steps, digits=0),
        "exit-accuracy": Metric("accuracy at the exit", "%", lambda r, at: _points(r.chosen.test_accuracy)),
        "exit-lost": Metric("points lost at the exit", "points", lambda r, at: _points(r.chosen.test_lost), digits=2),
        "exit-saved": Metric("steps saved by the exit", "%", lambda r, at: 100 * (1 - r.steps / r.num_steps)),
        "exit-threshold": Metric("threshold of γ", "", lambda r, at: r.chosen.threshold, digits=3),
        "truncation-steps": Metric("steps by plain truncation", "", lambda r, at: r.truncation.steps, digits=0),
        "truncation-saved": Metric("steps saved by plain truncation", "%", lambda r, at: 100 * r.saved(r.truncation)),
        "truncation-lost": Metric(
            "points lost by plain truncation", "points", lambda r, at: _points(r.truncation.test_lost), digits=2
        ),
        "paper-exit-steps": Metric(
            f"steps at the threshold {PAPER_THRESHOLD}", "", lambda r, at: r.paper_threshold.steps, digits=0
        ),
        "paper-exit-accuracy": Metric(
            f"accuracy at the threshold {PAPER_THRESHOLD}", "%", lambda r, at: _points(r.paper_threshold.test_accuracy)
        ),
        "paper-exit-saved": Metric(
            f"steps saved at the threshold {PAPER_THRESHOLD}", "%", lambda r, at: 100 * r.saved(r.paper_threshold)
        ),
        "paper-exit-lost": Metric(
            f"points lost at the threshold {PAPER_THRESHOLD}",
            "points",
            lambda r, at: _points(r.paper_threshold.test_lost),
            digits=2,
        ),
    }

    def saved(self, stop: Stop) -> float:
        """Return the share of steps that a stop leaves out."""
        return 1 - stop.steps / self.num_steps

    @property
    def title(self) -> str:
        how = "as stated" if self.chosen_on == "stated" else "chosen on validation"
        return f"{super().title}: early exit read from γ, {how}"

    @property
    def what_was_run(self) -> str:
        """Images of the split, and draws."""
        return self.spoken(self.validation_images if self.test_images is None else self.test_images)

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump(exclude_unset=True) for row in self.grid]

    def section(self) -> Section:
        told = threshold_text(self.threshold, stated=self.chosen_on == "stated")
        how = f"the highest that loses at most {100 * self.loss_allowed:g} points on validation"
        return Section(
            "Early exit",
            words=(
                f"Stop after {self.steps} of {self.num_steps} steps: threshold {told} of mean |γ|, "
                f"{'as stated' if self.chosen_on == 'stated' else how}. bntt evaluate --exit stops where the run's own "
                f"exit.json says.",
            ),
            tables=(self._table(),),
            charts=self._charts(),
        )

    def figures(self) -> list[Figure]:
        """Draw γ, every threshold and accuracy over time; σ̄ is a table in the terminal and a chart on the page."""
        return [Figure(self.title, self._charts()[:-1], columns=2)]

    def _table(self) -> Table:
        splits = dict.fromkeys(("validation", self.split))
        columns = ("rule", "threshold", "steps", "steps saved", *splits, "points lost")

        def row(name: str, stop: Stop | None, *, stated: bool = False) -> tuple[Cell, ...]:
            if stop is None:
                return (Cell(name), gap("none within the loss"), *[Cell("–")] * (len(columns) - 2))
            lost = stop.measured(self.split)[1]
            return (
                Cell(name),
                Cell(threshold_text(stop.threshold, stated=stated) or "–", stop.threshold),
                Cell(f"{stop.steps} of {self.num_steps}", stop.steps),
                share(self.saved(stop), 0),
                *(share(stop.measured(split)[0]) for split in splits),
                Cell("–") if lost is None else Cell(f"{100 * lost:+.2f}", lost),
            )

        rows = [row("as stated", self.chosen, stated=True)] if self.chosen_on == "stated" else []
        rows += [row(READINGS[reading], stop) for reading, stop in self.by_reading.items()]
        rows += [row("truncation", self.truncation), row(f"paper's {PAPER_THRESHOLD}", self.paper_threshold)]
        return Table(f"Where to stop: {self.what_was_run}", columns, tuple(rows))

    def _charts(self) -> tuple[Chart, ...]:
        """Draw the paper's Figure 7, with a chart of σ̄ at the end."""
        text = threshold_text(self.threshold, stated=self.chosen_on == "stated")
        levels = [] if self.threshold is None else [Level(self.threshold, f"threshold {text}")]
        after = Level(self.steps, f"stop after {self.steps}", at="x")
        note = "the last step at which any layer reaches the threshold"
        return (
            Lines("γ and the threshold", STEPS, GAMMA, self._layers(self.gamma_magnitude), (*levels, after), note),
            *self._by_threshold(),
            self._over_time(),
            Lines("Deviations that inputs are divided by", STEPS, DEVIATION, self._layers(self.deviation)),
        )

    def _layers(self, rows: Mapping[str, OverSteps]) -> list[Line]:
        """Draw a line for each layer, interrupted where its γ has no path to the readout."""
        return over_steps(
            {
                name: [value if first <= t < last else None for t, value in enumerate(row)]
                for name, row in rows.items()
                for first, last in [self.driven[name]]
            }
        )

    def _by_threshold(self) -> tuple[Lines, Lines]:
        """Draw accuracy and number of steps, each a staircase over the threshold."""
        rows = [row for row in reversed(self.grid) if row.threshold_above is not None]
        most = 1.15 * max((row.largest_mean_gamma or 0 for row in self.grid), default=1.0)
        edges = [*(row.threshold_above or 0.0 for row in rows), most]

        def stairs(name: str, values: Sequence[Number]) -> Line:
            return Line(name, edges, [*values, values[-1]], colour=name, stepped=True)

        accuracy = [stairs(name, [getattr(row, f"{name}_accuracy") for row in rows]) for name in self._splits()]
        levels = [Level(PAPER_THRESHOLD, f"paper's {PAPER_THRESHOLD}", at="x")]
        return (
            Lines(
                "Accuracy by threshold", THRESHOLD, zoomed_axis(STOPPED, accuracy), accuracy, levels, self.what_was_run
            ),
            Lines("Exit by threshold", THRESHOLD, UNTIL, [stairs("steps", [row.steps for row in rows])], levels),
        )

    def _over_time(self) -> Lines:
        """Draw the accuracy after every step, and the stops of the rules; rules with the same stop share a mark."""
        steps = [row.steps for row in self.grid]
        lines = [
            Line(name, steps, [getattr(row, f"{name}_accuracy") for row in self.grid], name, dashed=name != self.split)
            for name in self._splits()
        ]
        marks = dict[int, list[str]]()
        rules = {
            "the exit": self.chosen,
            "truncation": self.truncation,
            f"threshold {PAPER_THRESHOLD}": self.paper_threshold,
        }
        for name, stop in rules.items():
            marks.setdefault(stop.steps, []).append(name)
        for t, names in marks.items():
            height = getattr(self.grid[t - 1], f"{self.split}_accuracy")
            lines.append(Line(", ".join(names), [t], [height], ", ".join(names), joined=False))
        return Lines("Accuracy by exit step", STEPS, zoomed_axis(STOPPED, lines), lines, note=self.what_was_run)

    def _splits(self) -> list[str]:
        return list(dict.fromkeys((self.split, "validation")))


def zoomed_axis(label: str, lines: Sequence[Line]) -> Axis:
    """Scale an axis of accuracy to the choices: from a little below the highest, or below a marked point."""
    joined, marked = ([v for line in lines if line.joined == j for v in line.y if v is not None] for j in (True, False))
    low = min([max(joined, default=1.0) - SHOWN, *(value - 0.1 * SHOWN for value in marked)])
    return Axis(label, percent=True, low=max(0.0, low), high=1)


def threshold_text(threshold: float | None, *, stated: bool = False) -> str:
    """Format a threshold in four figures, rounded down, so that entering it stops no earlier than the threshold itself.

    >>> threshold_text(0.50651639), threshold_text(1e9, stated=True), threshold_text(None)
    ('0.5065', '1e+09', '')
    """
    if threshold is None or stated or not math.isfinite(threshold):
        return "" if threshold is None else f"{threshold:g}"
    return f"{float(Context(prec=4, rounding=ROUND_FLOOR).create_decimal(repr(threshold))):g}"


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value
