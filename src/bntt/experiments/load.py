"""A trained run, ready to be used: its best epoch's model, its recipe, and its data when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from bntt.data import ImageSet, SampleLoader
from bntt.data.prepared import Manifest
from bntt.experiments.build import (
    Parts,
    Shown,
    Split,
    as_shown,
    build_data,
    build_model,
    for_measuring,
    measured_images,
    require_device,
)
from bntt.experiments.directory import find_run
from bntt.experiments.identity import MEASURING, check_same_data, check_same_recipe, trained_on
from bntt.experiments.recipe import Recipe, RecipeError, load_recipe
from bntt.experiments.thresholds import load_best
from bntt.nn import SpikingClassifier
from bntt.training.checkpoint import CheckpointError, read_facts


@dataclass(frozen=True)
class LoadedRun:
    """What :func:`load_run` gives."""

    path: Path
    model: SpikingClassifier
    """With the weights and statistics of the epoch that validated best, in evaluation mode."""
    recipe: Recipe
    epoch: int
    """From 0, as in ``metrics.jsonl``."""
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """``[C, H, W]``."""

    @cached_property
    def data(self) -> Parts:
        """The images of the run, opened when they are first asked for and compared with those of the training.

        Raises:
            DataError: if the dataset is missing or damaged.
            CheckpointError: if it is not what the run was trained on.
        """
        data = build_data(self.recipe)
        check_same_data(self.path, data.manifest)
        return data

    def pictures(self, split: Split) -> ImageSet:
        """As :meth:`images`, of a run whose network is shown images as they are.

        Raises:
            RecipeError: if it is shown sequences.
        """
        if isinstance(images := self.images(split), ImageSet):
            return images
        order = self.recipe.data.order
        raise RecipeError(f"{self.path} was trained on sequences (data.order = {order!r}): this is for images")

    def images(self, split: Split) -> Shown:
        """What the recipe measures of a split: all images, or ``evaluate.images`` of them.

        Raises:
            RecipeError: if the split has fewer.
        """
        return measured_images(self.recipe, self.data, split)

    def loader(self, images: Shown) -> SampleLoader:
        """Images in batches of the recipe's measurements, where the model is."""
        device = str(next(self.model.parameters()).device)
        return SampleLoader(images, self.recipe.evaluate.batch_size, device=device)


def load_run(path: str | Path, *, device: str = "cpu") -> LoadedRun:
    """The model, recipe and data of a run directory.

    The model does not need the run's data: sizes and class names are in ``environment.json``, the mean and standard
    deviation of the pixels in the checkpoint.

    Raises:
        CheckpointError: if this is no run, a file of it is missing or damaged, or the recipe was changed after the
            training, but for what only a measurement needs.
        RecipeError: if the recipe cannot be used.
        DeviceError: if the device is not here.
        BackendError: if a block cannot be evaluated as the recipe's ``compute`` asks.

    >>> import tempfile
    >>> from bntt.experiments.directory import new_run_directory
    >>> from bntt.experiments.run import train_run
    >>> small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900"]
    >>> recipe, place = load_recipe("demo", small), new_run_directory("demo", Path(tempfile.mkdtemp()))
    >>> for record in train_run(recipe, build_data(recipe), place):
    ...     pass
    >>> run = load_run(place.path)
    >>> run.model(run.data.test.batch(torch.arange(3)), seed=0).shape, run.classes[0]
    (torch.Size([3, 10]), 'T-shirt/top')
    """
    require_device(device)
    run = find_run(Path(path))
    recipe, best = load_recipe(run.recipe), run.best
    check_same_recipe(recipe, read_facts(best), best, MEASURING)
    like = _images_like(run.path, recipe)
    model = build_model(for_measuring(recipe), like, device)
    facts = load_best(run, recipe, model, needs=("epoch",))
    channels, height, width = like.manifest.shape
    return LoadedRun(run.path, model.eval(), recipe, facts["epoch"], like.test.classes, (channels, height, width))


def _images_like(run: Path, recipe: Recipe) -> Parts:
    """Black images in the number, sizes and classes of the run's, one of them in memory: all that a build looks at.

    Raises:
        CheckpointError: if the run does not say what its images are like.
    """
    facts = trained_on(run)
    try:
        manifest = Manifest(**facts)
        total, classes = manifest.images["train"], tuple(str(name) for name in manifest.classes)
        count = total - round(recipe.data.validation * total)
        channels, height, width = manifest.shape
        pixels = torch.zeros(1, dtype=torch.uint8).expand(count, channels, height, width)
        images = ImageSet(pixels, torch.zeros(1, dtype=torch.int64).expand(count), classes)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{run}/environment.json does not say what the images are like ({error}): put the file back, or train again"
        ) from None
    black = as_shown(images, recipe.data.order)
    return Parts(black, black, black, [0.0] * channels, [1.0] * channels, manifest.name, manifest)
