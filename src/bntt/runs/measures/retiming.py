"""A run measured at another number of steps than it was trained with, in a named way that is kept with the numbers."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from bntt.nn import SpikingClassifier, TemporalNorm, retime
from bntt.runs.recipe.build import build_encoder, training_loader
from bntt.runs.recipe.datasets import Parts
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.training import recalibrate

Longer = Literal["hold", "interpolate", "re-estimate"]
"""The last step's γ and statistics again and again; all steps' stretched; or γ held, and the statistics of all steps
taken anew from training batches."""


@dataclass(frozen=True)
class Retiming:
    """How a run is measured at another T."""

    trained_steps: int
    steps: int
    how: Literal["truncate"] | Longer
    samples: int = 0
    """Of the training part, that statistics were taken anew from."""
    warning: str = ""

    @property
    def stem(self) -> str:
        """What its files are called after, so that no usual one is written over."""
        return f"{self.steps}-steps-{self.how}"

    @property
    def text(self) -> str:
        """In one line."""
        anew = f" from {self.samples:,} training samples" if self.samples else ""
        return f"trained with {self.trained_steps} steps, measured with {self.steps}: {self.how}{anew}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def retiming_of(recipe: Recipe, steps: int, longer: Longer | None) -> Retiming:
    """The way to another number of steps, as it is asked for.

    Raises:
        RecipeError: on fewer steps than one, the number that it has, more without a way, fewer with one, or sequences
            or recordings that have no more.
    """
    trained = recipe.network.num_steps
    if steps < 1 or steps == trained:
        raise RecipeError(f"--num-steps {steps}: another number than the {trained} of its training, 1 or more")
    if steps < trained:
        if longer is not None:
            raise RecipeError(
                f"--longer {longer} adds steps, --num-steps {steps} is fewer than {trained}: leave it away"
            )
        return Retiming(trained, steps, "truncate")
    if recipe.data.order:
        raise RecipeError(f"--num-steps {steps}: the sequences have {trained} steps (data.order), and no more")
    if recipe.encoder.name == "frames":
        raise RecipeError(
            f"--num-steps {steps}: each recording is {trained} frames (network.num_steps), no more: train on {steps}"
        )
    if longer is None:
        raise RecipeError(
            f"--num-steps {steps} is more than the {trained} that it was trained with: say what the added steps have, "
            f"--longer {', or --longer '.join(get_args(Longer))}"
        )
    return Retiming(trained, steps, longer)


def retimed(
    model: SpikingClassifier, recipe: Recipe, data: Parts, asked: Retiming, device: str
) -> tuple[SpikingClassifier, Retiming]:
    """The model at more steps, and what was done.

    Raises:
        RecipeError: if statistics shall be taken anew of a network without any.
    """
    has_statistics = any(isinstance(part, TemporalNorm) for part in model.modules())
    if asked.how == "re-estimate" and not has_statistics:
        raise RecipeError(
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
    return longer, replace(asked, samples=seen, warning="; ".join(str(one.message) for one in told))
