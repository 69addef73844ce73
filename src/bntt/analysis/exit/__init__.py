"""Number of steps after which a trained network may stop: one for all samples, or one for each sample."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt
from pydantic import model_validator

from bntt.analysis.measurement import ArgumentError, Draws, Measurement, Opened, Progress, Split, draws_of, origin
from bntt.analysis.result import Number, OverSteps, Record, Result, Share, Shown, table
from bntt.charts.records import STEPS, Axis, Chart, Level, Line, Lines, over_steps
from bntt.charts.section import Cell, Section, Table, gap, plural, share

PER_SAMPLE = "per-sample"
"""Part of the file's name for an exit of each sample individually."""
PAPER_THRESHOLD = 0.1
"""Threshold of the paper's Figure 4."""
NO_GAMMA = "its norm has no γ for each step, as bntt has; --per-sample needs no γ either"
AT_PAPERS = f"at the threshold {PAPER_THRESHOLD}"
Reading = Literal["magnitude", "signed", "relative"]
"""The mean over channels that is compared with the threshold, see :class:`~bntt.analysis.GammaProfile`: that of |γ|;
that of γ, as the paper words it; or that of |γ|/σ̄ in the unit of γ."""
READINGS: dict[Reading, str] = {"magnitude": "mean |γ|", "signed": "mean γ (paper)", "relative": "mean |γ|/σ̄"}
SHOWN = 0.12
"""Range of accuracy shown below the highest."""
THRESHOLD = Axis("threshold of mean |γ|", low=0)
GAMMA = Axis("mean |γ| over channels", low=0)
UNTIL = Axis("steps until exit", whole=True, low=0)
STOPPED = "accuracy at the exit"
FLAT = 0.1
"""Share by which mean |γ| must vary over the steps to tell them apart."""


@dataclass(frozen=True)
class ExitArguments:
    """Arguments of the exit measurement."""

    RETIRED = (("choose_on", "validation"),)

    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    """Largest loss of accuracy on validation, in percentage points."""
    threshold: Annotated[float, Ge(0), Lt(math.inf)] | None = None
    """Use this threshold of mean |γ| instead of choosing one; the paper's is 0.1."""
    per_sample: bool = False
    """Stop each image individually, as soon as the network is sure of it."""
    split: Split = "test"
    """Split to measure the exit on; "validation" needs --threshold."""
    draws: Draws | None = None
    """Number of draws, each with fresh noise; by default the recipe's."""

    def __post_init__(self) -> None:
        if self.threshold is not None and self.per_sample:
            raise ArgumentError("--threshold applies to γ, which --per-sample does not use: pass only one of them")


class Stop(Record):
    """The stop by one rule, with the highest threshold that stops there, and the accuracy lost against all steps."""

    steps: int
    threshold: Number
    validation_accuracy: Share
    validation_lost: float
    test_accuracy: Number = None
    test_lost: Number = None


class GridRow(Record):
    """One number of steps, the largest mean γ of a layer at the last of them, and the thresholds that stop there."""

    steps: int
    largest_mean_gamma: Number
    threshold_above: Number
    threshold_to: Number
    validation_accuracy: Share
    test_accuracy: Number = None


