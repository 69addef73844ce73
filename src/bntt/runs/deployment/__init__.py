"""Accuracy, size and time of a run's bundles without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import Field

from bntt.analysis.accuracy import wilson
from bntt.analysis.exit import threshold_text
from bntt.analysis.measurement import Measurement, Progress, Split
from bntt.analysis.measurements import register
from bntt.analysis.result import BEYOND, Count, Number, Record, Result, Share
from bntt.charts.records import Axis, Line, Lines
from bntt.charts.section import Cell, Section, Table, count, interval, number, plural, share


@dataclass(frozen=True)
class DeploymentArguments:
    """Arguments of the deployment measurement."""

    split: Split = "test"
    """Split to measure accuracy on; the exit is chosen on validation."""
    images: Annotated[int, Ge(1)] = 1000
    """Largest number of images of each split, stratified by class; a recipe's evaluate.images may be fewer."""
    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    """Largest loss of accuracy on validation that the exit is allowed, in percentage points."""
    rounds: Annotated[int, Ge(1)] = 10
    """Number of rounds in which every bundle is timed, with and without the exit."""


BESIDE = Axis("accuracy less that of float32, all steps (points)")


class DeployedWay(Record):
    """One bundle, with all steps or stopped."""

    weights: str
    """Type of its weights."""
    steps: Annotated[int, Field(ge=1)]
    accuracy: Share
    difference: Annotated[float, Field(ge=-1, le=1)]
    """Accuracy less that of float32 after all steps, on the same images."""
    difference_95: tuple[Number, Number]
    """95 % interval of it over images, by :func:`~bntt.analysis.accuracy.evaluation.paired`; None for float32 after all
    steps itself."""
    agreement: Share
    """Share of images with the class that float32 gives them after all steps."""
    bytes: Count
    """Size of its file."""
    milliseconds: Annotated[float, Field(ge=0, lt=BEYOND)]
    """CPU time for one image, on one thread: the least of all rounds."""


class DeploymentResult(Result):
    """A run's bundles as they run without PyTorch."""

    arguments: DeploymentArguments
    images: Annotated[int, Field(ge=1, le=10**12)]
    validation_images: Count
    """Images on which the exit was chosen."""
    backend: str
    """What ran them: "kernels" or "numpy"."""
    threshold: Number
    """Mean \\|γ\\| that stops the network; None if it has no γ for each step."""
    ways: Annotated[Sequence[DeployedWay], Field(min_length=1)]

    def rows(self) -> list[dict[str, object]]:
        return [way.model_dump() for way in self.ways]

    def section(self) -> Section:
        rows = tuple(
            (
                *(Cell(way.weights), count(way.steps), count(way.bytes), number(way.milliseconds)),
                *(share(way.accuracy), interval(*wilson(way.accuracy, self.images)), share(way.agreement)),
            )
            for way in self.ways
        )
        heads = ("weights", "steps", "bytes", "ms per image", "accuracy", "95% interval", "same class")
        caption = f"Bundles of one run: {plural(self.images, f'{self.split} image')}, one draw"
        return Section(
            "Deployment",
            words=(self._exit_words(), f"Run without PyTorch ({self.backend}), one image at a time on one thread."),
            tables=(Table(caption, heads, rows, "Same class: as float32 gives after all steps."),),
            charts=(
                self._chart("Accuracy against size", Axis("file (kB)", low=0), lambda way: way.bytes / 1e3),
                self._chart("Accuracy against time", Axis("CPU time (ms)", low=0), lambda way: way.milliseconds),
            ),
        )

    def _exit_words(self) -> str:
        if self.threshold is None:
            return "No exit: the network has no γ for each step."
        stopped, whole = min(way.steps for way in self.ways), max(way.steps for way in self.ways)
        loss = f"{self.arguments.loss:g} points on {plural(self.validation_images, 'validation image')}."
        steps = plural(whole, "step")
        if stopped == whole:
            return f"No exit: every threshold of mean |γ| that stops before {steps} lost more than {loss}"
        return (
            f"With the exit it stops after {stopped} of {steps}: by mean |γ| ≥ {threshold_text(self.threshold)}, the "
            f"highest threshold that lost no more than {loss}"
        )

    def _chart(self, title: str, x: Axis, read: Callable[[DeployedWay], float]) -> Lines:
        lines = []
        for way in self.ways:
            low, high = (None if end is None else 100 * end for end in way.difference_95)
            name = f"{way.weights}, {plural(way.steps, 'step')}"
            lines.append(Line(name, [read(way)], [100 * way.difference], low=[low], high=[high], joined=False))
        first = self.ways[0]
        note = f"{first.weights}, {plural(first.steps, 'step')}: {first.accuracy:.1%} of {self.images:,} images"
        return Lines(title, x, BESIDE, lines, note=note)


def measure_deployment(opened: Any, arguments: DeploymentArguments, progress: Progress) -> DeploymentResult:
    """Measure a run's bundles on some images of a split, after the exit was chosen on validation."""
    from bntt.runs.deployment.bundles import measure_bundles

    return measure_bundles(opened, arguments, progress)


DEPLOYMENT = register(
    Measurement(
        "deployment",
        """Measure a run's bundles without PyTorch: accuracy, bytes, milliseconds; bntt export writes one to keep.

        Weights are float32, float16 and int8, each with all steps and with an exit by γ: the highest threshold that
        loses at most --loss on validation. Milliseconds are CPU time per image, on one thread.

        Example: bntt deployment runs/fashion-mnist --images 2000""",
        DeploymentArguments,
        DeploymentResult,
        measure_deployment,
        chooses=lambda arguments: True,
    )
)
