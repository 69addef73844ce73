"""From a recipe to objects: names become flat arguments of the library's builders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch

from bntt.data import ImageSet, SampleLoader, SequenceSet, open_dataset, split_validation
from bntt.data.prepared import Manifest
from bntt.data.samples import some_of
from bntt.data.sequences import digest_of
from bntt.engine.compute import Compute
from bntt.engine.kernels import find_backend, require
from bntt.experiments.recipe import Recipe, RecipeError
from bntt.models import MODELS
from bntt.nn import DirectEncoder, Encoder, ExpectedEncoder, PoissonEncoder, SequenceEncoder, SpikingClassifier


class DeviceError(RuntimeError):
    """A device that is not here; another one is never taken in its stead."""


Split = Literal["test", "validation"]
"""What is measured on: the published test images, or those that were held out of the training ones."""
Shown = ImageSet | SequenceSet
"""What a recipe's data are."""


@dataclass(frozen=True)
class Parts:
    """The images of a recipe: training and validation are two parts of the published training split."""

    train: Shown
    validation: Shown
    test: Shown
    mean: list[float]
    """Of the training part's pixels, per channel."""
    std: list[float]
    label: str
    """What to call the data beside a number."""
    manifest: Manifest
    """Where the data came from, with its checksums."""

    def of(self, split: Split) -> Shown:
        """The images of a split."""
        return self.test if split == "test" else self.validation


def require_device(name: str) -> None:
    """Check that a device can be used.

    Raises:
        DeviceError: with the devices that there are.
    """
    try:
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are supported")
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]}); here: {', '.join(here)}"
        ) from None


def with_whole_root(recipe: Recipe) -> Recipe:
    """The recipe with whole paths (``data.root``, ``convert.ann``), so that it means the same from every folder."""
    whole = {
        name: part.model_copy(update={key: str(Path(path).expanduser().resolve())})
        for name, part, key in (("data", recipe.data, "root"), ("convert", recipe.convert, "ann"))
        if (path := getattr(part, key))
    }
    return recipe.model_copy(update=whole) if whole else recipe


def describe_backend(recipe: Recipe, device: str) -> str:
    """What a run will compute with, in a few words: fused kernels, or plain PyTorch and why."""
    wanted = "triton" if recipe.compute.backend == "triton" else "cpu"
    kernels = find_backend(wanted)
    if recipe.compute.backend == "reference":
        return "plain PyTorch, as asked"
    if recipe.network.neuron == "relu":
        return "plain PyTorch: the kernels are for spiking neurons, this is an ANN"
    if torch.device(device).type != "cpu" and wanted == "cpu":
        return f"plain PyTorch on {device}; its Triton kernels must be asked for: compute.backend=triton"
    return kernels.detail if kernels.available else f"plain PyTorch, slower: {kernels.detail}"


def build_data(recipe: Recipe, progress: Callable[[int, int], None] = lambda done, total: None) -> Parts:
    """Load the recipe's dataset and hold its validation part out.

    Raises:
        DataError: if the dataset is missing or damaged.
        RecipeError: if the recipe asks for a split that cannot be made.
    """
    wanted = recipe.data
    if wanted.name == "images" and not wanted.root:
        raise RecipeError('data.root: the dataset "images" needs the folder that it is in')
    published, manifest = open_dataset(wanted.name, Path(wanted.root) if wanted.root else None, progress)
    count = round(wanted.validation * len(published.train))
    if not 0 < count < len(published.train):
        raise RecipeError(
            f"data.validation: {wanted.validation} of {len(published.train)} images leaves a part without any"
        )
    train, validation, _ = split_validation(published.train, count, recipe.seed)
    mean, std = train.pixel_statistics()
    if min(std) == 0:
        warnings.warn("a channel is the same in all training images: it gives no spikes", stacklevel=2)
        std = [deviation or 1.0 for deviation in std]
    label = wanted.label or ", ".join(filter(None, (wanted.name, wanted.order)))
    if manifest.check == "modified" or (manifest.check == "unchecked" and wanted.name != "images"):
        label += f" ({manifest.check} files)"
    parts = [as_shown(images, wanted.order) for images in (train, validation, published.test)]
    if wanted.order:
        pixels = manifest.shape[1] * manifest.shape[2]
        manifest = replace(manifest, sha256={**manifest.sha256, "order": digest_of(wanted.order, pixels)})
    return Parts(parts[0], parts[1], parts[2], mean, std, label, manifest)


def as_shown(images: ImageSet, order: str) -> Shown:
    """Images as sequences in an order; as they are in none."""
    return SequenceSet(images, order) if order else images


def measured_images(recipe: Recipe, data: Parts, split: Split, *, at_most: bool = False) -> Shown:
    """What a recipe measures of a split: every image, or ``evaluate.images`` of them, as many of each class as its
    share.

    Args:
        at_most: whether a split of fewer will do.

    Raises:
        RecipeError: if the split has fewer.
    """
    images, count = data.of(split), recipe.evaluate.images
    if count > len(images) and not at_most:
        raise RecipeError(f"evaluate.images: {count:,} of the {len(images):,} {split} images that there are")
    return some_of(images, count, recipe.seed) if count else images


