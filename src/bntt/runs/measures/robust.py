"""Trained runs on noisy images: accuracy against σ, by number of steps, and how runs differ on the same noise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from bntt.analysis import Accuracy, Paired, evaluate, paired
from bntt.analysis.accuracy.accuracy import wilson
from bntt.data import PartLoader, stratified
from bntt.data.images.image_set import same_images
from bntt.data.subset import how_chosen
from bntt.runs.open_run import LoadedRun, names_of
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError
from bntt.nn import NoisyEncoder, PoissonEncoder, SpikingClassifier

SIGMAS = tuple(tenths / 10 for tenths in range(11))
LARGEST = 1000.0
"""σ beyond this is a slip of the pen: the pixels are from 0 to 1."""
SEED = 0
"""Of the noise and of the choice of images, whatever the seeds of the runs: they are the same for all."""


@dataclass(frozen=True)
class Noise:
    """What noise is asked for, and on which images.

    Raises:
        RecipeError: if it cannot be had.
    """

    sigmas: tuple[float, ...] = SIGMAS
    """Standard deviations; 0 is always measured, for it is the clean accuracy."""
    where: str = "pixels"
    """In what they are measured: see :class:`~bntt.nn.NoisyEncoder`."""
    clip: bool = True
    draws: int | None = None
    """As many as the first run's recipe says, where none are named."""
    images: int | None = None
    """So many, stratified by class; all where none are named."""
    split: Split = "test"
    steps: int | None = None
    """Stop after so many."""

    def __post_init__(self) -> None:
        for sigma in self.sigmas:
            if not (math.isfinite(sigma) and 0 <= sigma <= LARGEST):
                raise RecipeError(f"--sigmas must be finite numbers from 0 to {LARGEST:g}, got {sigma}")
        for name, value in (("draws", self.draws), ("images", self.images), ("steps", self.steps)):
            if value is not None and value < 1:
                raise RecipeError(f"--{name} must be 1 or more, got {value}")

    @property
    def grid(self) -> tuple[float, ...]:
        """The sigmas with 0, ascending, each once."""
        return tuple(sorted({0.0, *self.sigmas}))


@dataclass(frozen=True)
class NoisyRow:
    """One run at one σ."""

    sigma: float
    accuracy: Accuracy
    random: str
    """What was drawn anew in every draw: "spikes", "noise", "spikes, noise"; or "nothing"."""
    to_first: Paired | None
    """This run minus the first; None for the first itself."""
    seconds: float


@dataclass(frozen=True)
class NoisyRun:
    """One run at every σ, the clean one first."""

    name: str
    facts: Mapping[str, object]
    """Network, norm, encoder, steps and epoch."""
    rows: tuple[NoisyRow, ...]


@dataclass(frozen=True)
class RobustResult:
    """What :func:`robust_run` measured."""

    asked: Noise
    dataset: str
    classes: int
    images: int
    chosen: str
    """Which images, in words."""
    runs: tuple[NoisyRun, ...]


def robust_run(
    loaded: Sequence[LoadedRun], asked: Noise, *, progress: Callable[[int], None] = lambda images: None
) -> RobustResult:
    """Measure every run at every σ: the same images, and the same noise on them.

    Draw d of an image has one noise, whatever the run, its encoder or σ; a Poisson code draws its spikes beside that.
    Where nothing is random, clean images in direct coding or an ANN's, one pass is made. With σ above 0 the noise is
    drawn, so that more draws say more there too.

    Args:
        progress: called with numbers of images done, of ``images_in_all``.

    Raises:
        RecipeError: if there is no run or one twice; runs differ in their images; there are not so many images or
            steps; a run's encoder cannot take such noise; or several draws are asked for where nothing is random.
    """
    places = _places(loaded, asked)
    _check(loaded, asked)
    names = names_of(loaded)
    runs, right = list[NoisyRun](), dict[float, Tensor]()
    for name, one in zip(names, loaded, strict=True):
        loader = PartLoader(
            one.pictures(asked.split), places, one.recipe.evaluate.batch_size, str(next(one.model.parameters()).device)
        )
        rows = []
        for sigma in asked.grid:
            began, seed, draws = time.perf_counter(), one.recipe.seed, _draws(loaded, one, asked, sigma)
            model = SpikingClassifier(_noisy(one, asked, sigma), one.model.network)
            found = evaluate(model, loader, seed=seed, draws=draws, steps=asked.steps, progress=progress)
            seconds = time.perf_counter() - began
            to_first = paired(found.right, right[sigma]) if runs else None
            right.setdefault(sigma, found.right)
            rows.append(NoisyRow(sigma, found.accuracy, _random(one, sigma), to_first, seconds))
        runs.append(NoisyRun(name, _facts(one), tuple(rows)))
    first = loaded[0]
    chosen = how_chosen(first.pictures(asked.split), len(places), SEED)
    return RobustResult(asked, first.data.label, len(first.classes), len(places), chosen, tuple(runs))


