"""The record of an evaluation: its numbers, tables, charts and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bntt.analysis.accuracy.accuracy import wilson
from bntt.analysis.accuracy.measurement import EvaluateArguments, Longer
from bntt.analysis.accuracy.origin import BegunWith, Conversion
from bntt.analysis.result import Metric, Number, OverSteps, Record, Result, Share
from bntt.charts.records import STEPS, Axis, Chart, Line, Lines, map_over_steps, over_steps
from bntt.charts.section import Cell, Section, Table, count, duration, interval, plural, share

ACCURACY = Axis("accuracy when stopped there", percent=True, low=0, high=1)
GAMMA = Axis("mean |γ| over channels", low=0)
RATE = Axis("spikes per neuron", percent=True, low=0)
MOST_LINES = 10
"""Largest number of layers drawn as separate lines; beyond it, values are shown as colours."""
MOST_NAMED = 8
"""Largest number of steps named one by one."""


class Retiming(Record):
    """How a run was measured with a number of steps other than the one it was trained with."""

    trained_steps: int
    steps: int
    how: Literal["truncate"] | Longer
    samples: int = 0
    """Number of training samples used to re-estimate the statistics."""
    warning: str = ""

    @property
    def text(self) -> str:
        """The record in one line."""
        anew = f" from {self.samples:,} training samples" if self.samples else ""
        return f"trained with {self.trained_steps} steps, measured with {self.steps}: {self.how}{anew}"


class Surprise(Record):
    """A sample whose input differs at a step at which no training sample's did.

    Returned by :func:`bntt.analysis.activity.constant_input.surprises`.
    """

    index: int
    """Index of the sample in its set."""
    step: int
    """The first such step, 0-based."""
    gain: Number
    """Largest ``|γ| / √(σ̄² + ε)`` of the first layer at that step; None if its norm has no statistics."""
    current: tuple[Number, Number]
    """The largest current of the first layer at that step (θ is usually 1), and the largest with the usual input."""
    spikes: tuple[float, float]
    """Spikes of all layers at all steps, and their number with the usual input at that step."""
    answer: tuple[int, int]
    """The predicted class, and that with the usual input at that step."""


class UnvaryingInput(Record):
    """Steps at which all training samples have the same input, and the samples that differ there.

    Returned by :func:`bntt.analysis.activity.constant_input.surprises`.
    """

    steps: Sequence[int]
    """The steps at which no training sample's input varied, 0-based."""
    training_samples: int
    """Number of training samples examined."""
    samples: int
    """Number of samples measured."""
    differ: int
    """Number of samples whose input differs at one of the steps."""
    first: Surprise | None
    """The first of these samples."""

    @property
    def text(self) -> str:
        """The record in one line."""
        named = ", ".join(str(t + 1) for t in self.steps[:MOST_NAMED]) + ", ..." * (len(self.steps) > MOST_NAMED)
        still = (
            f"the input of {plural(len(self.steps), 'step')} ({named}) never varies in the "
            f"{self.training_samples:,} training samples"
        )
        if (first := self.first) is None:
            return f"{still}, nor in the {self.samples:,} that were measured"
        gain = "" if first.gain is None else f", a gain of up to {first.gain:.3g}"
        current, usual = ("not finite" if value is None else f"{value:.3g}" for value in first.current)
        (spikes, without), (answer, other) = first.spikes, first.answer
        return (
            f"{still}; {self.differ:,} of the {self.samples:,} measured differ there. The first, sample {first.index} "
            f"at step {first.step + 1}: the first layer's largest current is {current} in place of {usual}{gain}; "
            f"{spikes:,.0f} spikes in all in place of {without:,.0f}; "
            + ("the class stays" if answer == other else f"class {answer} in place of {other}")
        )


