"""Accuracy over time with its spread and interval, together with γ and firing rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite, sqrt
from statistics import mean, stdev
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import Field, model_validator

from bntt.analysis.measurement import ArgumentError, Draws, Measurement
from bntt.analysis.result import Number, OverSteps, Record, Result, Share, Shown, table
from bntt.charts.records import STEPS, Axis, Chart, Line, Lines, map_over_steps, over_steps
from bntt.charts.section import Section, duration, plural
from bntt.doors import OldName

ACCURACY = Axis("accuracy when stopped there", percent=True, low=0, high=1)
GAMMA = Axis("mean |γ| over channels", low=0)
RATE = Axis("spikes per neuron", percent=True, low=0)
BY_LAYER = ("gamma_magnitude", "gamma_signed", "firing_rate")
MOST_LINES = 10
"""Largest number of layers drawn as separate lines; beyond it, values are shown as colours."""
MOST_SPANS = 4
"""Largest number of ranges in a line."""
Longer = Literal["hold", "interpolate", "re-estimate"]
"""γ and statistics for steps beyond training: "hold" repeats those of the last step, "interpolate" stretches those of
all steps, "re-estimate" holds γ and re-estimates the statistics of all steps from training batches."""


@dataclass(frozen=True)
class Accuracy:
    """Correct answers for every draw of the encoder's noise and every step.

    >>> result = Accuracy(samples=200, correct=((100, 150), (110, 160)))
    >>> result.mean, round(result.spread, 4), result.over_time
    (0.775, 0.0354, (0.525, 0.775))
    """

    samples: int
    """Number of samples evaluated, each in every draw."""
    correct: tuple[tuple[int, ...], ...]
    """``correct[draw][t]``: number of correct answers if the network stops after step t."""
    images = OldName("images", "samples")

    def __str__(self) -> str:
        spread = f" ± {self.spread:.1%}" if self.spread is not None else ""
        return f"{self.mean:.1%}{spread} of {self.samples:,} samples, draws: {len(self.correct)}"

    @property
    def per_draw(self) -> tuple[float, ...]:
        """Accuracy after the last step, for each draw."""
        return tuple(draw[-1] / self.samples for draw in self.correct)

    @property
    def mean(self) -> float:
        """Accuracy after the last step, mean over the draws."""
        return mean(self.per_draw)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the draws (n - 1), not over the choice of samples; None for one draw."""
        return stdev(self.per_draw) if len(self.correct) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean for this number of samples: the uncertainty from the choice of samples."""
        return wilson(self.mean, self.samples)

    @property
    def columns(self) -> dict[str, float | None]:
        """Mean, interval and standard deviation, keyed by their column names in rows of results."""
        low, high = self.interval
        return {"accuracy": self.mean, "low_95": low, "high_95": high, "sd_over_draws": self.spread}

    @property
    def over_time(self) -> tuple[float, ...]:
        """Accuracy if the network stops after step t, mean over the draws."""
        steps = zip(*self.correct, strict=True)
        return tuple(mean(step) / self.samples for step in steps)


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the lower and upper end of Wilson's score interval of a share (Wilson 1927), also of a mean over draws.

    Args:
        share: the observed share, 0 to 1.
        count: the number of trials.
        z: the normal quantile for the interval's coverage, 95 % by default.

    >>> [round(bound, 3) for bound in wilson(0.905, 10_000)]
    [0.899, 0.911]
    >>> wilson(1.0, 60)[1]
    1.0
    """
    centre = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)  # rounding can overshoot 0 and 1


FEW = 5
"""Number of starts below which results are preliminary."""


@dataclass(frozen=True)
class Summary:
    """One number from each of several starts, with their mean, standard deviation and interval.

    Raises:
        ValueError: if there are no numbers, or one is not finite.

    >>> found = Summary((1.0, 2.0, 3.0))
    >>> found.mean, found.sd, [round(bound, 3) for bound in found.interval]
    (2.0, 1.0, [-0.484, 4.484])
    """

    values: tuple[float, ...]
    """One number for each start."""

    def __post_init__(self) -> None:
        if not self.values or not all(map(isfinite, self.values)):
            got = list(self.values) or "no start"
            raise ValueError(f"a mean needs finite numbers, one of each start, got {got}")

    @property
    def n(self) -> int:
        """Number of starts."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the starts."""
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the starts (n - 1); None for a single start."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean: the uncertainty from the choice of seeds. None for one start."""
        if self.sd is None:
            return None
        from scipy.special import stdtrit  # here, since `bntt --help` needs none

        half = float(stdtrit(self.n - 1, 0.975)) * self.sd / sqrt(self.n)
        return self.mean - half, self.mean + half


