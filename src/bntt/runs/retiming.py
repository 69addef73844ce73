"""A run measured at another number of steps than it was trained with, in a named way that is kept with the numbers."""

from __future__ import annotations

import warnings
from typing import get_args

from bntt.analysis.accuracy.measurement import Longer
from bntt.analysis.accuracy.result import Retiming
from bntt.analysis.measurement import ArgumentError
from bntt.nn import SpikingClassifier, norm_facts, retime
from bntt.nn.kinds import encoder_facts_by_name
from bntt.runs.recipe.build import build_encoder, training_loader
from bntt.runs.recipe.datasets import Parts
from bntt.runs.recipe.file import Recipe
from bntt.training import recalibrate


def retiming_of(recipe: Recipe, steps: int, longer: Longer | None) -> Retiming:
    """Choose the way to another number of steps.

    Raises:
        ArgumentError: on fewer steps than one, the number that it has, more without a way, fewer with one, or sequences
            or recordings that have no more.
    """
    trained = recipe.network.num_steps
    if steps < 1 or steps == trained:
        raise ArgumentError(f"--num-steps {steps}: another number than the {trained} of its training, 1 or more")
    if steps < trained:
        if longer is not None:
            raise ArgumentError(
                f"--longer {longer} adds steps, --num-steps {steps} is fewer than {trained}: leave out --longer"
            )
        return Retiming(trained_steps=trained, steps=steps, how="truncate")
    if recipe.data.order:
        raise ArgumentError(f"--num-steps {steps}: the sequences have {trained} steps (data.order), and no more")
    if encoder_facts_by_name(recipe.encoder.name).takes == "frames":
        raise ArgumentError(
            f"--num-steps {steps}: each recording is {trained} frames (network.num_steps), no more: train on {steps}"
        )
    if longer is None:
        raise ArgumentError(
            f"--num-steps {steps} is more than the {trained} that it was trained with: say what the added steps have, "
            f"--longer {', or --longer '.join(get_args(Longer))}"
        )
    return Retiming(trained_steps=trained, steps=steps, how=longer)


def retimed(
    model: SpikingClassifier, recipe: Recipe, data: Parts, asked: Retiming, device: str
) -> tuple[SpikingClassifier, Retiming]:
    """Give the model more steps, and say what was done.

    Raises:
        ArgumentError: if statistics are to be taken anew of a network that has none.
    """
    has_statistics = any(norm_facts(part).running_statistics for part in model.modules())
    if asked.how == "re-estimate" and not has_statistics:
        raise ArgumentError(
            f"--longer re-estimate: network.norm = {recipe.network.norm!r} has no statistics: hold says all"
        )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        network = retime(model.network, asked.steps, "interpolate" if asked.how == "interpolate" else "hold")
    longer = SpikingClassifier(build_encoder(recipe, data, asked.steps), network).to(device).eval()
    seen = 0
    if asked.how == "re-estimate":
        loader = training_loader(recipe, data, device)
        seen = recalibrate(longer, loader, seed=recipe.seed, draw=recipe.train.epochs)
    done = {"samples": seen, "warning": "; ".join(str(one.message) for one in told)}
    return longer, asked.model_copy(update=done)
