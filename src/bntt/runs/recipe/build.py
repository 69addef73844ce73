"""Data, loaders, encoder and network of a recipe: names become flat arguments of the library's builders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bntt.analysis.measurement import Facts
from bntt.data import DataError, FrameSet, ImageSet, PartLoader, SampleLoader, SequenceSet, split_validation, stratified
from bntt.data.catalog import Way, open_samples
from bntt.data.events.binning import Binning
from bntt.data.events.formats import Framing
from bntt.data.images import Fitting
from bntt.data.prepared import Manifest, Part
from bntt.data.samples import DATASETS, digest_of, some_of
from bntt.engine.compute import Compute
from bntt.engine.kernels import find_backend, require
from bntt.models import MODELS
from bntt.nn import Encoder, SpikingClassifier
from bntt.nn.kinds import ENCODERS, encoder_facts, encoder_facts_by_name, neuron_facts_by_name, norm_facts_by_name
from bntt.runs.recipe.file import values_of
from bntt.runs.recipe.schema import Recipe, RecipeError, named_in_errors
from bntt.training.objective import check_objective
from bntt.training.optimizer import freeze

Split = Literal["test", "validation", "train"]
"""Split to measure on: the published test images, those held out of the training images, or those trained on."""
SampleSet = ImageSet | FrameSet | SequenceSet
"""Sample sets that a recipe trains on and measures."""


@dataclass(frozen=True)
class RecipeData:
    """Samples of a recipe: training and validation are two parts of the published training split."""

    train: SampleSet
    validation: SampleSet
    test: SampleSet
    mean: list[float]
    """Mean of the training part's pixels, per channel; empty for frames."""
    std: list[float]
    label: str
    """Name of the data shown beside numbers."""
    manifest: Manifest
    """Origin of the data, with checksums."""
    whole: int = 0
    """Number of samples the training part was chosen from; 0: all of them were taken."""

    def facts(self) -> dict[str, Any]:
        """Return the facts to record about the training data: its origin and number of samples."""
        whole = self.whole or len(self.train)
        counts = {"train": len(self.train), "train_of": whole, "validation": len(self.validation)}
        return {"data": asdict(self.manifest), "samples": counts}  # the manifest counts the lazy test split

    def of(self, split: Split) -> SampleSet:
        """Return the samples of a split."""
        found: SampleSet = getattr(self, split)
        if not len(found):
            raise DataError(
                f"{self.label}: there are no {split} samples: bntt.fit keeps those of validation= and test="
            )
        return found


def build_data(recipe: Recipe, progress: Callable[[int, int], None] = lambda done, total: None) -> RecipeData:
    """Load the recipe's dataset and split off its validation part."""
    if not recipe.data.name:
        raise RecipeError('data.name: "" stands for samples given in Python: resume with the same call of bntt.fit')
    wanted, own = recipe.data, "root" in DATASETS[recipe.data.name].needs
    if own and not wanted.root:
        raise RecipeError(f'data.root: the dataset "{wanted.name}" needs the folder that it is in')
    framing = framing_of(recipe)
    published, manifest = open_samples(wanted.name, framing, Path(wanted.root) if wanted.root else None, progress)
    count = round(wanted.validation * len(published.train))
    if not 0 < count < len(published.train):
        raise RecipeError(f"data.validation: {wanted.validation} leaves training or validation without images")
    with named_in_errors(f"data.validation: {wanted.validation} of {len(published.train)} images: "):
        every, validation, _ = split_validation(published.train, count, recipe.seed)
    if wanted.images and wanted.images > len(every):
        raise RecipeError(f"data.images: {wanted.images:,} requested, but validation leaves only {len(every):,}")
    train = some_of(every, wanted.images or len(every), recipe.seed)
    mean, std = train.pixel_statistics() if isinstance(train, ImageSet) else ([], [])
    if min(std, default=1) == 0:
        warnings.warn("a channel is the same in all training images: it gives no spikes", stacklevel=2)
        std = [deviation or 1.0 for deviation in std]
    label = wanted.label or ", ".join(filter(None, (wanted.name, wanted.order)))
    if manifest.check == "modified" or (manifest.check == "unchecked" and not own):
        label += f" ({manifest.check} files)"
    if manifest.check == "simulated" and "simulated" not in label:
        label += " (simulated)"
    if len(train) < len(every):
        seen, classes = int(train.labels.bincount().count_nonzero()), len(train.classes)
        few = "" if seen == classes else f", with {seen} of the {classes} classes"
        label += f", trained on {len(train):,} of {len(every):,}{few}"
    parts = [in_order(samples, wanted.order) for samples in (train, validation, published.test)]
    manifest = replace(manifest, sha256=checksums(manifest, wanted.order))
    return RecipeData(parts[0], parts[1], parts[2], mean, std, label, manifest, len(every))