def training_loader(recipe: Recipe, data: Parts, device: str = "cpu") -> SampleLoader:
    """The training part as the recipe shows it: shuffled, augmented and mixed, from its seed."""
    return SampleLoader(
        data.train,
        recipe.train.batch_size,
        shuffle=True,
        augment=recipe.data.augment,
        mix=recipe.data.mix,
        mix_alpha=recipe.data.mix_alpha,
        seed=recipe.seed,
        device=device,
    )


def for_measuring(recipe: Recipe) -> Recipe:
    """The recipe without what only gradients need: "bf16-grad" is then fp32, which every machine has."""
    if recipe.compute.precision != "bf16-grad":
        return recipe
    return recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"precision": "fp32"})})


def build_model(recipe: Recipe, data: Parts, device: str = "cpu") -> SpikingClassifier:
    """The recipe's network and encoder for this data, with start weights from the recipe's seed, on a device.

    Raises:
        RecipeError: if network and data do not fit.
        BackendError: if a block cannot be trained or evaluated as ``compute`` asks.
    """
    options = recipe.network.model_dump(exclude={"name"}) | _sizes(recipe, data.train)
    options |= {"num_classes": len(data.train.classes), "seed": recipe.seed}
    try:
        network = MODELS[recipe.network.name](**options)
    except ValueError as error:
        raise RecipeError(f"network: {error}") from None
    smallest = len(data.train) // math.ceil(len(data.train) / recipe.train.batch_size)
    if smallest < 2 and recipe.network.norm not in ("layer", "none"):
        raise RecipeError(
            f"train.batch_size: {recipe.train.batch_size} makes batches of one image out of {len(data.train)}, "
            f"which {recipe.network.norm} cannot normalise in a fully connected layer"
        )
    network.compute = _compute(recipe, device)
    model = SpikingClassifier(build_encoder(recipe, data), network).to(device)
    for training in (True, False):
        network.train(training).plan(input_shape(recipe, data))
    model.train()
    return model


def input_shape(recipe: Recipe, data: Parts) -> tuple[int, ...]:
    """Of what drives the recipe's network in training, ``[T, B, ...]``."""
    drive = build_encoder(recipe, data)(data.train.batch(torch.tensor([0])), steps=range(1))
    return (recipe.network.num_steps, recipe.train.batch_size, *drive.shape[2:])


def _sizes(recipe: Recipe, samples: Shown) -> dict[str, Any]:
    """What a builder must know of the samples.

    Raises:
        RecipeError: if it takes no such samples.
    """
    name = recipe.network.name
    if isinstance(samples, SequenceSet):
        if name != "mlp":
            raise RecipeError(f"network.name: {name} takes images, data.order makes sequences: take mlp")
        if (steps := recipe.network.num_steps) != samples.num_steps:
            raise RecipeError(
                f"network.num_steps: data.order = {samples.order!r} makes sequences of {samples.num_steps} steps out "
                f"of these images, got {steps}"
            )
        return {"in_features": samples.features}
    _, channels, height, width = samples.images.shape
    if name == "mlp":
        return {"in_features": channels * height * width}
    if "image_size" not in signature(MODELS[name]).parameters:
        return {"in_channels": channels}
    if height != width:
        raise RecipeError(f"network.name: {name} takes square images, these are {height}x{width}")
    return {"in_channels": channels, "image_size": height}


def _compute(recipe: Recipe, device: str) -> Compute:
    """The recipe's choice, if it can be had on the device.

    Raises:
        RecipeError: if two of its words exclude each other.
        BackendError: if this machine does not have it.
    """
    try:
        compute = Compute(**recipe.compute.model_dump())
    except ValueError as error:
        raise RecipeError(f"compute: {error}") from None
    require(compute, device)
    return compute


def build_encoder(recipe: Recipe, data: Parts, steps: int | None = None) -> Encoder:
    """The recipe's encoder for this data, of the network's number of steps or another."""
    steps = steps or recipe.network.num_steps
    match recipe.encoder.name:
        case "direct":
            return DirectEncoder(steps, mean=data.mean, std=data.std)
        case "poisson":
            return PoissonEncoder(steps, mean=data.mean, std=data.std)
        case "poisson-unsigned":
            return PoissonEncoder(steps, signed=False)
        case "expected":
            return ExpectedEncoder(steps, mean=data.mean, std=data.std)
        case "expected-unsigned":
            return ExpectedEncoder(steps, signed=False)
        case "sequence":
            each = data.train.features // len(data.mean) if isinstance(data.train, SequenceSet) else 1
            mean, std = ([value for value in values for _ in range(each)] for values in (data.mean, data.std))
            return SequenceEncoder(steps, mean=mean, std=std)
