"""One sample of a recipe's data as its network gets it: an image and its code, frames of events, a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.runs.recipe import recipe_names
from bntt.runs.recipe.build import build_encoder
from bntt.runs.recipe.datasets import Parts, Split
from bntt.runs.recipe.file import Recipe, RecipeError, load_recipe, parse_recipe


@dataclass(frozen=True)
class Sample:
    """What :func:`sample_of` gives."""

    dataset: str
    split: Split
    index: int
    label: str
    encoder: str
    given: Tensor
    """As the set gives it: an image ``[C, H, W]`` with pixels in [0, 1], frames, or a sequence."""
    drive: Tensor
    """What the first layer gets: ``[T, C, H, W]``, or ``[T, F]`` of a sequence."""

    @property
    def is_image(self) -> bool:
        """Whether what was given has no time of its own."""
        return self.given.ndim == 3 and self.drive.ndim == 4


def sample_of(recipe: Recipe, data: Parts, split: Split, index: int) -> Sample:
    """A sample of a split, encoded as in the first draw of an evaluation.

    Args:
        index: its number in the split, from 0.

    Raises:
        RecipeError: if there is no such sample, or the encoder is none for it.

    >>> from bntt.runs.recipe.datasets import build_data
    >>> recipe = load_recipe("demo")
    >>> sample = sample_of(recipe, build_data(recipe), "test", 3)
    >>> sample.label, sample.drive.shape
    ('Trouser', torch.Size([8, 1, 28, 28]))
    """
    samples = data.of(split)
    if not 0 <= index < len(samples):
        raise RecipeError(f"--index {index}: the {split} samples have the numbers 0 to {len(samples) - 1}")
    place = torch.tensor([index])
    given, label = samples.batch(place), samples.classes[int(samples.labels[index])]
    drive = build_encoder(recipe, data)(given, seed=recipe.seed, index=place, draw=FIRST_DRAW)[:, 0]
    return Sample(data.label, split, index, label, recipe.encoder.name, given[0], drive)


def recipe_for(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file; of a dataset without one, signed Poisson spikes of 8 steps, or 8 frames.

    Raises:
        RecipeError: if it is neither, or an override cannot be.
    """
    from bntt.data.registry import DATASETS

    if name in recipe_names() or name not in DATASETS:
        return load_recipe(name, overrides)
    values: dict[str, Any] = {
        "data": {"name": name},
        "encoder": {"name": "poisson" if DATASETS[name].kind == "images" else "frames"},
        "network": {"name": "vgg6", "num_steps": 8},
        "train": {"epochs": 1, "batch_size": 1},
    }
    return parse_recipe(values, overrides)