MOST_VALUES = 1 << 27
"""Most values of a blank sample, as in the largest picture that is read; also the most samples of a split."""


def stand_in(recipe: Recipe, manifest: Manifest, sample: Tensor | None = None) -> RecipeData:
    """Return blank samples of the sizes of a recipe's data, or copies of one sample, to build and count with."""
    data, published, classes = recipe.data, manifest.images.get("train", 0), tuple(manifest.classes)
    kinds: dict[int, type[ImageSet | FrameSet]] = {3: ImageSet, 4: FrameSet}
    if data.name not in DATASETS or DATASETS[data.name].kind == "frames":
        kinds[2] = FrameSet  # sequences of features, also from Python
    kind = kinds.get(len(manifest.shape))
    fits = 0 < math.prod(manifest.shape) <= MOST_VALUES and max(manifest.images.values(), default=0) <= MOST_VALUES
    if kind is None or not published or not classes or not fits:
        raise ValueError(f"{published} training samples of shape {manifest.shape} and {len(classes)} classes")

    def blank(count: int) -> SampleSet:
        values = (torch.zeros(1, dtype=torch.uint8) if sample is None else sample).expand(count, *manifest.shape)
        return in_order(kind(values, torch.arange(count) % len(classes), classes), data.order)

    held_out = round(data.validation * published)
    sizes = (data.images or published - held_out, held_out, manifest.images.get("test", 0))
    mean, std = ([0.5] * manifest.shape[0], [1.0] * manifest.shape[0]) if kind is ImageSet else ([], [])
    train, validation, test = map(blank, sizes)
    return RecipeData(train, validation, test, mean, std, data.label or data.name, manifest)


def noise_as_published(recipe: Recipe) -> RecipeData | None:
    """Return noise in the published number and size of a dataset that is not here, for timing; None if unknown."""
    data, way = DATASETS[recipe.data.name], framing_of(recipe)
    if not (data.classes and data.shape and data.samples[0]):
        return None
    frames = way.binning if isinstance(way, Framing) else None
    shape = [frames.num_steps, 2, frames.height, frames.width] if frames else [*data.shape]
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(recipe.seed))
    sample = noise < 0.1 if frames else 256 * noise
    counts: dict[Part, int] = dict(zip(("train", "test"), data.samples, strict=True))
    names = [str(label) for label in range(data.classes)]
    made = Manifest(recipe.data.name, "", "simulated", counts, shape, names)
    return stand_in(recipe, made, sample.to(torch.uint8))


def checksums(manifest: Manifest, order: str | None) -> dict[str, str]:
    """Return the checksums of a dataset's parts, and of its pixel order if it has one."""
    if not order:
        return manifest.sha256
    return {**manifest.sha256, "order": digest_of(order, manifest.shape[1] * manifest.shape[2])}


def in_order(samples: ImageSet | FrameSet, order: str | None) -> SampleSet:
    """Convert images to sequences in an order; without one return them unchanged."""
    if not order:
        return samples
    if isinstance(samples, FrameSet):
        raise RecipeError(f"data.order: {order!r} is for images, and recordings have an order in time already")
    return SequenceSet(samples, order)


def data_key(recipe: Recipe) -> str:
    """Return a key of all that a recipe's prepared data and its checksums depend on."""
    data, steps = recipe.data, recipe.network.num_steps if DATASETS[recipe.data.name].formats else 0
    return repr((data.name, data.root, data.size, data.mode, data.fit, data.order, data.frames, steps))


