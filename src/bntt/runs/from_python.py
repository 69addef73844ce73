"""Runs started from Python: the caller's network and samples, described as a recipe.

The name "" stands for a part that no recipe can build. The run keeps its validation and test samples, each once, in
its folder ``data``; of the training samples it keeps checksums only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast, get_args

import torch

from bntt.data import DataError, FrameSet, ImageSet, SampleLoader, SequenceSet
from bntt.data.prepared import load_part, manifest_of, read_manifest, verify_prepared, write_prepared
from bntt.engine.compute import Compute
from bntt.engine.kernels import require
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import digest_of_values
from bntt.models import MODELS
from bntt.models.spiking import as_built, structure
from bntt.nn import ENCODERS, NORMS, Encoder, SpikingClassifier, SpikingNetwork
from bntt.nn.network.classifier import touched_parts
from bntt.register import REGISTERED
from bntt.runs.directory import usable
from bntt.runs.identity import difference, unprinted
from bntt.runs.recipe import schema
from bntt.runs.recipe.build import RecipeData, SampleSet, in_order
from bntt.training import Method, Session
from bntt.training.objective import name_of
from bntt.version import __version__

SAMPLES_FOLDER = "data"
"""Folder of the kept samples within a run."""
LABEL = "given in Python"
SPLITS = ("test", "validation")
"""Splits whose samples a run keeps; of those it was trained on it keeps checksums."""


def describe_session(
    session: Session, validation: object, test: object
) -> tuple[schema.Recipe, RecipeData, dict[str, Any]]:
    """Describe a training as a recipe, its samples as the recipe's parts, and the facts for :func:`model_of`."""
    loader, model, method = cast(SampleLoader, session.loader), session.model, session.method
    train = _samples(loader, "train")
    held_out, tested = _alike(train, validation, "validation"), _alike(train, test, "test")
    network, built = model.network, builder_of(model.network)
    known: dict[str, Any] = {"name": "", "num_steps": model.encoder.num_steps, "norm": _norm_name(network)}
    if built:
        usual = {name: one.default for name, one in signature(MODELS[built[0]]).parameters.items()}
        said = {name: value for name, value in (usual | built[1]).items() if name in _names(schema.Network)}
        known |= {"name": built[0], **said}
    measured = next(one for one in (validation, test, loader) if isinstance(one, SampleLoader))
    named = (name for name, make in ENCODERS.items() if str(make(model.encoder.num_steps)) == str(model.encoder))
    about = "" if session.loss is None else f" Its loss is {name_of(session.loss)}."
    recipe = schema.Recipe(
        seed=session.seed,
        notes=f"Trained by bntt.fit in Python, by {type(session.optimizer).__name__}."
        + ("" if session.made_by else " It is your own: rates, momentum and decay in the table train are not its.")
        + about
        + ("" if built else " No recipe builds its network: in the table network only T and norm are true."),
        data=schema.Data(
            name="",
            order=train.order if isinstance(train, SequenceSet) else None,
            augment=tuple(loader.augment),
            mix=loader.mix or None,
            mix_alpha=loader.mix_alpha,
            images=len(train),
        ),
        encoder=schema.Encoder(name=next(named, "")),
        network=schema.Network(**known),
        train=schema.Train(
            epochs=session.epochs,
            batch_size=loader.batch_size,
            **{name: getattr(method, name) for name in _names(Method)},
        ),
        evaluate=schema.Evaluate(batch_size=measured.batch_size),
        compute=schema.Compute(**{name: getattr(network.compute, name) for name in _names(schema.Compute)}),
    )
    learned_from = {"train": train} | ({"validation": held_out} if len(held_out) else {})
    manifest = manifest_of({part: _as_stored(samples) for part, samples in learned_from.items()}, LABEL)
    order = digest_of_values({"seed": loader.seed, "shuffle": loader.shuffle, "order": recipe.data.order or ""})
    manifest = replace(manifest, sha256={**manifest.sha256, "order": order})
    mean = getattr(model.encoder, "mean", None)
    pixels = 0 if mean is None else mean.numel()
    wide = {"dtype": "float64"} if any(p.dtype == torch.float64 for p in model.parameters()) else {}
    hooked = {"hooked": names} if (names := [*touched_parts(model)]) else {}
    facts = {"built": built[1] if built else None, "pixels": pixels, **wide, **hooked, **_described(model)}
    return recipe, RecipeData(train, held_out, tested, [], [], LABEL, manifest), facts


def save_samples(run: Path, data: RecipeData) -> None:
    """Write the validation and test samples into the run, to measure it with, unless it already keeps them."""
    parts = {split: _as_stored(samples) for split in SPLITS if len(samples := getattr(data, split))}
    if not parts:
        return
    given, kept = manifest_of(parts, LABEL).sha256, read_manifest(run / SAMPLES_FOLDER)
    there = {} if kept is None else kept.sha256
    if other := [split for split in given if there.get(split, given[split]) != given[split]]:
        raise CheckpointError(f"{run} keeps other {other[0]} samples than these: give those, or take a new directory")
    if not given.keys() <= there.keys():
        write_prepared(run / SAMPLES_FOLDER, parts, name=LABEL, source=Path(), check="built in")


