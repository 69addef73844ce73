"""The record of samples that leave individually, by every criterion, compared with a common stop of all samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bntt.analysis.exit.result import EarlyExit, threshold_text, zoomed_axis
from bntt.analysis.result import Number, Record, Share
from bntt.charts.records import STEPS, Axis, Chart, Line, Lines
from bntt.charts.section import Cell, Section, Table, gap, number, share

LEAVE = Axis("images that leave after this step", percent=True, low=0)
MEAN_STEPS = Axis("mean steps per image")
COSTS = ("accuracy", "synaptic operations", "seconds")


class Criterion(Record):
    """Samples that leave when one measure of certainty reaches its threshold, and a common stop of all samples."""

    criterion: str
    threshold: Number
    """The threshold; None if no sample may leave early."""
    validation_accuracy: Share
    validation_lost: float
    test_accuracy: Number = None
    mean_steps: float
    spikes_per_image: float
    """Spikes of the samples still present."""
    seconds: float
    """Duration of the pass over the split."""
    additions_per_image: float
    macs_per_image: float
    alike_steps: int
    """The fewest steps for all samples that are as accurate on validation, or that reach the best accuracy."""
    alike_test_accuracy: Number = None
    alike_validation_accuracy: Number = None
    alike_seconds: float
    alike_additions_per_image: float
    alike_macs_per_image: float


class SampleExitResult(EarlyExit):
    """The early exit of each sample of one run."""

    images: int
    whole_accuracy: Share
    whole_steps: int
    whole_seconds: float
    whole_additions_per_image: float
    whole_macs_per_image: float
    accuracy_over_time: Sequence[float]
    """Accuracy if all samples stop after the same step."""
    criteria: Sequence[Criterion]
    leave_after_step: Mapping[str, Sequence[float]]
    """The share of images that leave after each step, by criterion."""

    @property
    def title(self) -> str:
        return f"{super().title}: each image stops when the network is sure"

    def rows(self) -> list[dict[str, object]]:
        return [row.model_dump(exclude_unset=True) for row in self.criteria]

    def section(self) -> Section:
        return Section(
            "Early exit, image by image",
            words=(
                f"Each image stops early if that costs at most {100 * self.loss_allowed:g} points on validation. "
                "Common exit: the fewest steps for all images with the same validation accuracy, or with the best one.",
            ),
            tables=(self._each_table(), self._alike_table()),
            charts=self._charts(),
        )

    def _each_table(self) -> Table:
        operations = self.whole_additions_per_image + self.whole_macs_per_image
        whole = _costs(number(self.whole_steps), self.whole_accuracy, operations, self.whole_seconds)
        rows = [
            (
                Cell(row.criterion),
                gap("no image leaves early")
                if row.threshold is None
                else Cell(threshold_text(row.threshold), row.threshold),
                *_costs(number(row.mean_steps), getattr(row, f"{self.split}_accuracy"),
                        row.additions_per_image + row.macs_per_image, row.seconds),
            )
            for row in self.criteria
        ]  # fmt: skip
        columns = ("criterion", "threshold", "mean steps", *COSTS)
        caption = f"Individual exits: {self.spoken(self.images)}"
        return Table(caption, columns, ((Cell("no exit"), gap("none"), *whole), *rows))

    def _alike_table(self) -> Table:
        rows = [
            (
                Cell(row.criterion),
                *_costs(Cell(f"{row.alike_steps} of {self.whole_steps}", row.alike_steps),
                        getattr(row, f"alike_{self.split}_accuracy"),
                        row.alike_additions_per_image + row.alike_macs_per_image, row.alike_seconds),
            )
            for row in self.criteria
        ]  # fmt: skip
        return Table(f"Common exit: {self.spoken(self.images)}", ("as accurate as", "steps", *COSTS), tuple(rows))

    def _charts(self) -> tuple[Chart, ...]:
        leave = [Line(name, range(1, len(shares) + 1), shares, name) for name, shares in self.leave_after_step.items()]
        found = {row.criterion: (row.mean_steps, getattr(row, f"{self.split}_accuracy")) for row in self.criteria}
        points = [Line(name, [mean], [accuracy], name, joined=False) for name, (mean, accuracy) in found.items()]
        alike = Line("common exit", range(1, len(self.accuracy_over_time) + 1), self.accuracy_over_time, "common exit")
        axis = zoomed_axis(f"{self.split} accuracy", [*points, alike])
        return (
            Lines("When images leave", STEPS, LEAVE, leave, note=self.spoken(self.images)),
            Lines("Accuracy by mean steps", MEAN_STEPS, axis, [*points, alike], note=self.spoken(self.images)),
        )


def _costs(steps: Cell, accuracy: float | None, operations: float, seconds: float) -> tuple[Cell, ...]:
    return steps, share(accuracy), Cell(f"{operations / 1e6:.2f}M", operations), number(seconds)