def framing_of(recipe: Recipe) -> Way | None:
    """Return the conversion of recordings to frames, or of images to one size and mode; None: unchanged."""
    data, dataset = recipe.data, DATASETS[recipe.data.name]
    if data.size or data.mode or data.fit != "crop":
        if not dataset.fits:
            key = "size" if data.size else "mode" if data.mode else "fit"
            raise RecipeError(f'data.{key}: is for a folder of images ("images"), and "{data.name}" is not one')
        if data.fit != "crop" and data.size is None:
            raise RecipeError(f'data.fit: "{data.fit}" needs data.size: without it images stay as they are')
        return Fitting(data.size, data.mode, data.fit)
    if not dataset.formats:
        return None
    wanted, steps = data.frames, recipe.network.num_steps
    if len(wanted.sensor) == 1:
        raise RecipeError(f"data.frames.sensor: rows and columns, two numbers, got {wanted.sensor}")
    sensor = (wanted.sensor[0], wanted.sensor[1]) if wanted.sensor else None
    binning = Binning(steps, wanted.size, wanted.size, by=wanted.by, cells=wanted.cells, beyond=wanted.beyond)
    return Framing(binning, wanted.format or "", sensor)


def evaluation_loader(
    recipe: Recipe,
    data: RecipeData,
    split: Split,
    device: str = "cpu",
    *,
    at_most: int = 0,
    share: tuple[int, int] = (0, 1),
) -> PartLoader:
    """Return batches of the images of a split that a recipe measures: all, or ``evaluate.images`` by class."""
    images = data.of(split)
    count = recipe.evaluate.images or len(images)
    if count > len(images) and split == "test":
        raise RecipeError(f"evaluate.images: {count:,} requested, but there are only {len(images):,} {split} images")
    count = min(count, at_most or count, len(images))
    return PartLoader(images, stratified(images, count, recipe.seed), recipe.evaluate.batch_size, device, share)


class DeviceError(RuntimeError):
    """Error of an unavailable device; no other device is substituted."""


def require_device(name: str) -> None:
    """Check that a device is usable."""
    try:
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are supported")
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        why = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} cannot be used ({why}); here: {', '.join(here)}") from None


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths (data, ANN, ``init.run``), independent of the working folder."""

    def absolute(path: str | None) -> str | None:
        return str(Path(path).expanduser().resolve()) if path else None

    data, convert, init = recipe.data, recipe.convert, recipe.init
    return replace(
        recipe,
        data=replace(data, root=absolute(data.root)),
        convert=replace(convert, ann=absolute(convert.ann)),
        init=replace(init, run=absolute(init.run)),
    )


def describe_backend(recipe: Recipe, data: RecipeData, model: SpikingClassifier) -> str:
    """Describe briefly if a run will compute with fused kernels or plain PyTorch, and why."""
    device, wanted = next(model.parameters()).device, recipe.compute.backend
    kernels = find_backend("triton" if wanted == "triton" else "cpu")
    if wanted == "reference":
        return "plain PyTorch, as requested"
    if device.type != "cpu" and wanted != "triton":
        return f"plain PyTorch on {device}; its Triton kernels must be asked for: compute.backend=triton"
    if not kernels.available:
        return f"plain PyTorch, slower: {kernels.detail}"
    reason = model.network.plan(input_shape(recipe, data)).reason
    return f"{kernels.detail}; plain PyTorch, slower, where they cannot run: {reason}" if reason else kernels.detail


def training_loader(
    recipe: Recipe, data: RecipeData, device: str = "cpu", share: tuple[int, int] = (0, 1)
) -> SampleLoader:
    """Return the training loader, shuffled, augmented and mixed from the recipe's seed; or a process's share."""
    with named_in_errors("data: "):
        return SampleLoader(
            data.train,
            recipe.train.batch_size,
            shuffle=True,
            augment=recipe.data.augment,
            mix=recipe.data.mix or "",
            mix_alpha=recipe.data.mix_alpha,
            seed=recipe.seed,
            device=device,
            share=share,
        )


def for_measuring(recipe: Recipe) -> Recipe:
    """Return the recipe without options that only gradients need: "bf16-grad" becomes fp32, which every machine has."""
    if recipe.compute.precision != "bf16-grad":
        return recipe
    return replace(recipe, compute=replace(recipe.compute, precision="fp32"))


def facts_of(recipe: Recipe, model: SpikingClassifier | None = None) -> Facts:
    """Return the facts of a run that its recipe determines; for a part without a name, those of the model's part."""
    network, random = recipe.network, encoder_facts_by_name(recipe.encoder.name).random
    spikes = neuron_facts_by_name(network.neuron, network.num_steps).spikes
    if model is not None and not network.name:
        spikes = any(layer.lif is not None for layer in model.network.layers.values())
    if model is not None and not recipe.encoder.name:
        random = encoder_facts(model.encoder).random
    return Facts(
        network=network.name,
        norm=network.norm,
        encoder=recipe.encoder.name,
        num_steps=network.num_steps,
        is_ann=not spikes,
        draws=recipe.evaluate.draws if random else 1,
        is_random=random,
    )


