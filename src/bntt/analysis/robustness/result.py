"""The record of accuracy on noisy images: its numbers, tables, charts and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from bntt.analysis.result import Metric, Number, OverSteps, Record, Result, Share
from bntt.analysis.robustness.measurement import RobustArguments, Unit
from bntt.charts.records import STEPS, Axis, Figure, Level, Line, Lines, over_steps
from bntt.charts.section import Cell, Section, Table, count, interval, number, plural, share

ACCURACY = Axis("accuracy", percent=True, low=0, high=1)
UNITS = {"pixels": "1 = the range of the pixels", "normalized": "1 = a standard deviation of the pixels"}
NOISED = {"pixels": "pixel values in [0, 1]", "normalized": "normalised pixel values, in their standard deviations"}


class NoisyRow(Record):
    """One run at one σ, with everything needed to read it on its own."""

    run: str
    sigma: float
    sigma_in: Unit
    """Unit of σ, see :class:`~bntt.nn.NoisyEncoder`."""
    clipped: bool
    accuracy: Share
    """Accuracy after all steps, mean over draws."""
    low_95: float
    high_95: float
    """Wilson's interval over images."""
    sd_over_draws: Number
    clean_accuracy: Share
    to_first: Number
    """Accuracy minus that of the first run on the same images and noise; None for the first run itself."""
    to_first_low_95: Number
    to_first_high_95: Number
    """The paired interval over images."""
    draws: int
    redrawn: str
    """Randomness redrawn in every draw: "spikes", "noise", "spikes, noise"; or "nothing"."""
    steps: int
    images: int
    images_chosen: str
    seconds: float
    accuracy_per_draw: Sequence[Share]
    accuracy_over_time: OverSteps
    """Accuracy if stopped after each step."""
    over_time_wilson_95: Sequence[tuple[float, float]]


class NoisyRun(Record):
    """One run at every σ, the clean one first."""

    run: str
    network: str
    norm: str
    encoder: str
    num_steps: int
    epoch: int
    rows: Annotated[Sequence[NoisyRow], Field(min_length=1)]


