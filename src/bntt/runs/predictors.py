"""Trained networks that answer for one file: each reads it in the form in which it takes a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.analysis import Prediction
from bntt.analysis import predict as predictions
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.measurement import ArgumentError, Facts, draws_of
from bntt.data import FrameSet
from bntt.data.events.binning import to_frames
from bntt.data.events.formats import Framing, is_simulated
from bntt.data.samples import arrange
from bntt.deploy import Runtime
from bntt.deploy.runtime.arrays import pictures_of
from bntt.io.errors import DataError
from bntt.io.pictures import Fit, read_picture
from bntt.models import pretrained, pretrained_facts
from bntt.nn import SpikingClassifier
from bntt.nn.kinds import encoder_facts, encoder_facts_by_name
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import framing_of
from bntt.runs.recipe.file import RecipeError


@dataclass(frozen=True)
class Shown:
    """A file as a network takes it."""

    path: Path
    sample: Tensor
    """The sample as the encoder takes it, ``[1, ...]``."""
    pixels: Tensor
    """uint8 ``[C, H, W]``, to draw: the picture, or a recording's events in each cell, the most in white."""
    changes: tuple[str, ...]
    """What was done to a picture, or what a recording holds."""


@dataclass(frozen=True)
class Predictor:
    """A network that predicts."""

    name: str
    title: str
    predict: Callable[[Tensor, int, int], Prediction]
    """``(sample [1, ...], seed, draws)`` → the prediction."""
    classes: Sequence[str]
    read: Callable[[Path, bool], Shown]
    """``(path, invert)`` → the file."""
    measured_with: Mapping[str, Any] = field(default_factory=dict)
    """Options of a run's recipe that were overridden."""


def predictor_of(
    run: Path | None, name: str, bundle: Path | None, draws: int, overrides: Sequence[str] = ()
) -> Predictor:
    """Load the network of a bundle or a run, if one is given, or else the one that comes with the package."""
    if bundle:
        return _of_bundle(bundle, draws)
    return _of_run(run, draws, overrides) if run else _of_package(name, draws)


def _of_package(name: str, draws: int) -> Predictor:
    facts = pretrained_facts(name)
    encoder, network = encoder_facts_by_name(facts.encoder["name"]), facts.network
    if encoder.takes == "frames":
        raise RecipeError(f"{name} was trained on frames ({facts.dataset}) and takes neither pictures nor recordings")
    about = Facts(
        network["name"], network["norm"], facts.encoder["name"], network["num_steps"], False, 1, encoder.random
    )
    draws_of(about, draws)
    title = f"{name}, which comes with the package; test accuracy {facts.test['accuracy']:.1%}"
    answers = _answers_of(pretrained(name), facts.classes)
    return Predictor(name, title, answers, facts.classes, _pictures(facts.image_shape, facts.order, "stretch"))


def _of_run(run: Path, draws: int, overrides: Sequence[str]) -> Predictor:
    if wrong := [override for override in overrides if not override.strip().startswith("compute")]:
        raise RecipeError(f"-s {wrong[0]}: only values of compute change a prediction")
    loaded = load_run(run, overrides=overrides)
    recipe, data = loaded.recipe, loaded.recipe.data
    takes = encoder_facts(loaded.model.encoder).takes
    framing = framing_of(recipe) if takes == "frames" and data.name else None
    if isinstance(framing, Framing):
        read = _recordings(framing, data.name)
    elif takes == "frames" or (takes == "sequences" and not data.order):
        raise RecipeError(
            f"{run} was trained on {takes} ({data.name or 'of your own'}) and takes neither pictures nor recordings: "
            f"in Python, bntt.load_run({str(run)!r}).model takes {takes}"
        )
    else:
        read = _pictures(loaded.image_shape, data.order, data.fit if data.size else "stretch")
    draws_of(loaded.facts, draws)
    untrained = "imported" if recipe.imported.file else "converted"
    title = f"{run}, {f'epoch {loaded.epoch + 1}' if recipe.train.epochs else untrained}"
    answers = _answers_of(loaded.model, loaded.classes)
    return Predictor(str(run), title, answers, loaded.classes, read, loaded.measured_with)


def _of_bundle(path: Path, draws: int) -> Predictor:
    runtime = Runtime(path)
    made, kind = runtime.description, runtime.description.encoder.kind
    pictures = pictures_of(made)
    if draws > 1 and not kind.startswith("poisson"):
        raise ArgumentError(f"--draws {draws}: {kind} coding is not random, every pass would be the same: leave it out")

    def answers(sample: Tensor, seed: int, draws: int) -> Prediction:
        logits = [runtime.trace(sample.numpy(), seed=seed, draw=FIRST_DRAW + draw)[:, 0] for draw in range(draws)]
        shares = torch.stack([torch.from_numpy(one).double().softmax(1) for one in logits])
        return Prediction(made.classes, shares.mean(0))

    read = _pictures(pictures.shape, pictures.order, pictures.fit)
    return Predictor(str(path), f"{path}, run by {runtime.backend}", answers, made.classes, read)


def _answers_of(model: SpikingClassifier, classes: Sequence[str]) -> Callable[[Tensor, int, int], Prediction]:
    return lambda sample, seed, draws: predictions(model, sample, classes, seed=seed, draws=draws)[0]


def _pictures(shape: Sequence[int], order: str | None, fit: Fit) -> Callable[[Path, bool], Shown]:
    """Read pictures, for a network that takes them in this shape, or as sequences in this order."""

    def read(path: Path, invert: bool) -> Shown:
        values, changes = read_picture(path, shape, fit=fit, invert=invert)
        pixels = torch.from_numpy(values)
        image = pixels.unsqueeze(0).float() / 255
        return Shown(path, arrange(image, order) if order else image, pixels, changes)

    return read


def _recordings(framing: Framing, dataset: str) -> Callable[[Path, bool], Shown]:
    """Read recordings, and make frames as in training."""
    binning, (name, kind) = framing.binning, framing.of(dataset)

    def read(path: Path, invert: bool) -> Shown:
        if invert:
            raise RecipeError("--invert is for pictures, and this network takes recordings: leave it out")
        events = kind.read(path)
        try:
            frames = to_frames(events, binning)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        changes = [
            f"{len(events):,} events in {events.duration / 1e6:.2f} s on {events.height}x{events.width} pixels",
            f"{binning.num_steps} frames of {binning.height}x{binning.width} by {binning.by}",
        ]
        changes += [f"{frames.saturated:,} events lost in full cells"] if frames.saturated else []
        changes += ["simulated"] if name.startswith("aedat2") and is_simulated(path) else []
        cells = frames.counts.double().sum((0, 1))
        first = torch.tensor([0])
        sample = FrameSet(frames.counts.unsqueeze(0), first, (dataset,)).batch(first)
        return Shown(path, sample, (cells / cells.max() * 255).byte().unsqueeze(0), tuple(changes))

    return read