class EvaluationResult(Result):
    """The best epoch of one run, measured on a split."""

    arguments: EvaluateArguments | None = None
    """Arguments of the measurement; None in older files, which do not have them."""
    weights: str = "as trained"
    """Weights measured: "as trained" or "moving average"."""
    images: Annotated[int, Field(ge=1)]
    """Number of images measured."""
    images_of: int = 0
    """Number of images in the split; 0 in files that do not state it."""
    training_images: int = 0
    """Number of training images."""
    training_images_of: int = 0
    """Number of images from which the training images were chosen."""
    updates: int | None = None
    """Number of updates of the training; None if it is not known."""
    seconds: Number = None
    """Duration of the training, including validation."""
    gamma_floor: Number = None
    """The value to which weight decay alone would have shrunk a γ of 1 (see
    :func:`~bntt.training.schedule.floor_of_decay`). None if γ did not start at 1 (late steps of a training with
    ``grow``), for another optimiser, or if added epochs changed the learning rates of earlier ones."""
    conversion: Conversion | None = None
    """How an ANN was converted to this network; None if it was not."""
    begun_with: BegunWith | None = None
    """Run whose weights the training started from; its time is not in ``seconds``."""
    steps: int = 0
    """Length of ``accuracy_over_time``; 0 in files that do not state it."""
    draws: Annotated[int, Field(ge=1)]
    """Number of draws of the input's noise."""
    accuracy: Share
    """Share of right answers, mean over draws."""
    accuracy_sd_over_draws: Number
    """Standard deviation over draws; None for one draw."""
    accuracy_wilson_95: tuple[Share, Share]
    """Wilson's 95 % interval for this number of images."""
    accuracy_per_draw: Sequence[Share]
    """Share of right answers in each draw."""
    accuracy_over_time: Annotated[Sequence[Share], Field(min_length=1)]
    """Share of right answers if stopped after each step, mean over draws."""
    gamma_magnitude: Mapping[str, OverSteps]
    """Mean |γ| of each layer at all steps of the network, including those that were not run."""
    gamma_signed: Mapping[str, OverSteps]
    """Mean γ, with its sign."""
    firing_rate: Mapping[str, OverSteps]
    """Firing rate of each layer; empty for an ANN."""
    spikes_per_image: float
    """Spikes of all layers and steps for one image."""
    retimed: Retiming | None = None
    """How it was measured with another number of steps; None if it was not."""
    unvarying_input: UnvaryingInput | None = None
    """Effect on samples of steps whose input never varied in training; None if there are no such steps."""
    is_random: bool = True
    """True if another draw of the input's noise could give another accuracy."""
    is_trained: bool = True
    """False for a network that was converted or imported and not trained afterwards."""

    @model_validator(mode="after")
    def _fits(self) -> EvaluationResult:
        """Reject a file whose layers have fewer steps than its accuracy."""
        for key in ("gamma_magnitude", "gamma_signed", "firing_rate"):
            if any(len(row) < len(self.accuracy_over_time) for row in getattr(self, key).values()):
                raise ValueError(f"{key} has a layer of fewer steps than accuracy_over_time")
        return self

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("test accuracy", "%", lambda r, at: 100 * r.accuracy),
        "accuracy-after": Metric(
            "test accuracy after some steps", "%", lambda r, at: r.accuracy_after(round(at or 0)), placed=True
        ),
        "steps": Metric("time steps", "", lambda r, at: len(r.accuracy_over_time), digits=0),
        "spikes": Metric("spikes per image", "", lambda r, at: r.spikes_per_image, digits=0),
        "updates": Metric("updates", "", lambda r, at: r.updates, digits=0),
        "gamma-floor": Metric("γ by decay alone", "", lambda r, at: r.gamma_floor, digits=3),
        "retimed-accuracy": Metric("accuracy at another T", "%", lambda r, at: 100 * r.accuracy),
    }

    def accuracy_after(self, steps: int) -> Number:
        """Return the accuracy in percent if stopped after this many steps; None if the run has fewer."""
        return 100 * self.accuracy_over_time[steps - 1] if 1 <= steps <= len(self.accuracy_over_time) else None

    @property
    def title(self) -> str:
        other = f"; {plural(self.retimed.steps, 'step')} by {self.retimed.how}" if self.retimed else ""
        return f"{super().title}: {self._measured_on}{other}"

    @property
    def _measured_on(self) -> str:
        return f"{plural(self.images, 'image')}, {plural(self.draws, 'draw')}"

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)  # most runs have no other T and no unvarying input

    def rows(self) -> list[dict[str, object]]:
        layers = [
            (f"{key}.{name}", row)
            for key in ("gamma_magnitude", "gamma_signed", "firing_rate")
            for name, row in getattr(self, key).items()
        ]
        return [
            {"step": t + 1, "accuracy": accuracy} | {name: row[t] for name, row in layers}
            for t, accuracy in enumerate(self.accuracy_over_time)
        ]

    def section(self) -> Section:
        return Section("Accuracy", words=tuple(self._words()), tables=(self._table(),), charts=tuple(self._charts()))

    def _words(self) -> Iterator[str]:
        steps = plural(len(self.accuracy_over_time), "step")
        if self.arguments and self.arguments.exit:
            yield f"stopped after {steps}, as bntt exit chose"
        if self.retimed:
            yield self.retimed.text
            if self.retimed.warning:
                yield f"warning: {self.retimed.warning}"
        low, high = self.accuracy_wilson_95
        untrained = "converted" if self.conversion else "imported"
        weights = f"epoch {self.epoch + 1}" if self.is_trained and self.epoch is not None else untrained
        yield (
            f"{self.split} accuracy {self.accuracy:.1%}{self._spread()}; 95% interval for {self.images:,} images "
            f"{low:.1%} to {high:.1%}), {weights}"
        )
        if self.images_of > self.images:
            yield f"{self.images:,} of the {self.images_of:,} images, stratified by class"
        yield from self._cost_of_training()
        spikes = f"{self.spikes_per_image:,.0f} spikes per image in all layers and steps"
        yield spikes if self.firing_rate else "an ANN: nothing in it spikes"
        if self.unvarying_input:
            yield self.unvarying_input.text

    def _spread(self) -> str:
        """Describe the spread over noise draws, with an opening bracket that the caller closes."""
        if self.accuracy_sd_over_draws is not None:
            return f" ± {self.accuracy_sd_over_draws:.1%} (sd over {self.draws} noise draws"
        return " (one noise draw, the spread over others is not known" if self.is_random else " (one pass"

    def _cost_of_training(self) -> Iterator[str]:
        if self.updates is not None:
            took = duration(self.seconds)
            yield (
                f"{self.updates:,} updates in {took}, with validation"
                if self.is_trained
                else f"no updates; converted in {took}"
            )
        if (source := self.begun_with) is not None and source.updates is not None:
            yield f"before that, {source.run}: {source.updates:,} updates in {duration(source.seconds)}"
        if (made := self.conversion) is not None:
            if made.ann.updates is not None:
                yield f"before that, the ANN: {made.ann.updates:,} updates in {duration(made.ann.seconds)}"
            yield (
                f"thresholds: {made.scale:g} times the largest weighted input"
                f"{', chosen on validation' * bool(made.tried)} ({made.images:,} training images, {made.steps} steps)"
            )

    def _table(self) -> Table:
        columns = ("split", "accuracy", "95% interval", "sd over draws", "images", "draws", "steps", "spikes")
        row = (
            Cell(self.split),
            share(self.accuracy),
            interval(*self.accuracy_wilson_95),
            Cell("one draw") if self.accuracy_sd_over_draws is None else share(self.accuracy_sd_over_draws, 2),
            count(self.images),
            count(self.draws),
            count(len(self.accuracy_over_time)),
            count(self.spikes_per_image),
        )
        caption = "Accuracy, one start: interval over images (Wilson), sd over the input's noise"
        return Table(caption, columns, (row,))

    def _charts(self) -> Iterator[Chart]:
        steps = len(self.accuracy_over_time)
        low, high = zip(*(wilson(accuracy, self.images) for accuracy in self.accuracy_over_time), strict=True)
        line = Line(self.split, range(1, steps + 1), self.accuracy_over_time, self.split, low, high)
        sd = "" if self.accuracy_sd_over_draws is None else f" ± {self.accuracy_sd_over_draws:.1%}"
        note = f"{self.accuracy:.1%}{sd} after all steps; band: 95% interval over images"
        yield Lines("Accuracy over time", STEPS, ACCURACY, [line], note=note)
        if self.gamma_magnitude:
            yield _layers("γ over time", GAMMA, self.gamma_magnitude, steps, "learned; one start")
        if self.firing_rate:
            yield _layers("Firing rate over time", RATE, self.firing_rate, steps, f"{self._measured_on}, one start")


def _layers(title: str, axis: Axis, rows: Mapping[str, OverSteps], steps: int, note: str) -> Chart:
    """Chart the executed steps of every layer: as lines, or as colours if there are many layers."""
    shown = {name: row[:steps] for name, row in rows.items()}
    if len(shown) <= MOST_LINES:
        return Lines(title, STEPS, axis, over_steps(shown), note=note)
    return map_over_steps(title, shown, axis, note)