class EarlyExit(Result):
    """The part common to all early exits. Without test images no number of theirs is in the file."""

    arguments: ExitArguments | None = None
    split: Split
    loss_allowed: float
    draws: int

    def spoken(self, images: int) -> str:
        return f"{plural(images, f'{self.split} image')}, {plural(self.draws, 'draw')} of each"

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)


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
    truncation: Stop
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
        """Refuse a file whose parts differ in their numbers of steps or layers."""
        steps, held = [*range(1, self.num_steps + 1)], (self.chosen, self.truncation, self.paper_threshold)
        stops = {stop.steps for stop in (self, *held, *self.by_reading.values()) if stop}
        named = {*self.gamma_magnitude, *self.deviation} <= {*self.driven}
        if not steps or [row.steps for row in self.grid] != steps or not (named and stops <= {*steps}):
            raise ValueError(f"the grid needs a row for each of {len(steps)} steps, with all stops; driven, all layers")
        return self

    computed = (
        (Shown("steps until the exit", metric="exit-steps", digits=0), "chosen.steps"),
        (Shown(STOPPED, form=".1%", metric="exit-accuracy"), "chosen.test_accuracy"),
        (Shown("points lost at the exit", "points", ".2%", "exit-lost", 2), "chosen.test_lost"),
        (Shown("steps saved by the exit", form=".1%", metric="exit-saved"), "saved", "chosen"),
        (Shown("threshold of γ", metric="exit-threshold", digits=3), "chosen.threshold"),
        (Shown("steps by plain truncation", metric="truncation-steps", digits=0), "truncation.steps"),
        (Shown("steps saved by plain truncation", form=".1%", metric="truncation-saved"), "saved", "truncation"),
        (Shown("points lost by plain truncation", "points", ".2%", "truncation-lost", 2), "truncation.test_lost"),
        (Shown(f"steps {AT_PAPERS}", metric="paper-exit-steps", digits=0), "paper_threshold.steps"),
        (Shown(f"accuracy {AT_PAPERS}", form=".1%", metric="paper-exit-accuracy"), "paper_threshold.test_accuracy"),
        (Shown(f"steps saved {AT_PAPERS}", form=".1%", metric="paper-exit-saved"), "saved", "paper_threshold"),
        (Shown(f"points lost {AT_PAPERS}", "points", ".2%", "paper-exit-lost", 2), "paper_threshold.test_lost"),
    )

    def saved(self, rule: str) -> float:
        """Return the share of steps that the stop by a rule leaves out."""
        steps: int = getattr(self, rule).steps
        return 1 - steps / self.num_steps

    @property
    def title(self) -> str:
        how = "as stated" if self.chosen_on == "stated" else "chosen on validation"
        return f"{super().title}: early exit read from γ, {how}"

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump(exclude_unset=True) for row in self.grid]

    def section(self) -> Section:
        stated = self.chosen_on == "stated"
        how = f"the highest that loses at most {100 * self.loss_allowed:g} points on validation"
        words = (
            f"Stop after {self.steps} of {self.num_steps} steps: threshold "
            f"{threshold_text(self.threshold, stated=stated)} of mean |γ|, {'as stated' if stated else how}. "
            f"bntt evaluate --exit stops where the run's own exit.json says."
        )
        return Section("Early exit", (words, *self._doubts()), (self._rules(),), self._charts())

    def _doubts(self) -> tuple[str, ...]:
        """Say why the threshold may mean little: fewer images than 3 / loss (the rule of three), or flat γ."""
        doubts, wanted = [], math.ceil(3 / max(self.loss_allowed, 1e-6))
        if self.chosen_on == "validation" and self.validation_images < wanted:
            loss = f"{100 * self.loss_allowed:g} points"
            few = plural(self.validation_images, "validation image")
            doubts.append(f"warning: a loss of {loss} shows on {wanted:,} images or more, and this exit rests on {few}")
        gamma = [row.largest_mean_gamma for row in self.grid if row.largest_mean_gamma]
        low, high = min(gamma, default=0.0), max(gamma, default=0.0)
        if self.num_steps > 1 and high - low < FLAT * high:
            doubts.append(f"warning: mean |γ| hardly varies ({low:.3g} to {high:.3g}), so it cannot tell when to stop")
        return tuple(doubts)

    def _rules(self) -> Table:  # by hand: a rule may have no stop, and stops do not know all steps
        splits = dict.fromkeys(("validation", self.split))
        rules = {"as stated": self.chosen} if self.chosen_on == "stated" else dict[str, Stop | None]()
        rules |= {READINGS[reading]: stop for reading, stop in self.by_reading.items()}
        rules |= {"truncation": self.truncation, f"paper's {PAPER_THRESHOLD}": self.paper_threshold}
        rows = []
        for name, stop in rules.items():
            cells = (gap("none within the loss"), *[Cell("–")] * (3 + len(splits)))
            if stop is not None:
                lost = getattr(stop, f"{self.split}_lost")
                cells = (
                    Cell(threshold_text(stop.threshold, stated=name == "as stated") or "–", stop.threshold),
                    Cell(f"{stop.steps} of {self.num_steps}", stop.steps),
                    share(1 - stop.steps / self.num_steps, 0),
                    *(share(getattr(stop, f"{split}_accuracy")) for split in splits),
                    Cell("–") if lost is None else Cell(f"{100 * lost:+.2f}", lost),
                )
            rows.append((Cell(name), *cells))
        columns = ("rule", "threshold", "steps", "steps saved", *splits, "points lost")
        return Table(f"Where to stop: {self.spoken(self.test_images or self.validation_images)}", columns, tuple(rows))

    def _charts(self) -> tuple[Chart, ...]:
        """Draw the paper's Figure 7."""
        text = threshold_text(self.threshold, stated=self.chosen_on == "stated")
        levels = [] if self.threshold is None else [Level(self.threshold, f"threshold {text}")]
        levels.append(Level(self.steps, f"stop after {self.steps}", at="x"))
        splits = dict.fromkeys((self.split, "validation"))
        curves = {name: [getattr(row, f"{name}_accuracy") for row in self.grid] for name in splits}
        steps, rows = range(1, self.num_steps + 1), [row for row in self.grid[::-1] if row.threshold_above is not None]
        edges = [row.threshold_above or 0.0 for row in rows]
        edges.append(1.15 * max(row.largest_mean_gamma or 0 for row in self.grid))

        def stairs(name: str, values: Sequence[Number]) -> Line:
            return Line(name, edges, [values[row.steps - 1] for row in (*rows, rows[-1])], colour=name, stepped=True)

        driven = {name: range(*steps) for name, steps in self.driven.items()}
        gamma = over_steps(  # interrupted where γ has no path to the readout
            {
                name: [value if t in driven[name] else None for t, value in enumerate(row)]
                for name, row in self.gamma_magnitude.items()
            }
        )
        accuracy = [stairs(name, curve) for name, curve in curves.items()]
        papers = [Level(PAPER_THRESHOLD, f"paper's {PAPER_THRESHOLD}", at="x")]
        ran, note = (
            self.spoken(self.test_images or self.validation_images),
            "the last step at which any layer reaches the threshold",
        )
        return (
            Lines("γ and the threshold", STEPS, GAMMA, gamma, levels, note),
            Lines("Accuracy by threshold", THRESHOLD, zoomed_axis(STOPPED, accuracy), accuracy, papers, ran),
            Lines("Exit by threshold", THRESHOLD, UNTIL, [stairs("steps", steps)], papers),
        )


