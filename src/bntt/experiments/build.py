"""From a recipe to objects: names become flat arguments of the library's builders."""

from __future__ import annotations

from dataclasses import dataclass

from bntt.data import DATASETS, ImageSet
from bntt.data.images import split_validation
from bntt.experiments.recipe import Recipe, RecipeError
from bntt.models import MODELS
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier


@dataclass(frozen=True)
class Parts:
    """The images of a recipe: training and validation are two parts of the published training split."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    mean: list[float]
    """Of the training part's pixels, per channel."""
    std: list[float]


def build_data(recipe: Recipe) -> Parts:
    """Load the recipe's dataset and split it."""
    published = DATASETS[recipe.data.name]()
    if recipe.data.validation >= len(published.train):
        raise RecipeError(
            f"data.validation: {recipe.data.validation} images leave none of {len(published.train)} to train on"
        )
    train, validation, _ = split_validation(published.train, recipe.data.validation, recipe.seed)
    mean, std = train.pixel_statistics()
    return Parts(train, validation, published.test, mean, std)


def build_model(recipe: Recipe, data: Parts) -> SpikingClassifier:
    """The recipe's network and encoder for this data, with start weights from the recipe's seed."""
    _, channels, height, width = data.train.images.shape
    options = recipe.network.model_dump(exclude={"name"})
    options |= {"num_classes": len(data.train.classes), "seed": recipe.seed}
    if recipe.network.name == "mlp":
        options["in_features"] = channels * height * width
    elif height != width:
        raise RecipeError(f"network.name: {recipe.network.name} takes square images, these are {height}x{width}")
    else:
        options |= {"in_channels": channels, "image_size": height}
    try:
        network = MODELS[recipe.network.name](**options)
    except ValueError as error:
        raise RecipeError(f"network: {error}") from None
    steps = recipe.network.num_steps
    if recipe.encoder.name == "direct":
        return SpikingClassifier(DirectEncoder(steps), network, mean=data.mean, std=data.std)
    if recipe.encoder.name == "poisson":
        return SpikingClassifier(PoissonEncoder(steps), network, mean=data.mean, std=data.std)
    return SpikingClassifier(PoissonEncoder(steps, signed=False), network)
