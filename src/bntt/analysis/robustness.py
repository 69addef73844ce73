"""Accuracy on images with Gaussian noise: the same images, with the same noise, for every run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field

from bntt.analysis.measurement import (
    ArgumentError,
    Draws,
    Measurement,
    Opened,
    Progress,
    Split,
    check_same_images,
    refuse_repeats,
    run_names,
)
from bntt.analysis.result import Number, OverSteps, Record, Result, Share, Shown, table
from bntt.charts.records import STEPS, Axis, Level, Line, Lines, over_steps
from bntt.charts.section import Section, plural

Unit = Literal["pixels", "normalized"]
"""Unit of σ: the range of the pixels, or their standard deviation."""
UNITS = {"pixels": "1 = the range of the pixels", "normalized": "1 = a standard deviation of the pixels"}
NOISED = {"pixels": "pixel values in [0, 1]", "normalized": "normalised pixel values, in their standard deviations"}
ACCURACY = Axis("accuracy", percent=True, low=0, high=1)
SEED = 0
"""Seed of the noise and of the choice of images, regardless of the seeds of the runs: it is the same for all."""


@dataclass(frozen=True)
class RobustArguments:
    """Arguments of the robustness measurement."""

    RETIRED = (("steps", None),)

    sigmas: tuple[Annotated[float, Ge(0), Le(1000)], ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Standard deviations σ of the noise; 0 is always measured."""
    where: Unit = "pixels"
    """Unit of σ: the range of the pixels, or their standard deviation (normalised pixels)."""
    unclipped: bool = False
    """Do not clip noisy pixels to the range from 0 to 1."""
    draws: Draws | None = None
    """Number of draws, each with fresh noise and spikes; by default the first recipe's (5 by default)."""
    images: Annotated[int, Ge(1)] | None = None
    """Number of images, stratified by class; by default the fewest that a run's recipe measures (all by default)."""
    split: Split = "test"
    """Split whose images are measured."""

    @property
    def grid(self) -> tuple[float, ...]:
        """The sigmas with 0, ascending, each once."""
        return tuple(sorted({0.0, *self.sigmas}))


class NoisyRow(Record):
    """One run at one σ."""

    run: str
    sigma: Annotated[float, Shown("σ", form=".3g")]
    accuracy: Annotated[Share, Shown(form=".1%")]
    low_95: float
    high_95: float
    sd_over_draws: Annotated[Number, Shown(form=".2%")]
    clean_accuracy: Share
    to_first: Annotated[Number, Shown("difference", form="+.1%")]
    """Accuracy minus that of the first run on the same images and noise; None for the first run itself."""
    to_first_low_95: Number
    to_first_high_95: Number
    draws: int
    redrawn: str
    """"spikes", "noise", "spikes, noise" or "nothing"."""
    seconds: Annotated[float, Shown(form=".1f")]
    accuracy_per_draw: Sequence[Share]
    accuracy_over_time: OverSteps

    @property
    def interval(self) -> Annotated[tuple[float, float], Shown("95% interval", form=".1%")]:
        return self.low_95, self.high_95

    @property
    def difference_interval(self) -> Annotated[tuple[Number, Number], Shown("paired 95% interval", form="+.1%")]:
        return self.to_first_low_95, self.to_first_high_95


class NoisyRun(Record):
    """One run at every σ, the clean one first."""

    run: str
    network: str
    norm: str
    encoder: str
    num_steps: int
    epoch: int
    rows: Annotated[Sequence[NoisyRow], Field(min_length=1)]

    @property
    def text(self) -> str:
        parts = ", ".join(filter(None, (self.network or "own network", self.norm, self.encoder)))  # "": made in Python
        return f"{self.run}: {parts}, {plural(self.num_steps, 'step')}"