class Difference(Summary):
    """Differences of two trainings, paired by seed; returned by :func:`paired_difference`."""

    @property
    def superiority(self) -> float:
        """P(one > other): share of starts in which ``one`` is above; ties count half (Bouthillier et al. 2021)."""
        return sum(0.5 if value == 0 else float(value > 0) for value in self.values) / self.n


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """Return the numbers of one training minus those of another, paired by seed, in the order of the seeds.

    Args:
        one, other: a number for each seed; seeds that only one training has are left out.

    Raises:
        ValueError: if the two share no seed, or a difference is not finite.

    >>> found = paired_difference({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 2.0, 7: 9.0})
    >>> found.values, found.superiority
    ((2.0, 3.0), 1.0)
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise ValueError("no seed is shared: differences are taken start by start")
    return Difference(tuple(one[seed] - other[seed] for seed in shared))


@dataclass(frozen=True)
class EvaluateArguments:
    """The flags of bntt evaluate."""

    draws: Draws | None = None
    """Number of draws, each with fresh noise; by default the recipe's (5 by default), or 1 if nothing is random."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, stratified by class; by default the recipe's (all by default)."""
    split: Literal["test", "validation", "train"] = "test"
    """Split to measure; choices are always made on validation. "train": the training images, without augmentation."""
    exit: bool = False
    """Stop after the number of steps that bntt exit RUN chose."""
    num_steps: int | None = None
    """Use another T than in training: a smaller T keeps the first steps (truncate), a larger one needs --longer."""
    longer: Longer | None = None
    """Fill added steps from the last step ("hold"), by stretching all steps ("interpolate"), or by "re-estimate".

    "re-estimate" holds γ and measures the statistics of all steps on 20 training batches.
    """

    recalibrate: bool = False
    """Measure the norms' statistics again, on 40 training batches; standard BN gets its own for every step."""

    def __post_init__(self) -> None:
        if self.recalibrate and (self.exit or self.num_steps is not None):
            raise ArgumentError("--recalibrate measures all steps of the run: leave out --exit and --num-steps")
        if self.num_steps is not None and self.exit:
            raise ArgumentError("--exit and --num-steps both say when to stop: pass only one of them")
        if self.longer is not None and self.num_steps is None:
            raise ArgumentError(f"--longer {self.longer} needs a number of steps: --num-steps")


def spans(steps: Iterable[int]) -> str:
    """Format ascending steps, given from 0, as ranges counted from 1."""
    runs = groupby(enumerate(t + 1 for t in steps), lambda one: one[1] - one[0])
    found = [[t for _, t in run] for _, run in runs]
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in found]
    more = ["..."] * (len(texts) > MOST_SPANS)
    return ("step " if texts == [f"{found[0][0]}"] else "steps ") + ", ".join(texts[:MOST_SPANS] + more)


class Retiming(Record):
    """A measurement with another number of steps, for which some training samples may re-estimate the statistics."""

    trained_steps: int
    steps: int
    how: Literal["truncate"] | Longer
    samples: int = 0
    warning: str = ""

    @property
    def text(self) -> str:
        anew = f" from {self.samples:,} training samples" if self.samples else ""
        return f"trained with {self.trained_steps} steps, measured with {self.steps}: {self.how}{anew}"


class Ann(Record):
    """The ANN that a run was converted from."""

    run: str
    epoch: int
    validation_accuracy: Number
    weights_sha256: str
    updates: int | None
    seconds: Number


class Conversion(Record):
    """The conversion of a run from an ANN."""

    ann: Ann
    thresholds: Mapping[str, float]
    scale: float
    tried: Sequence[tuple[float, float]]
    """Each scale of a grid with its accuracy on validation; empty if the scale was given."""
    tried_images: int
    images: int
    steps: int
    seconds: float


class BegunWith(Record):
    """The run whose weights a training started from, and its cost, including that of the weights it started from."""

    run: str
    updates: int | None
    seconds: Number
    weights_sha256: str = ""


