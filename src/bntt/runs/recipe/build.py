"""Building objects from a recipe: names become flat arguments of the library's builders."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from bntt.analysis.measurement import Facts
from bntt.data import FrameSet, ImageSet, SampleLoader, SequenceSet
from bntt.engine.compute import Compute
from bntt.engine.kernels import find_backend, require
from bntt.models import MODELS
from bntt.nn import Encoder, SpikingClassifier, evaluating
from bntt.nn.kinds import ENCODERS, encoder_facts, encoder_facts_by_name, neuron_facts_by_name, norm_facts_by_name
from bntt.nn.network.advance import plain_blocks
from bntt.runs.recipe.datasets import RecipeData, SampleSet
from bntt.runs.recipe.file import values_of
from bntt.runs.recipe.schema import Recipe, RecipeError, named_in_errors
from bntt.training.objective import check_objective
from bntt.training.optimizer import freeze


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
        raise DeviceError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]}); here: {', '.join(here)}"
        ) from None


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
    """Describe briefly if a run will compute with fused kernels or plain PyTorch, for which blocks, and why."""
    device, network, compute = next(model.parameters()).device, model.network, recipe.compute
    wanted = "triton" if compute.backend == "triton" else "cpu"
    kernels, fused = find_backend(wanted), not network.plan(input_shape(recipe, data)).reason
    if compute.backend == "reference":
        return "plain PyTorch, as requested"
    if not neuron_facts_by_name(recipe.network.neuron, recipe.network.num_steps).spikes:
        if not fused:
            return "plain PyTorch: the kernels are for spiking neurons, this is an ANN"
        single = compute.precision == "fp32"
        products = f"{compute.input_grad} input gradients" if single else f"products {compute.precision}"
        return f"an ANN, its norms and rectifiers by a C++ kernel; {products}"
    if device.type != "cpu" and wanted == "cpu":
        return f"plain PyTorch on {device}; its Triton kernels must be asked for: compute.backend=triton"
    if not kernels.available:
        return f"plain PyTorch, slower: {kernels.detail}"
    if fused:
        return kernels.detail
    two = data.train.batch(torch.arange(2) % len(data.train)).to(device)
    with evaluating(network):
        plain = plain_blocks(dict(network.blocks.items()), model.encoder(two), network.compute)
    grouped = {why: [name for name, reason in plain.items() if reason == why] for why in plain.values()}
    slower = "; ".join(
        f"plain PyTorch, slower, for {', '.join(names)} ({'each: ' * (len(names) > 1)}{why})"
        for why, names in grouped.items()
    )
    return slower if len(plain) == len(network.blocks) else f"{kernels.detail}; {slower}"


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
        raise RecipeError(
            f"train.batch_size: {recipe.train.batch_size} makes batches of one image out of {len(data.train)}, "
            f"which {recipe.network.norm} cannot normalise in a fully connected layer"
        )
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
        raise RecipeError(
            f"network.name: {name} takes square images, these are {height}x{width}; data.size makes a folder's square"
        )
    return {"in_channels": channels, "image_size": height}


def builder_options(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's arguments for its network builder."""
    return {key: value for key, value in values_of(recipe.network).items() if key != "name"}


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