class RobustResult(Result):
    """Accuracy of runs on images with the same noise."""

    arguments: RobustArguments | None = None
    classes: int | None = None
    images: int
    images_chosen: str
    sigma_in: Unit
    clipped: bool
    noise_seed: int
    runs: Annotated[Sequence[NoisyRun], Field(min_length=1)]

    @property
    def title(self) -> str:
        draws = max(row.draws for run in self.runs for row in run.rows)
        images = f"{self.dataset}, {self.split} images: {self.images_chosen}"
        return f"{images}; Gaussian noise, {'' if self.clipped else 'not '}clipped, {plural(draws, 'draw')}"

    def noisy_accuracy(
        self, sigma: float | None
    ) -> Annotated[Number, Shown("accuracy under noise", "%", metric="noisy-accuracy")]:
        """Return the first run's accuracy in % at a σ, or on clean images if σ is None; None if it was not measured."""
        rows = self.runs[0].rows
        return next((100 * row.accuracy for row in rows if abs(row.sigma - (sigma or 0)) < 1e-9), None)

    def noise_loss(
        self, sigma: float | None
    ) -> Annotated[Number, Shown("points lost by noise", "points", metric="noise-loss")]:
        """Return the points of the clean accuracy that the first run loses at a σ; None if it was not measured."""
        clean, noisy = self.noisy_accuracy(0), self.noisy_accuracy(sigma)
        return None if clean is None or noisy is None else clean - noisy

    @property
    def noise_area(self) -> Annotated[float, Shown("mean accuracy over σ", form=".1%", metric="noise-area")]:
        """The first run's mean accuracy from σ = 0 to the largest, by trapezoids; the clean one if σ is only 0."""
        rows = self.runs[0].rows
        width = rows[-1].sigma - rows[0].sigma
        areas = ((b.sigma - a.sigma) * ((a.accuracy + b.accuracy) / 2) for a, b in pairwise(rows))
        return sum(areas) / width if width else rows[0].accuracy

    def rows(self) -> list[dict[str, object]]:
        return [row.flat() for run in self.runs for row in run.rows]

    def section(self) -> Section:
        clipped = "; the noisy pixels are clipped to [0, 1]" if self.clipped else ""
        first, rows = self.runs[0], [row for run in self.runs for row in run.rows]
        columns = ["run", "sigma", "accuracy", "interval", "sd_over_draws", "draws", "redrawn", "seconds"]
        columns += ["to_first", "difference_interval"] * (len(self.runs) > 1)
        by_steps = over_steps({f"σ {row.sigma:g}": row.accuracy_over_time for row in first.rows})
        return Section(
            "Robustness to noise",
            words=(
                f"Gaussian noise, the same for every run, is added to {NOISED[self.sigma_in]}{clipped}.",
                *(run.text for run in self.runs),
            ),
            charts=(
                *self._over_sigma(),
                Lines(f"{first.run}: accuracy by number of steps", STEPS, ACCURACY, by_steps),
            ),
            folded=(table(f"Accuracy under noise; difference: minus {first.run}", rows, *columns),),
        )

    def _over_sigma(self) -> list[Lines]:
        sigma, first = Axis(f"σ of the noise ({UNITS[self.sigma_in]})"), self.runs[0].run
        of_method = {run.norm: run for run in reversed(self.runs)}

        def line(run: NoisyRun, *keys: str, times: int = 1) -> Line:
            found = [[getattr(row, key) for row in run.rows] for key in keys]
            y, low, high = ([None if value is None else times * value for value in values] for values in found)
            colour = run.norm if of_method[run.norm] is run else run.run  # the first of a method has its colour
            return Line(run.run, [row.sigma for row in run.rows], y, colour, low, high)

        chance = [Level(1 / self.classes, "chance")] if self.classes else []
        accuracy = [line(run, "accuracy", "low_95", "high_95") for run in self.runs]
        band = "after all steps; bands: 95% intervals over images"
        charts = [Lines("Accuracy under noise", sigma, ACCURACY, accuracy, chance, band)]
        keys = ("to_first", "to_first_low_95", "to_first_high_95")
        if differences := [line(run, *keys, times=100) for run in self.runs[1:]]:
            axis = Axis(f"accuracy minus that of {first} (points)")
            note = "on the same images and noise; bands: paired 95% intervals"
            charts.append(Lines(f"Difference to {first}", sigma, axis, differences, [Level(0)], note))
        return charts