def images_in_all(loaded: Sequence[LoadedRun], asked: Noise) -> int:
    """How many images :func:`robust_run` goes through, those of every draw.

    Raises:
        RecipeError: as :func:`robust_run`, before anything is measured.
    """
    draws = sum(_draws(loaded, one, asked, sigma) for one in loaded for sigma in asked.grid)
    return draws * len(_places(loaded, asked))


def _places(loaded: Sequence[LoadedRun], asked: Noise) -> Tensor:
    if not loaded:
        raise RecipeError("name a run directory, or several to be compared")
    first, *others = loaded
    images = first.pictures(asked.split)
    count = asked.images or min(one.recipe.evaluate.images or len(images) for one in loaded)
    if count > len(images):
        raise RecipeError(f"--images {count}: the {asked.split} split of {first.path} has {len(images)}")
    places = stratified(images, count, SEED)
    for other in others:
        if not same_images(images, other.pictures(asked.split), places):
            raise RecipeError(
                f"{other.path} has other {asked.split} images than {first.path}: compare runs of one dataset; "
                f"validation images also differ with the recipe's seed, those of --split test do not"
            )
    return places


def _check(loaded: Sequence[LoadedRun], asked: Noise) -> None:
    for one in loaded:
        there = one.model.encoder.num_steps
        if asked.steps is not None and asked.steps > there:
            raise RecipeError(f"--steps {asked.steps}: {one.path} has {there} steps")
        _noisy(one, asked, asked.grid[-1])
    if asked.grid == (0.0,) and (asked.draws or 1) > 1 and all(_random(one, 0.0) == "nothing" for one in loaded):
        raise RecipeError(
            f"--draws {asked.draws}: nothing is drawn for clean images here, every pass would be the same; "
            f"leave --draws away, or name a sigma above 0"
        )


def _noisy(one: LoadedRun, asked: Noise, sigma: float) -> NoisyEncoder:
    try:
        return NoisyEncoder(one.model.encoder, sigma, where=asked.where, clip=asked.clip, seed=SEED)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{one.path}: {error}") from None


def _random(one: LoadedRun, sigma: float) -> str:
    drawn = ["spikes"] * isinstance(one.model.encoder, PoissonEncoder) + ["noise"] * (sigma > 0)
    return ", ".join(drawn) or "nothing"


def _draws(loaded: Sequence[LoadedRun], one: LoadedRun, asked: Noise, sigma: float) -> int:
    if _random(one, sigma) == "nothing":
        return 1
    return loaded[0].recipe.evaluate.draws if asked.draws is None else asked.draws


def _facts(one: LoadedRun) -> dict[str, object]:
    recipe = one.recipe
    return {
        "network": recipe.network.name,
        "norm": recipe.network.norm,
        "encoder": recipe.encoder.name,
        "num_steps": recipe.network.num_steps,
        "epoch": one.epoch,
    }


def robust_rows(result: RobustResult) -> list[dict[str, object]]:
    """A row for each run and σ, with all that it needs to be read by itself."""
    return [_row(result, run, row) for run in result.runs for row in run.rows]


def _row(result: RobustResult, run: NoisyRun, row: NoisyRow) -> dict[str, object]:
    asked, found, to_first = result.asked, row.accuracy, row.to_first
    return {
        "run": run.name,
        "sigma": row.sigma,
        "sigma_in": asked.where,
        "clipped": asked.clip,
        "accuracy": found.mean,
        "low_95": found.interval[0],
        "high_95": found.interval[1],
        "sd_over_draws": found.spread,
        "clean_accuracy": run.rows[0].accuracy.mean,
        "to_first": None if to_first is None else to_first.difference,
        "to_first_low_95": None if to_first is None else to_first.interval[0],
        "to_first_high_95": None if to_first is None else to_first.interval[1],
        "draws": len(found.correct),
        "redrawn": row.random,
        "steps": len(found.over_time),
        "images": result.images,
        "images_chosen": result.chosen,
        "seconds": row.seconds,
    }


def robust_json(result: RobustResult) -> dict[str, object]:
    """The numbers with their names, ready for ``json``; over time means: when stopped after each step."""
    return {
        "dataset": result.dataset,
        "split": result.asked.split,
        "images": result.images,
        "images_chosen": result.chosen,
        "sigma_in": result.asked.where,
        "clipped": result.asked.clip,
        "noise_seed": SEED,
        "runs": [
            {
                "run": run.name,
                **run.facts,
                "rows": [
                    {
                        **_row(result, run, row),
                        "accuracy_per_draw": row.accuracy.per_draw,
                        "accuracy_over_time": row.accuracy.over_time,
                        "over_time_wilson_95": [wilson(share, result.images) for share in row.accuracy.over_time],
                    }
                    for row in run.rows
                ],
            }
            for run in result.runs
        ],
    }