class CriterionRow(Record):
    """Samples that leave when a measure of certainty reaches its threshold; None if no sample may leave early."""

    criterion: str
    threshold: Number
    validation_accuracy: Share
    validation_lost: float
    test_accuracy: Number = None
    mean_steps: float
    spikes_per_image: float
    seconds: float
    additions_per_image: float
    macs_per_image: float

    @property
    def accuracy(self) -> Annotated[Number, Shown(form=".1%")]:
        return self.validation_accuracy if self.test_accuracy is None else self.test_accuracy

    @property
    def operations(self) -> Annotated[float, Shown("synaptic operations", form=",")]:
        return self.additions_per_image + self.macs_per_image

    @property
    def leaves_at(self) -> Annotated[str, Shown("threshold")]:
        return threshold_text(self.threshold)


class SampleExitResult(EarlyExit):
    """The early exit of each sample of one run."""

    images: int
    whole_accuracy: Share
    whole_steps: int
    whole_seconds: float
    whole_additions_per_image: float
    whole_macs_per_image: float
    accuracy_over_time: Sequence[float]
    criteria: Sequence[CriterionRow]
    leave_after_step: Mapping[str, Sequence[float]]

    @property
    def title(self) -> str:
        return f"{super().title}: each image stops when the network is sure"

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump(exclude_unset=True) for row in self.criteria]

    def section(self) -> Section:
        told, operations = self.spoken(self.images), self.whole_additions_per_image + self.whole_macs_per_image
        words = (
            f"Each image stops early if that costs at most {100 * self.loss_allowed:g} points on validation.",
            f"No exit: {self.whole_accuracy:.1%} after {self.whole_steps} steps, {operations:,.0f} synaptic operations "
            f"per image, {self.whole_seconds:.3g} seconds.",
        )
        own = ("criterion", "leaves_at", "mean_steps", "accuracy", "operations", "seconds")
        tables = (table(f"Individual exits: {told}", self.criteria, *own),)
        leave = [Line(name, range(1, len(left) + 1), left, name) for name, left in self.leave_after_step.items()]
        points = [
            Line(row.criterion, [row.mean_steps], [row.accuracy], row.criterion, joined=False) for row in self.criteria
        ]
        over_time = self.accuracy_over_time
        lines = [*points, Line("common exit", range(1, len(over_time) + 1), over_time, "common exit")]
        shares = Axis("images that leave after this step", percent=True, low=0)
        zoomed = zoomed_axis(f"{self.split} accuracy", lines)
        charts = (
            Lines("When images leave", STEPS, shares, leave, note=told),
            Lines("Accuracy by mean steps", Axis("mean steps per image"), zoomed, lines, note=told),
        )
        return Section("Early exit, image by image", words, tables, charts)