def build_model(recipe: Recipe, data: RecipeData, device: str = "cpu") -> SpikingClassifier:
    """Build the recipe's network and encoder for this data, with initial weights from its seed, on a device."""
    if not (recipe.network.name and recipe.encoder.name):
        raise RecipeError('network.name, encoder.name: "" stands for a part given in Python, which no recipe builds')
    options = builder_options(recipe) | _sizes(recipe, data.train)
    options |= {"num_classes": len(data.train.classes), "seed": recipe.seed}
    with named_in_errors("network: "):
        network = MODELS[recipe.network.name](**options)
    with named_in_errors("train."):
        freeze(network, recipe.train.freeze)
    with named_in_errors("train: "):
        check_objective(network, recipe.train)
    smallest = len(data.train) // math.ceil(len(data.train) / recipe.train.batch_size)
    if smallest < 2 and norm_facts_by_name(recipe.network.norm).batch_statistics:
        raise RecipeError(f"train.batch_size: {recipe.network.norm} cannot normalise batches of one image")
    network.compute = Compute(**asdict(recipe.compute))
    require(network.compute, device)
    model = SpikingClassifier(build_encoder(recipe, data), network).to(device)
    for training in (True, False):
        network.train(training).plan(input_shape(recipe, data))
    model.train()
    return model


def input_shape(recipe: Recipe, data: RecipeData) -> tuple[int, ...]:
    """Return the shape of the network's input in training, ``[T, B, ...]``."""
    drive = build_encoder(recipe, data)(data.train.batch(torch.tensor([0])), steps=range(1))
    return (recipe.network.num_steps, recipe.train.batch_size, *drive.shape[2:])


def _sizes(recipe: Recipe, samples: SampleSet) -> dict[str, Any]:
    """Return the builder arguments that depend on the samples."""
    name, of, steps = recipe.network.name, recipe.data.order or recipe.data.name, recipe.network.num_steps
    takes = signature(MODELS[name]).parameters
    if not isinstance(samples, ImageSet) and steps != samples.num_steps:
        raise RecipeError(f"network.num_steps: samples of {of!r} have {samples.num_steps} steps, got {steps}")
    if isinstance(samples, SequenceSet):
        shape: tuple[int, ...] = (samples.features,)
    else:
        shape = samples.images.shape[1:] if isinstance(samples, ImageSet) else samples.frames.shape[2:]
    if "in_features" in takes:
        return {"in_features": math.prod(shape)}
    if len(shape) == 1:
        raise RecipeError(f"network.name: {name} takes images, {of} has sequences of features: take mlp")
    channels, height, width = shape
    if "image_size" not in takes:
        return {"in_channels": channels}
    if height != width:
        raise RecipeError(f"network.name: {name} takes square images, these are {height}x{width}: set data.size")
    return {"in_channels": channels, "image_size": height}


def builder_options(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's arguments for its network builder."""
    network = recipe.network
    written = {key: value for key, value in values_of(network).items() if key != "name"}
    return {key: None if getattr(network, key) is None else value for key, value in written.items()}


def build_encoder(recipe: Recipe, data: RecipeData, steps: int | None = None) -> Encoder:
    """Build the recipe's encoder for this data, with the network's number of steps or another."""
    steps = steps or recipe.network.num_steps
    takes = encoder_facts_by_name(recipe.encoder.name).takes
    if (has_time := isinstance(data.train, FrameSet)) != (takes == "frames"):
        expected = '"frames", as it has time already' if has_time else 'a code of images, which "frames" is not'
        raise RecipeError(f"encoder.name: {data.label} needs {expected}; got {recipe.encoder.name!r}")
    each = data.train.features // len(data.mean) if data.mean and isinstance(data.train, SequenceSet) else 1
    mean, std = ([value for value in values for _ in range(each)] or None for values in (data.mean, data.std))
    encoder: Encoder = ENCODERS[recipe.encoder.name](steps, mean, std)
    return encoder