class RobustResult(Result):
    """Accuracy of runs on images with the same noise."""

    arguments: RobustArguments | None = None
    """The arguments; None in older files, which do not have them."""
    classes: int | None = None
    """Number of classes; None in older files, which do not have it."""
    images: int
    images_chosen: str
    """Description of the choice of images."""
    sigma_in: Unit
    clipped: bool
    noise_seed: int
    runs: Annotated[Sequence[NoisyRun], Field(min_length=1)]

    @property
    def title(self) -> str:
        draws = max(row.draws for run in self.runs for row in run.rows)
        images = f"{self.dataset}, {self.split} images: {self.images_chosen}"
        return f"{images}; Gaussian noise, {'' if self.clipped else 'not '}clipped, {plural(draws, 'draw')}"

    def rows(self) -> list[dict[str, object]]:
        longer = {"accuracy_per_draw", "accuracy_over_time", "over_time_wilson_95"}
        return [row.model_dump(exclude=longer) for run in self.runs for row in run.rows]

    def section(self) -> Section:
        clipped = "; the noisy pixels are clipped to [0, 1]" if self.clipped else ""
        return Section(
            "Robustness to noise",
            words=(f"Gaussian noise, the same for every run, is added to {NOISED[self.sigma_in]}{clipped}.",),
            charts=(*self._over_sigma(), *(_by_steps(run) for run in self.runs)),
            folded=(*(_accuracies(run) for run in self.runs), *self._differences()),
        )

    def figures(self) -> list[Figure]:
        """Draw one picture: all runs over σ, and the first by number of steps."""
        return [Figure(self.title, (*self._over_sigma(), _by_steps(self.runs[0])))]

    def _differences(self) -> list[Table]:
        rows = [
            (Cell(run.run), number(row.sigma, ".3g"), shown[0], Cell(f"{shown[1].text} to {shown[2].text}"))
            for run in self.runs[1:]
            for row in run.rows
            for shown in [[number(value, "+.1f") for value in _points(row)]]
        ]
        caption = f"Accuracy minus that of {self.runs[0].run} (points), on the same images and noise"
        return [Table(caption, ("run", "σ", "difference", "paired 95% interval"), tuple(rows))] if rows else []

    def _over_sigma(self) -> list[Lines]:
        sigma = Axis(f"σ of the noise ({UNITS[self.sigma_in]})")
        chance = [Level(1 / self.classes, "chance")] if self.classes else []
        accuracy = [self._line(run, [(row.accuracy, row.low_95, row.high_95) for row in run.rows]) for run in self.runs]
        band = "after all steps; bands: 95% intervals over images"
        charts = [Lines("Accuracy under noise", sigma, ACCURACY, accuracy, chance, band)]
        if len(self.runs) > 1:
            first = self.runs[0].run
            differences = [self._line(run, [_points(row) for row in run.rows]) for run in self.runs[1:]]
            axis = Axis(f"accuracy minus that of {first} (points)")
            note = "on the same images and noise; bands: paired 95% intervals"
            charts.append(Lines(f"Difference to {first}", sigma, axis, differences, [Level(0)], note))
        return charts

    def _line(self, run: NoisyRun, values: Sequence[Sequence[Number]]) -> Line:
        """Draw a run over σ; the first run of a method has the method's colour."""
        y, low, high = zip(*values, strict=True)
        first = next(one for one in self.runs if one.norm == run.norm)
        return Line(run.run, [row.sigma for row in run.rows], y, run.norm if run is first else run.run, low, high)

    def accuracy_at(self, sigma: float | None) -> float | None:
        """Return the first run's accuracy in % at a σ, or on clean images if σ is None; None if it was not measured."""
        rows = self.runs[0].rows
        return next((100 * row.accuracy for row in rows if abs(row.sigma - (sigma or 0)) < 1e-9), None)

    def loss_at(self, sigma: float | None) -> float | None:
        """Return the points of the clean accuracy that the first run loses at a σ; None if it was not measured."""
        clean, noisy = self.accuracy_at(0), self.accuracy_at(sigma)
        return None if clean is None or noisy is None else clean - noisy

    def area(self) -> float:
        """Return the first run's mean accuracy from σ = 0 to the largest, in %.

        It is the area under its curve divided by the width, by trapezoids; the clean accuracy if no other σ was
        measured.
        """
        rows = self.runs[0].rows
        width = rows[-1].sigma - rows[0].sigma
        pairs = [(b.sigma - a.sigma, (a.accuracy + b.accuracy) / 2) for a, b in pairwise(rows)]
        return 100 * (sum(step * height for step, height in pairs) / width if width else rows[0].accuracy)

    METRICS: ClassVar[Mapping[str, Metric]] = {
        "noise-area": Metric("mean accuracy over σ", "%", lambda r, at: r.area()),
        "noisy-accuracy": Metric("accuracy under noise", "%", lambda r, at: r.accuracy_at(at), placed=True),
        "noise-loss": Metric("points lost by noise", "points", lambda r, at: r.loss_at(at), placed=True),
    }


def _accuracies(run: NoisyRun) -> Table:
    rows = [
        (
            number(row.sigma, ".3g"),
            share(row.accuracy),
            interval(row.low_95, row.high_95),
            share(row.sd_over_draws, 2),
            count(row.draws),
            Cell(row.redrawn),
            number(row.seconds, ".1f"),
        )
        for row in run.rows
    ]
    clean, steps = run.rows[0], f"{plural(run.num_steps, 'step')}"
    stopped = f", stopped after {clean.steps}" if clean.steps < run.num_steps else ""
    parts = ", ".join(filter(None, (run.network or "own network", run.norm, run.encoder)))  # "": made in Python
    caption = f"{run.run}: {parts}, {steps}{stopped}; images: {clean.images_chosen}"
    columns = ("σ", "accuracy", "95% interval", "sd over draws", "draws", "redrawn", "seconds")
    per_draw = f"clean, draw by draw: {', '.join(f'{one:.1%}' for one in clean.accuracy_per_draw)}"
    return Table(caption, columns, tuple(rows), per_draw if clean.draws > 1 else "")


def _by_steps(run: NoisyRun) -> Lines:
    lines = over_steps({f"σ {row.sigma:g}": row.accuracy_over_time for row in run.rows})
    return Lines(f"{run.run}: accuracy by number of steps", STEPS, ACCURACY, lines)


def _points(row: NoisyRow) -> list[Number]:
    """Return the difference from the first run and the ends of its interval, in points."""
    shares = (row.to_first, row.to_first_low_95, row.to_first_high_95)
    return [None if share is None else 100 * share for share in shares]