def measure_robustness(opened: Sequence[Opened], arguments: RobustArguments, progress: Progress) -> RobustResult:
    """Measure every run at every σ; draw d of an image has the same noise for every run, encoder and σ."""
    from bntt.analysis.accuracy.evaluation import evaluate, paired
    from bntt.nn import NoisyEncoder, SpikingClassifier
    from bntt.nn.kinds import encoder_facts

    names, (loaders, chosen) = run_names(opened), _same_images(opened, arguments)
    options: dict[str, Any] = {"where": arguments.where, "clip": not arguments.unclipped, "seed": SEED}
    plan = dict[tuple[str, float], tuple[NoisyEncoder, str, int]]()
    for name, one in zip(names, opened, strict=True):
        encoder = one.model.encoder
        for sigma in arguments.grid:
            drawn = ["spikes"] * encoder_facts(encoder).random + ["noise"] * (sigma > 0)
            draws = (arguments.draws or opened[0].draws) if drawn else 1
            try:
                plan[name, sigma] = NoisyEncoder(encoder, sigma, **options), ", ".join(drawn) or "nothing", draws
            except (TypeError, ValueError) as error:
                raise ArgumentError(f"{one.path}: {error}") from None
    if max(draws for _, _, draws in plan.values()) == 1:
        refuse_repeats("draws", arguments.draws, "clean images are not random here")
    images = len(loaders[0].places)
    progress.expect(images * sum(draws for _, _, draws in plan.values()))
    runs, right = list[NoisyRun](), dict[float, Any]()
    for name, one, loader in zip(names, opened, loaders, strict=True):
        rows = list[NoisyRow]()
        for sigma in arguments.grid:
            encoder, redrawn, draws = plan[name, sigma]
            began, model = time.perf_counter(), SpikingClassifier(encoder, one.model.network)
            found = evaluate(model, loader, seed=one.seed, draws=draws, progress=progress)
            accuracy, first = found.accuracy, right.setdefault(sigma, found.right)
            beside = paired(found.right, first) if runs else None
            low, high = beside.interval if beside else (None, None)
            row = {
                "run": name, "sigma": sigma, **accuracy.columns,
                "clean_accuracy": rows[0].accuracy if rows else accuracy.mean,
                "to_first": beside and beside.difference, "to_first_low_95": low, "to_first_high_95": high,
                "draws": draws, "redrawn": redrawn,
                "seconds": time.perf_counter() - began, "accuracy_per_draw": accuracy.per_draw,
                "accuracy_over_time": accuracy.over_time,
            }  # fmt: skip
            rows.append(NoisyRow.model_validate(row))
        facts = {key: getattr(one.facts, key) for key in ("network", "norm", "encoder", "num_steps")}
        runs.append(NoisyRun(run=name, epoch=one.epoch, rows=rows, **facts))
    return RobustResult(
        arguments=arguments, dataset=opened[0].dataset, split=arguments.split, classes=len(opened[0].classes),
        images=images, images_chosen=chosen, sigma_in=arguments.where, clipped=not arguments.unclipped,
        noise_seed=SEED, runs=runs,
    )  # fmt: skip


def _same_images(opened: Sequence[Opened], arguments: RobustArguments) -> tuple[list[Any], str]:
    """Load the same images of every run in batches, and describe the choice."""
    first, split = opened[0], arguments.split
    count, there = arguments.images or min(len(one.loader(split).places) for one in opened), len(first.pictures(split))
    if count > there:
        raise ArgumentError(f"--images {count}: the {split} split of {first.path} has {there}")
    loader, chosen = first.part(split, count, SEED)
    check_same_images(opened, split, loader.places)
    return [loader, *(other.part(split, count, SEED)[0] for other in opened[1:])], chosen


ROBUST = Measurement(
    "robust",
    """Measure accuracy on images with Gaussian noise, the same for every run, against σ and the number of steps.

    Each draw of an image has one noise pattern, the same at all time steps; a Poisson encoder draws its spikes on top.
    The first row, σ = 0, is the clean accuracy, and its spread is the encoder's own noise. Several runs are compared
    with the first, image by image.

    Example: bntt robust runs/fashion-mnist --sigmas 0.1 0.2 0.4 --draws 5 --images 1000""",
    RobustArguments,
    RobustResult,
    measure_robustness,
    several=True,
    draws_noise=True,
    needs_spikes=False,
)