def zoomed_axis(label: str, lines: Sequence[Line]) -> Axis:
    """Scale an axis of accuracy to the choices: from a little below the highest, or below a marked point."""
    joined, marked = ([v for line in lines if line.joined == j for v in line.y if v is not None] for j in (True, False))
    low = min([max(joined, default=1.0) - SHOWN, *(value - 0.1 * SHOWN for value in marked)])
    return Axis(label, percent=True, low=max(0.0, low), high=1)


def threshold_text(threshold: float | None, *, stated: bool = False) -> str:
    """Format a threshold in four figures, rounded down: entering it stops no earlier."""
    if threshold is None or stated or not math.isfinite(threshold):
        return "" if threshold is None else f"{threshold:g}"
    return f"{float(Context(prec=4, rounding=ROUND_FLOOR).create_decimal(repr(threshold))):g}"


def measure_exit(opened: Opened, arguments: ExitArguments, progress: Progress) -> ExitResult:
    """Choose the exit on validation, by every reading of γ and by truncation, and measure it on the split."""
    from bntt.analysis.accuracy.evaluation import evaluate
    from bntt.analysis.exit import early_exit as by_gamma

    profile, loss = by_gamma.gamma_profile(opened.model.network), arguments.loss / 100
    lines = by_gamma.envelope(profile).tolist()
    stated = None if arguments.threshold is None else by_gamma.exit_step(profile, arguments.threshold)
    draws = draws_of(opened.facts, arguments.draws)
    loaders = {split: opened.loader(split) for split in dict.fromkeys(("validation", arguments.split))}
    progress.expect(draws * sum(len(loader.places) for loader in loaders.values()))
    measured = {
        split: evaluate(opened.model, loader, seed=opened.seed, draws=draws, progress=progress).accuracy
        for split, loader in loaders.items()
    }
    over_time = measured["validation"].over_time

    def accuracies(steps: int) -> dict[str, Any]:
        return {f"{split}_accuracy": one.over_time[steps - 1] for split, one in measured.items()}

    def stop(steps: int, threshold: float | None) -> Stop:
        lost = {f"{split}_lost": one.over_time[-1] - one.over_time[steps - 1] for split, one in measured.items()}
        return Stop.model_validate({"steps": steps, "threshold": threshold} | accuracies(steps) | lost)

    by_reading = dict[Reading, Stop | None]()
    for reading in READINGS:
        try:
            choice = by_gamma.choose_exit(profile, over_time, loss, reading)
            by_reading[reading] = stop(choice.steps, choice.threshold)
        except by_gamma.LossBudgetError:
            if stated is None and reading == "magnitude":
                raise
            by_reading[reading] = None
    chosen = by_reading["magnitude"] if stated is None else stop(stated, arguments.threshold)
    assert chosen is not None
    with warnings.catch_warnings(action="ignore"):
        papers = by_gamma.exit_step(profile, PAPER_THRESHOLD)
    ends = {one.steps: (one.above, one.to) for one in by_gamma.threshold_ranges(profile)}
    grid = list[GridRow]()
    for t, line in enumerate(lines, 1):
        above, to = ends.get(t, (None, None))
        row = {"steps": t, "largest_mean_gamma": line, "threshold_above": above, "threshold_to": to}
        grid.append(GridRow.model_validate(row | accuracies(t)))
    more: dict[str, Any] = {"test_images": measured["test"].samples} if "test" in measured else {}
    for key in (*READINGS, "deviation"):
        name = key if key == "deviation" else f"gamma_{key}"
        more[name] = {layer: row.tolist() for layer, row in getattr(profile, key).items()}
    return ExitResult(
        **origin(opened, arguments),
        steps=chosen.steps,
        threshold=chosen.threshold,
        chosen_on="validation" if stated is None else "stated",
        loss_allowed=loss,
        data_sha256=opened.data_sha256,
        weights_sha256=opened.weights_sha256,
        num_steps=len(over_time),
        validation_images=measured["validation"].samples,
        draws=draws,
        chosen=chosen,
        by_reading=by_reading,
        truncation=stop(by_gamma.choose_truncation(over_time, loss).steps, None),
        paper_threshold=stop(papers, PAPER_THRESHOLD),
        grid=grid,
        driven={name: (steps.start, steps.stop) for name, steps in profile.driven.items()},
        **more,
    )


