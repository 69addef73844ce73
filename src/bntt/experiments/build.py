"""From a recipe to objects: names become flat arguments of the library's builders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Literal

import torch

from bntt.data import FrameSet, ImageSet, PartLoader, SampleLoader, Splits, open_dataset, split_validation, stratified
from bntt.data.binning import Binning
from bntt.data.event_folder import FrameSplits
from bntt.data.event_sets import EVENT_SETS, Framing, open_event_set
from bntt.data.prepared import Manifest
from bntt.engine.compute import Compute
from bntt.engine.kernels import find_backend, require
from bntt.experiments.recipe import Recipe, RecipeError
from bntt.models import MODELS
from bntt.nn import DirectEncoder, Encoder, ExpectedEncoder, FrameEncoder, PoissonEncoder, SpikingClassifier


class DeviceError(RuntimeError):
    """A device that is not here; another one is never taken in its stead."""


Split = Literal["test", "validation"]
"""What is measured on: the published test images, or those that were held out of the training ones."""


Shown = ImageSet | FrameSet
"""What a recipe trains on and measures."""


@dataclass(frozen=True)
class Parts:
    """The samples of a recipe: training and validation are two parts of the published training split."""

    train: Shown
    validation: Shown
    test: Shown
    mean: list[float]
    """Of the training part's pixels, per channel; frames have none."""
    std: list[float]
    label: str
    """What to call the data beside a number."""
    manifest: Manifest
    """Where the data came from, with its checksums."""

    def of(self, split: Split) -> Shown:
        """The samples of a split."""
        return self.test if split == "test" else self.validation

    @property
    def shape(self) -> tuple[int, ...]:
        """What a sample shows the network at one step: ``[C, H, W]``."""
        train = self.train
        return tuple(train.images.shape[1:] if isinstance(train, ImageSet) else train.frames.shape[2:])


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
    if wanted.name in ("images", "events") and not wanted.root:
        raise RecipeError(f'data.root: the dataset "{wanted.name}" needs the folder that it is in')
    published, manifest = _open(recipe, progress)
    count = round(wanted.validation * len(published.train))
    if not 0 < count < len(published.train):
        raise RecipeError(
            f"data.validation: {wanted.validation} of {len(published.train)} images leaves a part without any"
        )
    train, validation, _ = split_validation(published.train, count, recipe.seed)
    mean, std = train.pixel_statistics() if isinstance(train, ImageSet) else ([], [])
    if min(std, default=1) == 0:
        warnings.warn("a channel is the same in all training images: it gives no spikes", stacklevel=2)
        std = [deviation or 1.0 for deviation in std]
    label = wanted.label or wanted.name
    if manifest.check == "modified" or (manifest.check == "unchecked" and wanted.name not in ("images", "events")):
        label += f" ({manifest.check} files)"
    if manifest.check == "simulated" and "simulated" not in label:
        label += " (simulated)"
    return Parts(train, validation, published.test, mean, std, label, manifest)


def _open(recipe: Recipe, progress: Callable[[int, int], None]) -> tuple[Splits | FrameSplits, Manifest]:
    """Training and test samples as published, and where they came from."""
    name, root = recipe.data.name, Path(recipe.data.root) if recipe.data.root else None
    if name in EVENT_SETS:
        return open_event_set(name, framing_of(recipe), root, progress)
    return open_dataset(name, root, progress)


def framing_of(recipe: Recipe) -> Framing:
    """How the recipe's recordings become frames.

    Raises:
        RecipeError: on a sensor of one side.
    """
    wanted, steps = recipe.data.frames, recipe.network.num_steps
    if len(wanted.sensor) == 1:
        raise RecipeError(f"data.frames.sensor: rows and columns, two numbers, got {wanted.sensor}")
    sensor = (wanted.sensor[0], wanted.sensor[1]) if wanted.sensor else None
    binning = Binning(steps, wanted.size, wanted.size, by=wanted.by, cells=wanted.cells, beyond=wanted.beyond)
    return Framing(binning, wanted.format, sensor)


def measured(recipe: Recipe, data: Parts, split: Split, device: str = "cpu", *, at_most: int = 0) -> PartLoader:
    """What a recipe measures of a split, in batches: every image, or ``evaluate.images`` of them, as many of each class
    as its share; each keeps its place in the split, and so its noise.

    Args:
        at_most: how many, if the recipe measures more; 0 is no bound.

    Raises:
        RecipeError: if the test images are fewer than the recipe says; of validation images all will do.
    """
    images = data.of(split)
    count = recipe.evaluate.images or len(images)
    if count > len(images) and split == "test":
        raise RecipeError(f"evaluate.images: {count:,} of the {len(images):,} {split} images that there are")
    count = min(count, at_most or count, len(images))
    return PartLoader(images, stratified(images, count, recipe.seed), recipe.evaluate.batch_size, device)


def training_loader(recipe: Recipe, data: Parts, device: str = "cpu") -> SampleLoader:
    """The training part as the recipe shows it: shuffled, augmented and mixed, from its seed.

    Raises:
        RecipeError: if these samples cannot be augmented or mixed so.
    """
    try:
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
    except ValueError as error:
        raise RecipeError(f"data: {error}") from None


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
    channels, height, width = data.shape
    options = recipe.network.model_dump(exclude={"name"})
    options |= {"num_classes": len(data.train.classes), "seed": recipe.seed}
    if recipe.network.name == "mlp":
        options["in_features"] = channels * height * width
    else:
        options["in_channels"] = channels
    if "image_size" in signature(MODELS[recipe.network.name]).parameters:
        options["image_size"] = height
        if height != width:
            raise RecipeError(f"network.name: {recipe.network.name} takes square images, these are {height}x{width}")
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
        network.train(training).plan((recipe.network.num_steps, recipe.train.batch_size, *data.shape))
    model.train()
    return model


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
    """The recipe's encoder for this data, of the network's number of steps or another.

    Raises:
        RecipeError: if it is not for such data.
    """
    steps = steps or recipe.network.num_steps
    if (has_time := isinstance(data.train, FrameSet)) != (recipe.encoder.name == "frames"):
        expected = '"frames", as it has time already' if has_time else 'a code of images, which "frames" is not'
        raise RecipeError(f"encoder.name: {data.label} needs {expected}; got {recipe.encoder.name!r}")
    match recipe.encoder.name:
        case "frames":
            return FrameEncoder(steps)
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