def load_samples(run: Path, like: RecipeData, encoder: Encoder) -> RecipeData:
    """Load the samples kept by a run; a split that it was not given is empty, and the training split always is."""
    folder = run / SAMPLES_FOLDER
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(
            f"{run} was trained by bntt.fit without validation and test samples: it has none to measure with; call fit "
            f"again with test=, which does not train again"
        )
    verify_prepared(folder, manifest)
    order = like.train.order if isinstance(like.train, SequenceSet) else None
    none = like.train.select(torch.arange(0))
    found = {split: in_order(load_part(folder, manifest, split), order) for split in manifest.sha256}
    mean, std = (
        [] if (one := getattr(encoder, name, None)) is None else one.flatten().tolist() for name in ("mean", "std")
    )
    validation, test = (found.get(split, none) for split in ("validation", "test"))
    return replace(like, train=none, validation=validation, test=test, mean=mean, std=std, label=LABEL)


def builder_of(network: SpikingNetwork) -> tuple[str, dict[str, Any]] | None:
    """Return the registered builder and arguments of a network; None if it was assembled by hand or modified."""
    if network.built is None or network.built[0] not in MODELS:
        return None
    name, arguments = network.built
    return network.built if structure(MODELS[name](**arguments)) == structure(network) else None


def model_of(
    run: Path, recipe: schema.Recipe, facts: Mapping[str, Any], device: str, given: SpikingClassifier | None
) -> SpikingClassifier:
    """Return the model of a run started from Python, without its weights."""
    if given is None and (rebuilt := _rebuilt(run, recipe, facts, device)):
        if hooked := facts.get("hooked"):
            way = f"if it changes a value, give the model, load_run({str(run)!r}, model=...)"
            warnings.warn(f"{run}: a hook or method of your own on {', '.join(hooked)} is missing: {way}", stacklevel=3)
        return rebuilt
    name = run.resolve().name
    model = REGISTERED.get(f"model={name}", lambda: None)() if given is None else given
    if not isinstance(model, SpikingClassifier):
        raise CheckpointError(
            f"{run} was trained by bntt.fit, and no registered builder made its network"
            + (f"; what is registered as {name!r} is a {type(model).__name__}" if model is not None else "")
            + ". Write a file, my_model.py, with a function without arguments that returns the same SpikingClassifier, "
            f"put @bntt.register.model({name!r}) above it, and --with my_model.py before the command; or in Python, "
            f"load_run({str(run)!r}, model=...)"
        )
    now, held = _described(model), model.state_dict()  # what this holds comes from the weights' file
    now["values"] = {name: value for name, value in now["values"].items() if name not in held}
    if other := difference("", facts, now):
        warnings.warn(f"{run}: this model is not built as the trained one: {other}", stacklevel=3)
    return model


def _described(model: SpikingClassifier) -> dict[str, Any]:
    """Return how a model prints, the class of its encoder, the printing versions, and what it does not print."""
    written, encoder = as_built(str(model)), type(model.encoder).__name__
    versions = f"bntt {__version__}, PyTorch {torch.__version__}"
    return {"written": written, "encoder": encoder, "described_by": versions, "values": unprinted(model)}


def _rebuilt(run: Path, recipe: schema.Recipe, facts: Mapping[str, Any], device: str) -> SpikingClassifier | None:
    """Rebuild the model described by a checkpoint's facts, without its weights; None if they describe none."""
    if not (recipe.network.name and recipe.encoder.name):
        return None
    with usable(run, "it must say how its network was built, train it again"):
        network, pixels = MODELS[recipe.network.name](**facts["built"]), int(facts["pixels"])
        encoder = ENCODERS[recipe.encoder.name](network.num_steps, [0.0] * pixels or None, [1.0] * pixels or None)
    network.compute = Compute(**asdict(recipe.compute))
    require(network.compute, device)
    model = SpikingClassifier(encoder, network).to(device)
    return model.double() if facts.get("dtype") == "float64" else model


def _samples(loader: Any, what: str) -> SampleSet:
    """Return the samples of a loader, which a run can keep."""
    found: Any = loader.data if isinstance(loader, SampleLoader) else None
    stored = found.images if isinstance(found, SequenceSet) else found
    if {type(found), type(stored)} - {*get_args(SampleSet)}:  # a subclass may have its own batch()
        got = type(loader if found is None else stored).__name__
        raise TypeError(
            f"{what} must be a bntt.data.SampleLoader of an ImageSet, a FrameSet or a SequenceSet itself, got a {got}; "
            f"without directory= any loader trains"
        )
    samples: SampleSet = found
    return samples


def _alike(train: SampleSet, loader: object, what: str) -> SampleSet:
    """Return the samples of a loader, which must be like the training samples; without a loader, no samples."""
    if loader is None:
        return train.select(torch.arange(0))
    found = _samples(loader, what)
    ours, theirs = (
        (type(one).__name__, [*one.batch(torch.tensor([0])).shape[1:]], getattr(one, "order", ""), one.classes)
        for one in (train, found)
    )
    if ours != theirs:
        raise ValueError(f"{what} samples must be like those of train, {ours}; got {theirs}")
    return found


def _as_stored(samples: SampleSet) -> ImageSet | FrameSet:
    """Convert samples to the form stored in files."""
    return samples.images if isinstance(samples, SequenceSet) else samples


def _names(options: Any) -> set[str]:
    return {field.name for field in fields(options)}


def _norm_name(network: SpikingNetwork) -> str:
    """Return the recipe name of the norm shared by every layer that has one; "" if it has none, or layers differ."""
    norms = [layer.norm for layer in network.layers.values() if layer.norm is not None]
    for name, make in NORMS.items() if norms else ():
        if all(
            str(make(getattr(norm, "channels", 1), getattr(norm, "num_steps", 1), 1.0)) == str(norm) for norm in norms
        ):
            return name
    return ""