def measure_sample_exit(opened: Opened, arguments: ExitArguments, progress: Progress) -> SampleExitResult:
    """Choose a threshold for every criterion on validation, and measure it on the split."""
    from bntt.analysis.accuracy.evaluation import evaluate
    from bntt.analysis.energy.operations import count_operations
    from bntt.analysis.exit import early_exit as by_certainty

    split, draws, loss = arguments.split, draws_of(opened.facts, arguments.draws), arguments.loss / 100
    loader, validation = opened.loader(split), opened.loader("validation")
    options: dict[str, Any] = {"seed": opened.seed, "draws": draws, "progress": progress}
    criteria, images = by_certainty.CRITERIA, draws * len(loader.places)
    progress.expect(draws * len(validation.places) + (2 + 2 * len(criteria)) * images)
    running = by_certainty.record_running(opened.model, validation, **options)
    choices = [by_certainty.choose_sample_exit(running, criterion, loss) for criterion in criteria]

    def timed(function: Callable[..., Any], *args: object) -> tuple[Any, float]:
        began = time.perf_counter()
        return function(opened.model, loader, *args, **options), time.perf_counter() - began

    def costs(prefix: str, operations: Any, seconds: float) -> dict[str, Any]:
        work = {"additions_per_image": operations.additions, "macs_per_image": operations.macs, "seconds": seconds}
        return {f"{prefix}{key}": value for key, value in work.items()}

    whole, whole_seconds = timed(evaluate)
    exits = [timed(by_certainty.exit_each, one.criterion, one.threshold) for one in choices]
    operations, over_time = count_operations(opened.model, loader, **options), whole.accuracy.over_time
    rows = list[CriterionRow]()
    for choice, (left, took) in zip(choices, exits, strict=True):
        rule = by_certainty.exit_rule(choice.criterion, choice.threshold)
        row = {
            "criterion": choice.criterion, "threshold": choice.threshold, "validation_accuracy": choice.accuracy,
            "validation_lost": choice.lost, f"{split}_accuracy": left.accuracy, "mean_steps": left.mean_steps,
            "spikes_per_image": float(left.spikes.sum()),
        }  # fmt: skip
        work = count_operations(opened.model, loader, leaves=rule, **options).synaptic()
        rows.append(CriterionRow.model_validate(row | costs("", work, took)))
    return SampleExitResult(
        **origin(opened, arguments),
        loss_allowed=loss,
        images=whole.accuracy.samples,
        draws=draws,
        whole_accuracy=whole.accuracy.mean,
        whole_steps=len(over_time),
        **costs("whole_", operations.synaptic(), whole_seconds),
        accuracy_over_time=over_time,
        criteria=rows,
        leave_after_step={one.criterion: left.distribution for one, (left, _) in zip(choices, exits, strict=True)},
    )


EXIT = Measurement(
    "exit",
    """Choose from γ the number of steps after which a network may stop, and compare its cost with plain truncation.

    It chooses the highest threshold of mean |γ| that loses at most --loss on validation, and writes it to the run's
    exit.json, which bntt evaluate RUN --exit reads. With --per-sample each image stops as soon as the network is sure
    of it (confidence, margin or entropy of its logits so far); bntt evaluate does not use that.

    Example: bntt exit runs/fashion-mnist --loss 0.5""",
    ExitArguments,
    ExitResult,
    measure_exit,
    refuses=lambda facts, arguments: "" if arguments.per_sample or facts.norm_facts.step_gamma else NO_GAMMA,
    chooses=lambda arguments: arguments.threshold is None,
    variant=lambda arguments: PER_SAMPLE if arguments.per_sample else "",
    variants={PER_SAMPLE: (SampleExitResult, measure_sample_exit)},
    files_by_split=False,
)
