"""Stability of training: the grid of starts, its record of failures and gradients, tables, charts and metrics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import Field, model_validator

from bntt.analysis.measurement import ArgumentError, Measurement, Progress
from bntt.analysis.measurements import register
from bntt.analysis.result import Number, OverSteps, Record, Result, Shown
from bntt.analysis.stability import AlongGradient
from bntt.charts.records import Axis, Bar, Bars, Figure, HeatMap, map_over_steps
from bntt.charts.section import Cell, Section, Table

MOMENT = 7
"""Updates that take as long as the measurements at one moment: gradients at seven places."""


@dataclass(frozen=True)
class StabilityArguments:
    """The grid of starts: every network with every norm at every learning rate, several seeds each."""

    networks: tuple[str, ...] = ()
    """Networks of different depth, by name; the recipe's own by default."""
    norms: tuple[str, ...] = ("none", "bn", "bntt")
    """Norms, names from `bntt list norms`."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Learning rates, constant during a start."""
    starts: Annotated[int, Ge(1)] = 3
    """Number of starts of each combination; start s uses the recipe's seed plus s."""
    steps: Annotated[int, Ge(1)] = 100
    """Number of updates in a start, not time steps."""
    images: Annotated[int, Ge(1)] = 6400
    """Largest number of training images that a start sees."""

    def __post_init__(self) -> None:
        if not (self.norms and self.rates):
            raise ArgumentError("--norms and --rates: name at least one of each")
        if not all(0 < rate < math.inf for rate in self.rates):
            raise ArgumentError(f"--rates: learning rates must be finite numbers above 0, got {list(self.rates)}")

    @property
    def moments(self) -> tuple[int, ...]:
        """Update counts at which a start is measured: before the first, half-way, at the end."""
        return tuple(sorted({0, self.steps // 2, self.steps}))

    @property
    def work(self) -> int:
        """Updates that take as long as one start."""
        return self.steps + MOMENT * len(self.moments)


FAILED = Axis("starts that failed", percent=True, low=0, high=1)
MIXED = "a batch of all classes"
"""Setting of starts whose gradients count; older starts took a folder's first batch, which has only one class."""


class Moment(Record):
    """Measurements of a start between two updates, always on the same batch."""

    updates: int
    """Number of updates done before it."""
    gradient: Mapping[str, OverSteps]
    """Norm of the gradient towards each layer's current, by step."""
    along: AlongGradient


class Start(Record):
    """One start of the grid."""

    network: str
    norm: str
    rate: float
    start: int
    updates: int
    """Number of updates done before it ended."""
    accuracy: Number
    """Validation accuracy; None where numbers were not finite."""
    chance: float
    """1 / classes."""
    moments: tuple[Moment, ...]
    """Moments that the start reached."""
    failed: str
    """Reason of failure; "" if it did not fail."""


class Failures(Record):
    """Number of failed starts of a network, norm and rate, and of all of them."""

    network: str
    norm: str
    rate: float
    failed: int
    starts: int


class StabilityResult(Result):
    """All starts of a grid."""

    arguments: StabilityArguments | None = None
    """Arguments of the measurement; None in older files that do not store them."""
    dataset: str = ""
    split: str = "validation"
    settings: Mapping[str, Any]
    """Settings that all starts share."""
    shares: Sequence[Failures]
    cells: Sequence[Start] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Take the dataset from the settings if the file does not name it."""
        if isinstance(values, Mapping) and isinstance(settings := values.get("settings"), Mapping):
            data = settings.get("data", {})
            return {"dataset": data.get("label") or data.get("name"), **values}
        return values

    @property
    def title(self) -> str:
        return f"{self.dataset}: stability of training"

    def rows(self) -> list[dict[str, object]]:
        return [one.model_dump(exclude={"moments"}) | {"start": one.start + 1} for one in self.cells]

    def section(self) -> Section:
        below = "75 %" if self.cells[0].chance == 0.5 else "twice chance"
        words = f"A start failed if numbers were not finite, or if it validated below {below} in the end."
        heads = ("norm", *(f"learning rate {rate:g}" for rate in self._all("rate")))
        tables = list[Table]()
        for network in self._all("network"):
            rows = tuple((Cell(norm), *cells) for norm, cells in self._cells(network).items())
            tables.append(Table(f"Starts of {network} that failed: {self._length}", heads, rows))
        charts = tuple(chart for figure in self.figures() for chart in figure.charts)
        return Section("Stability of training", words=(words,), tables=tuple(tables), charts=charts)

    def figures(self) -> list[Figure]:
        return [
            Figure(self.title, self._failures()),
            Figure(self.title, self._gradients(), stem="gradients"),
        ]

    @property
    def _length(self) -> str:
        return f"{self.settings['steps']} updates per start"

    def _all(self, what: str) -> list[Any]:
        """Return every network, norm or rate, in order."""
        return list(dict.fromkeys(getattr(one, what) for one in self.shares))

    def _cells(self, network: str) -> dict[str, list[Cell]]:
        """Return the shares of failed starts at every rate, by norm."""
        shares = {
            (one.norm, one.rate): Cell(f"{one.failed} of {one.starts}", one.failed / one.starts)
            for one in self.shares
            if one.network == network
        }
        return {norm: [shares.get((norm, rate), Cell("–")) for rate in self._all("rate")] for norm in self._all("norm")}

    def _failures(self) -> list[Bars]:
        names = [f"learning rate {rate:g}" for rate in self._all("rate")]
        note = f"{max(one.starts for one in self.shares)} starts each, {self._length}"
        charts = []
        for network in self._all("network"):
            bars = [Bar(norm, [cell.value for cell in row], norm) for norm, row in self._cells(network).items()]
            charts.append(Bars(f"{network}: starts that failed", FAILED, names, bars, note=note))
        return charts

    @property
    def shown(self) -> dict[str, Start]:
        """Return, by norm, the first start of the last network at the largest rate at which most of them trained."""
        network = self._all("network")[-1]
        first = [one for one in self.cells if one.network == network and one.start == 0]
        trained = {rate: sum(not one.failed for one in first if one.rate == rate) for rate in self._all("rate")}
        rate = max(trained, key=lambda rate: (trained[rate], rate))
        return {one.norm: one for one in first if one.rate == rate}

    def _gradients(self) -> list[HeatMap]:
        """Return the gradients of the last moment, on one scale for all norms."""
        last = {norm: (start, start.moments[-1]) for norm, start in self.shown.items()}
        held = [v for _, m in last.values() for row in m.gradient.values() for v in row if v]
        low, high = min(held, default=None), max(held, default=None)
        scale = Axis("gradient norm (grey: none)", scale="log", low=low, high=high)
        return [
            map_over_steps(
                f"{norm}: gradient towards the synaptic current",
                {layer: [v or None for v in row] for layer, row in moment.gradient.items()},
                scale,
                f"{start.network}, learning rate {start.rate:g}, first start, after {moment.updates} updates",
            )
            for norm, (start, moment) in last.items()
        ]

    @property
    def failed_starts(
        self,
    ) -> Annotated[float, Shown("starts that failed", form=".1%", metric="failed-starts", digits=0)]:
        return sum(one.failed for one in self.shares) / sum(one.starts for one in self.shares)

    @property
    def reached_accuracy(
        self,
    ) -> Annotated[float, Shown("validation accuracy reached", form=".1%", metric="reached-accuracy")]:
        return mean(one.chance if one.accuracy is None else one.accuracy for one in self.cells)

    @property
    def _mixed(self) -> Sequence[Start]:
        return self.cells if self.settings.get("gradients_of") == MIXED else ()

    def gradient_change_at_loss(
        self, percent: float | None
    ) -> Annotated[
        Number,
        Shown(
            "change of the gradient where the loss is so many % lower", "%", metric="gradient-change-at-loss", digits=0
        ),
    ]:
        """Return ``‖g(w) - g(w - η g)‖ / ‖g(w)‖`` in percent, at the least η that lowers the loss by so many %."""
        moments = [moment.along for start in self._mixed for moment in start.moments]
        found = [c for along in moments if (c := change_at_loss(along, (percent or 0) / 100)) is not None]
        return 100 * mean(found) if found and 2 * len(found) >= len(moments) else None

    def gradient_change(
        self, rate: float | None
    ) -> Annotated[Number, Shown("change of the gradient over a step", "%", metric="gradient-change", digits=0)]:
        """Return ``‖g(w) - g(w - η g)‖ / ‖g(w)‖`` in percent: the mean over the starts and moments at this rate η."""
        found = []
        for start in (one for one in self._mixed if abs(one.rate - (rate or 0)) <= 1e-9):
            for along in (moment.along for moment in start.moments):
                nearest = min(range(len(along.steps)), key=lambda i: abs(along.steps[i] - start.rate))
                if (change := along.change[nearest]) is not None and along.norm:
                    found.append(100 * change / along.norm)
        return mean(found) if found else None


def change_at_loss(along: AlongGradient, share: float) -> float | None:
    """Return the change of the gradient, relative to its norm, where the loss is first this share below its start."""
    if not along.start or not along.norm:
        return None
    wanted, loss, change = along.start * (1 - share), along.start, 0.0
    for next_loss, next_change in zip(along.loss, along.change, strict=True):
        if next_loss is None or next_change is None:
            return None
        if next_loss <= wanted:
            part = (loss - wanted) / (loss - next_loss)
            return (change + part * (next_change - change)) / along.norm
        loss, change = next_loss, next_change
    return None


def failures(starts: Sequence[Start]) -> list[Failures]:
    """Count the starts of each network, norm and rate, and those that failed."""
    every = Counter((one.network, one.norm, one.rate) for one in starts)
    failed = Counter((one.network, one.norm, one.rate) for one in starts if one.failed)
    return [
        Failures(network=network, norm=norm, rate=rate, failed=failed[network, norm, rate], starts=count)
        for (network, norm, rate), count in every.items()
    ]


def measure_stability(opened: Any, arguments: StabilityArguments, progress: Progress) -> StabilityResult:
    """Train the missing starts of a grid as the recipe says, but at a constant rate, with all steps, on few images."""
    from bntt.runs.recipe.build import build_data
    from bntt.runs.stability.starts import settings_of, trained_starts

    data = build_data(opened.recipe)
    settings = settings_of(opened.recipe, arguments, data)
    starts = list(trained_starts(opened, arguments, settings, data, progress))
    return StabilityResult(arguments=arguments, settings=settings, shares=failures(starts), cells=starts)


STABILITY = register(
    Measurement(
        "stability",
        """Train a recipe from several seeds with every norm, network and learning rate, and count the starts that fail.

    A start fails if numbers are not finite, or if its validation accuracy is below twice chance at the end (with two
    classes: below 75 %). Before, half-way through and after training, it measures the gradients of every layer and
    step, and how well the gradient predicts the loss along it. Finished starts are kept: the same command continues
    after a stop.

    Example: bntt stability demo --networks vgg6 vgg9 --rates 0.1 1 10 --starts 3 --steps 50 --images 2000""",
        StabilityArguments,
        StabilityResult,
        measure_stability,
        opens="recipe",
        needs_spikes=False,
    )
)
