"""Measure runs on noisy images: the same images, with the same noise, for every run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bntt.analysis.accuracy.accuracy import wilson
from bntt.analysis.accuracy.evaluation import evaluate, paired
from bntt.analysis.measurement import ArgumentError, Opened, Progress, run_names
from bntt.analysis.robustness.measurement import RobustArguments
from bntt.analysis.robustness.result import NoisyRow, NoisyRun, RobustResult
from bntt.nn import NoisyEncoder, SpikingClassifier
from bntt.nn.kinds import encoder_facts

SEED = 0
"""Seed of the noise and of the choice of images, regardless of the seeds of the runs: it is the same for all."""


def measure_robustness(opened: Sequence[Opened], arguments: RobustArguments, progress: Progress) -> RobustResult:
    """Measure every run at every σ, on the same images with the same noise.

    Draw d of an image has the same noise pattern for every run, encoder and σ; a Poisson code also draws its spikes.
    If nothing is random (clean images in direct coding, or for an ANN), one pass is made. With σ above 0 the noise is
    random, so more draws add information there too.

    Raises:
        ArgumentError: if a run is given twice; runs differ in their images; there are too few images or steps; a
            run's encoder cannot take the noise; or several draws are requested although nothing is random.
    """
    names = run_names(opened)
    loaders, chosen = _loaders(opened, arguments)
    _check(opened, arguments)
    images = len(loaders[0].places)
    progress.expect(images * sum(_draws(opened, one, arguments, sigma) for one in opened for sigma in arguments.grid))
    runs, right = list[NoisyRun](), dict[float, Tensor]()
    for name, one, loader in zip(names, opened, loaders, strict=True):
        rows = list[NoisyRow]()
        for sigma in arguments.grid:
            began, draws = time.perf_counter(), _draws(opened, one, arguments, sigma)
            model = SpikingClassifier(_noisy(one, arguments, sigma), one.model.network)
            found = evaluate(model, loader, seed=one.seed, draws=draws, steps=arguments.steps, progress=progress)
            accuracy, first = found.accuracy, right.setdefault(sigma, found.right)
            row = NoisyRow.model_validate({
                "run": name, "sigma": sigma, "sigma_in": arguments.where, "clipped": not arguments.unclipped,
                **accuracy.columns, "clean_accuracy": rows[0].accuracy if rows else accuracy.mean,
                **_difference(found.right, first if runs else None), "draws": draws, "redrawn": _randomness(one, sigma),
                "steps": len(accuracy.over_time), "images": images, "images_chosen": chosen,
                "seconds": time.perf_counter() - began, "accuracy_per_draw": accuracy.per_draw,
                "accuracy_over_time": accuracy.over_time,
                "over_time_wilson_95": [wilson(share, accuracy.samples) for share in accuracy.over_time],
            })  # fmt: skip
            rows.append(row)
        facts = {key: getattr(one.facts, key) for key in ("network", "norm", "encoder", "num_steps")}
        runs.append(NoisyRun(run=name, epoch=one.epoch, rows=rows, **facts))
    return RobustResult(
        arguments=arguments, dataset=opened[0].dataset, split=arguments.split, classes=len(opened[0].classes),
        images=images, images_chosen=chosen, sigma_in=arguments.where, clipped=not arguments.unclipped,
        noise_seed=SEED, runs=runs,
    )  # fmt: skip


def _loaders(opened: Sequence[Opened], arguments: RobustArguments) -> tuple[list[Any], str]:
    """Load the same images of every run in batches, and describe the choice."""
    first, *others = opened
    there = len(first.pictures(arguments.split))
    count = arguments.images or min(len(one.loader(arguments.split).places) for one in opened)
    if count > there:
        raise ArgumentError(f"--images {count}: the {arguments.split} split of {first.path} has {there}")
    loader, chosen = first.part(arguments.split, count, SEED)
    for other in others:
        if not first.has_same_images(other, arguments.split, loader.places):
            raise ArgumentError(
                f"{other.path} has other {arguments.split} images than {first.path}: compare runs of one dataset; "
                f"validation images also differ with the recipe's seed, those of --split test do not"
            )
    return [loader, *(other.part(arguments.split, count, SEED)[0] for other in others)], chosen


def _check(opened: Sequence[Opened], arguments: RobustArguments) -> None:
    for one in opened:
        there = one.model.encoder.num_steps
        if arguments.steps is not None and arguments.steps > there:
            raise ArgumentError(f"--steps {arguments.steps}: {one.path} has {there} steps")
        _noisy(one, arguments, arguments.grid[-1])
    fixed = arguments.grid == (0.0,) and all(_randomness(one, 0.0) == "nothing" for one in opened)
    if fixed and (arguments.draws or 1) > 1:
        raise ArgumentError(
            f"--draws {arguments.draws}: clean images are not random here, every pass would be the same; "
            f"leave out --draws, or name a sigma above 0"
        )


def _noisy(one: Opened, arguments: RobustArguments, sigma: float) -> NoisyEncoder:
    try:
        return NoisyEncoder(one.model.encoder, sigma, where=arguments.where, clip=not arguments.unclipped, seed=SEED)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{one.path}: {error}") from None


def _randomness(one: Opened, sigma: float) -> str:
    drawn = ["spikes"] * encoder_facts(one.model.encoder).random + ["noise"] * (sigma > 0)
    return ", ".join(drawn) or "nothing"


def _draws(opened: Sequence[Opened], one: Opened, arguments: RobustArguments, sigma: float) -> int:
    return 1 if _randomness(one, sigma) == "nothing" else arguments.draws or opened[0].draws


def _difference(right: Tensor, first: Tensor | None) -> dict[str, float | None]:
    """Return the accuracy minus that of the first run, with its interval; None for the first run itself."""
    if first is None:
        return dict.fromkeys(("to_first", "to_first_low_95", "to_first_high_95"))
    found = paired(right, first)
    low, high = found.interval
    return {"to_first": found.difference, "to_first_low_95": low, "to_first_high_95": high}