class EvaluationResult(Result):
    """The best epoch of one run, measured on a split."""

    arguments: EvaluateArguments | None = None
    weights: str = "as trained"
    """Weights measured: "as trained" or "moving average"."""
    images: Annotated[int, Field(ge=1)]
    images_of: int = 0
    """Number of images in the split; 0 in files that do not state it."""
    training_images: int = 0
    training_images_of: int = 0
    """Number of images from which the training images were chosen."""
    updates: Annotated[int | None, Shown("updates", metric="updates", digits=0)] = None
    seconds: Number = None
    """Duration of the training, including validation."""
    gamma_floor: Annotated[Number, Shown("γ by decay alone", metric="gamma-floor", digits=3)] = None
    """The value to which weight decay alone would have shrunk a γ of 1 (see
    :func:`~bntt.training.schedule.floor_of_decay`). None if γ did not start at 1 (late steps of a training with
    ``grow``), for another optimiser, or if added epochs changed the learning rates of earlier ones."""
    conversion: Conversion | None = None
    begun_with: BegunWith | None = None
    """Run whose weights the training started from; its time is not in ``seconds``."""
    steps: int = 0
    """Length of ``accuracy_over_time``; 0 in files that do not state it."""
    draws: Annotated[int, Field(ge=1)]
    accuracy: Annotated[Share, Shown(form=".1%")]
    accuracy_sd_over_draws: Annotated[Number, Shown("sd over draws", form=".2%")]
    accuracy_wilson_95: Annotated[tuple[Share, Share], Shown("95% interval", form=".1%")]
    accuracy_per_draw: Sequence[Share]
    accuracy_over_time: Annotated[Sequence[Share], Field(min_length=1)]
    """Share of right answers if stopped after each step, mean over draws."""
    gamma_magnitude: Mapping[str, OverSteps]
    """Mean |γ| of each layer at all steps of the network, including those that were not run."""
    gamma_signed: Mapping[str, OverSteps]
    firing_rate: Mapping[str, OverSteps]
    """Firing rate of each layer; empty for an ANN."""
    spikes_per_image: Annotated[float, Shown("spikes per image", form=",", metric="spikes", digits=0)]
    retimed: Retiming | None = None
    recalibrated_on: int | None = None
    """Number of training samples on which the norms' statistics were measured again; None: those of training."""
    is_random: bool = True
    """True if another draw of the input's noise could give another accuracy."""
    is_trained: bool = True
    """False for a network that was converted or imported and not trained afterwards."""

    @model_validator(mode="after")
    def _fits(self) -> EvaluationResult:
        """Reject a file whose layers have fewer steps than its accuracy."""
        for key in BY_LAYER:
            if any(len(row) < self.num_steps for row in getattr(self, key).values()):
                raise ValueError(f"{key} has a layer of fewer steps than accuracy_over_time")
        return self

    @property
    def test_accuracy(self) -> Annotated[Share, Shown("test accuracy", form=".1%", metric="accuracy")]:
        return self.accuracy

    @property
    def retimed_accuracy(self) -> Annotated[Share, Shown("accuracy at another T", "", ".1%", "retimed-accuracy")]:
        return self.accuracy

    @property
    def num_steps(self) -> Annotated[int, Shown("time steps", metric="steps", digits=0)]:
        return len(self.accuracy_over_time)

    def accuracy_after(
        self, steps: float
    ) -> Annotated[Number, Shown("test accuracy after some steps", form=".1%", metric="accuracy-after")]:
        """Return the accuracy if stopped after this many steps; None if the run has fewer."""
        return self.accuracy_over_time[round(steps) - 1] if 1 <= round(steps) <= self.num_steps else None

    @property
    def title(self) -> str:
        other = f"; {plural(self.retimed.steps, 'step')} by {self.retimed.how}" if self.retimed else ""
        return f"{super().title}: {self.sample}{other}"

    @property
    def sample(self) -> str:
        return f"{plural(self.images, 'image')}, {plural(self.draws, 'draw')}"

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)  # most runs have no other T

    def rows(self) -> list[dict[str, object]]:
        layers = {f"{key}.{name}": row for key in BY_LAYER for name, row in getattr(self, key).items()}
        return [
            {"step": t + 1, "accuracy": accuracy} | {name: row[t] for name, row in layers.items()}
            for t, accuracy in enumerate(self.accuracy_over_time)
        ]

    def section(self) -> Section:
        spread = ("accuracy", "accuracy_wilson_95", "accuracy_sd_over_draws")
        columns = ("split", *spread, "images", "draws", "num_steps", "spikes_per_image")
        caption = "Accuracy, one start: interval over images (Wilson), sd over the input's noise"
        return Section("Accuracy", tuple(self._words()), (table(caption, [self], *columns),), tuple(self._charts()))

    def _words(self) -> Iterator[str]:
        if self.arguments and self.arguments.exit:
            yield f"stopped after {plural(self.num_steps, 'step')}, as bntt exit chose"
        if self.recalibrated_on:
            yield f"the norms' statistics measured again, on {self.recalibrated_on:,} training samples"
        if self.retimed:
            yield self.retimed.text
            if self.retimed.warning:
                yield f"warning: {self.retimed.warning}"
        spread = " (one noise draw, the spread over others is not known" if self.is_random else " (one pass"
        if self.accuracy_sd_over_draws is not None:
            spread = f" ± {self.accuracy_sd_over_draws:.1%} (sd over {self.draws} noise draws"
        low, high = self.accuracy_wilson_95
        weights = "converted" if self.conversion else "imported"
        weights = f"epoch {self.epoch + 1}" if self.is_trained and self.epoch is not None else weights
        yield (
            f"{self.split} accuracy {self.accuracy:.1%}{spread}; 95% interval for {self.images:,} images "
            f"{low:.1%} to {high:.1%}), {weights}"
        )
        if self.images_of > self.images:
            yield f"{self.images:,} of the {self.images_of:,} images, stratified by class"
        if self.updates is not None:
            how = f"{self.updates:,} updates" if self.is_trained else "no updates; converted"
            yield f"{how} in {duration(self.seconds)}{', with validation' * self.is_trained}"
        if (begun := self.begun_with) and begun.updates is not None:
            yield f"before that, {begun.run}: {begun.updates:,} updates in {duration(begun.seconds)}"
        if (made := self.conversion) and made.ann.updates is not None:
            yield f"before that, the ANN: {made.ann.updates:,} updates in {duration(made.ann.seconds)}"
        spikes = f"{self.spikes_per_image:,.0f} spikes per image in all layers and steps"
        yield spikes if self.firing_rate else "an ANN: nothing in it spikes"

    def _charts(self) -> Iterator[Chart]:
        low, high = zip(*(wilson(accuracy, self.images) for accuracy in self.accuracy_over_time), strict=True)
        line = Line(self.split, range(1, self.num_steps + 1), self.accuracy_over_time, self.split, low, high)
        sd = "" if self.accuracy_sd_over_draws is None else f" ± {self.accuracy_sd_over_draws:.1%}"
        note = f"{self.accuracy:.1%}{sd} after all steps; band: 95% interval over images"
        yield Lines("Accuracy over time", STEPS, ACCURACY, [line], note=note)
        for title, axis, rows, note in (
            ("γ over time", GAMMA, self.gamma_magnitude, "learned; one start"),
            ("Firing rate over time", RATE, self.firing_rate, f"{self.sample}, one start"),
        ):
            run = {name: row[: self.num_steps] for name, row in rows.items()}
            if len(run) > MOST_LINES:
                yield map_over_steps(title, run, axis, note)
            elif run:
                yield Lines(title, STEPS, axis, over_steps(run), note=note)


def variant(arguments: EvaluateArguments) -> str:
    """Name the settings in which a measurement differs from the default."""
    parts = {
        arguments.split: arguments.split != "test",
        "exit": arguments.exit,
        "recalibrated": arguments.recalibrate,
        f"{arguments.num_steps}-steps-{arguments.longer or 'truncate'}": arguments.num_steps is not None,
        f"{arguments.images}-images": arguments.images is not None,
    }
    return "-".join(part for part, there in parts.items() if there)


EVALUATE = Measurement(
    "evaluate",
    """Evaluate a run's best epoch on every image, with fresh noise in every draw.

    Writes evaluation.json and evaluation.png; evaluation-validation.* for the other split, evaluation-exit.* with
    --exit, evaluation-T-steps-HOW.* with --num-steps T, evaluation-recalibrated.* with --recalibrate, and
    evaluation-N-images.* with --images N.

    Example: bntt evaluate runs/fashion-mnist --draws 10""",
    EvaluateArguments,
    EvaluationResult,
    lambda run, arguments, progress: run.evaluate(arguments, progress),
    needs_spikes=False,
    variant=variant,
    files_by_split=False,
    file="evaluation",
)
