"""The tables of a recipe: the library's own option classes, and those that only runs have; an unknown key is an error.

Every option has its type, range and meaning at its field (:mod:`bntt.registry`): of training at :class:`bntt.Method`,
of neurons at :class:`bntt.models.spiking.NeuronOptions`, of computing at :class:`bntt.engine.compute.ComputeOptions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from bntt.analysis.measurement import MOST_DRAWS
from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS, MIXES
from bntt.data.events.binning import Counting
from bntt.data.images import Mode
from bntt.data.samples import DATASETS, ORDERS
from bntt.engine.compute import ComputeOptions, Events
from bntt.io.pictures import Fit
from bntt.models.pretrained import PRETRAINED
from bntt.models.spiking import MODELS, NeuronOptions
from bntt.nn.kinds import ENCODERS, NORMS, encoder_facts_by_name
from bntt.registry import NoneAs, OneOf, check_options
from bntt.training.method import Method
from bntt.training.schedule import check_stages

Steps = Annotated[int, Field(ge=1, le=100_000, json_schema_extra={"unit": "time steps"})]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(gt=0, lt=1_000_000)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key, what was expected and what came."""


@contextmanager
def named_in_errors(key: str) -> Iterator[None]:
    """Turn a ValueError of the library into a RecipeError that begins with a key of the recipe."""
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"{key}{error}") from None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: closed to unknown keys, strict about types, each option checked as its field says."""

    def __post_init__(self) -> None:
        check_options(self)


Order = Annotated[str, OneOf(lambda: ORDERS)]
A_CHANGE = OneOf(lambda: {**AUGMENTATIONS, **EVENT_AUGMENTATIONS})


@dataclass(frozen=True, kw_only=True)
class FrameSize(Table):
    """The size of frames."""

    size: Annotated[int, Field(ge=1, le=1_000_000, json_schema_extra={"unit": "cells"})] = 42
    """Rows and columns of the frames, at most the sensor's."""


@dataclass(frozen=True, kw_only=True)
class Frames(Counting, FrameSize):
    """How recordings of events become ``network.num_steps`` frames; used for recordings only."""

    format: Annotated[str | None, NoneAs("")] = None
    """Format of the files, as `bntt data prepare` lists them; needed for "events", optional for "dvs-cifar10"."""
    sensor: Annotated[Sequence[Positive], Field(min_length=0, max_length=2)] = ()
    """Rows and columns of the sensor; only for "npz", whose files do not state them."""


@dataclass(frozen=True, kw_only=True)
class Data(Table):
    """Images or recordings to train and measure on."""

    name: Annotated[str, OneOf(DATASETS.keys, or_none=True)]
    """Dataset, see `bntt data where`; "": samples given in Python."""
    root: Annotated[str | None, NoneAs("")] = None
    """Folder of its files, if they are not prepared yet; "images" and "events" always need it."""
    label: Annotated[str | None, NoneAs("")] = None
    """Name to print with the numbers; by default the dataset's."""
    size: Annotated[Annotated[int, Field(ge=1, le=4096, json_schema_extra={"unit": "pixels"})] | None, NoneAs(0)] = None
    """Rows and columns to which a folder's images are scaled when they are prepared; by default all have one size."""
    mode: Annotated[Mode | None, NoneAs("")] = None
    """Colour mode to which a folder's images are converted; by default all have one mode."""
    fit: Fit = "crop"
    """How `size` is reached: scale the short side and cut out the middle ("crop"), scale the long side and add black
    borders ("pad"), or scale each side by itself ("stretch")."""
    order: Annotated[Order | None, NoneAs("")] = None
    """Turn each image into a sequence: one pixel per step ("pixels"), in one fixed random order ("permuted"), or one
    row per step ("rows")."""
    augment: Sequence[Annotated[str, A_CHANGE]] = ()
    """Random changes of the training images, in this order; crop pads by 4, cutout fills a square of half the side,
    erase a rectangle in about half of the images. For recordings: "flip", "shift" (by at most 4), all frames alike."""
    frames: Frames = Frames()
    """How recordings become frames."""
    mix: Annotated[Annotated[str, OneOf(MIXES.keys)] | None, NoneAs("")] = None
    """Mix each training image and its label with another's."""
    mix_alpha: Annotated[float, Field(gt=0)] = 1.0
    """α: the first image's share is drawn from Beta(α, α); 1 is uniform."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training split that is held out; all choices are made on it."""
    images: Annotated[Number | None, NoneAs(0)] = None
    """Number of the remaining samples to train on, stratified by class and fixed by the seed; by default all."""


@dataclass(frozen=True, kw_only=True)
class Encoder(Table):
    """Encoding of a sample as the first layer's input over time."""

    name: Annotated[str, OneOf(ENCODERS.keys, or_none=True)] = "poisson"
    """Code: "poisson" is signed, as in the released code; "poisson-unsigned" fires with the pixel's value (0 to 1) as
    probability; "direct" shows the normalised pixels at every step; "expected" and "expected-unsigned" are the means of
    the two Poisson codes, for an ANN; "frames" passes on samples that already have steps; "sequence" passes on
    each step's values, normalised; "": given in Python."""


@dataclass(frozen=True, kw_only=True)
class Plan(Table):
    """The network's layers and steps. Classes, channels and image size come from the data."""

    name: Annotated[str, OneOf(MODELS.keys, or_none=True)]
    """Builder of the network, see `bntt list models`; "": put together in Python."""
    num_steps: Steps
    """Time steps T."""
    leak: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Leak λ of the neurons; 1 is an integrator without leak."""
    norm: Annotated[str, OneOf(NORMS.keys, or_none=True)] = "bntt"
    """Normalisation, see `bntt list norms`; "": a norm without such a name, given in Python."""
    width: Annotated[float, Field(gt=0, le=64)] = 1.0
    """Multiplies every layer's channels."""


@dataclass(frozen=True, kw_only=True)
class Network(NeuronOptions, Plan):
    """The network and its neurons."""


@dataclass(frozen=True, kw_only=True)
class Convert(Table):
    """Start from an ANN: its weights, and balanced thresholds (:func:`bntt.training.balance`)."""

    ann: Annotated[str | None, NoneAs("")] = None
    """The run directory of an ANN (network.neuron = "relu") of this architecture, width, data and seed."""
    images: Positive = 512
    """Number of training images that balance the thresholds, stratified by class."""
    steps: Steps = 250
    """Number of steps for which these images are shown."""
    scale: Literal["validation"] | Scale = 1.0
    """Factor of every threshold: 1 in Sengupta et al. 2019, 0.7 in Rathi et al. 2020; "validation" takes the best of
    `grid` (Han et al. 2020 scale too; their factor is not known)."""
    grid: Annotated[Sequence[Scale], Field(min_length=1)] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Scales that "validation" tries; if several are equally accurate after all steps, it takes the largest."""
    grid_images: Positive = 500
    """Largest number of validation images on which "validation" tries them, stratified by class."""


@dataclass(frozen=True, kw_only=True)
class Imported(Table):
    """The file that the weights are from, if they were not trained here: see :mod:`bntt.runs.imported`."""

    file: Annotated[str | None, NoneAs("")] = None
    """Name of the file."""
    sha256: Annotated[str | None, NoneAs("")] = None
    """SHA-256 of the file."""
    layout: Annotated[str | None, NoneAs("")] = None
    """Naming scheme of its entries: "released", "spikingjelly" or "snntorch"."""


@dataclass(frozen=True, kw_only=True)
class Init(Table):
    """Start from a trained network: its weights, γ and statistics; its last layer is new if the classes differ."""

    run: Annotated[str | None, NoneAs("")] = None
    """Run directory of the same network, possibly with another T or other classes, or of its ANN with a norm."""
    pretrained: Annotated[Annotated[str, OneOf(PRETRAINED.keys)] | None, NoneAs("")] = None
    """Or a trained network of the package, see `bntt list pretrained`."""
    longer: Literal["interpolate", "hold"] = "interpolate"
    """How added steps start: by stretching the trained steps ("interpolate"), or as copies of the last one ("hold")."""
    distil: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the loss that is the distance from that network's answers (Hinton et al. 2015); 0: none, 1: labels do
    not count. Both must have the same classes, and the source must stay in its place until the training ends."""
    temperature: Scale = 2.0
    """Temperature τ at which answers are compared; only for `distil`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distil and not self.source:
            raise RecipeError("init.distil: no network to learn from: set init.run or init.pretrained")

    @property
    def source(self) -> str | None:
        """The run or pretrained network, whichever is given."""
        return self.run or self.pretrained


@dataclass(frozen=True, kw_only=True)
class Length(Table):
    """Length of training, and batch size."""

    epochs: Annotated[int, Field(ge=0, le=1_000_000)]
    """Epochs of the whole training; 0 for a network that is only converted, or imported."""
    batch_size: Positive
    """Training samples in a batch."""


@dataclass(frozen=True, kw_only=True)
class Train(Method, Length):
    """Training options: the library's method, the paper's SGD by default."""


@dataclass(frozen=True, kw_only=True)
class Compute(ComputeOptions, Table):
    """Computation options; results differ only in rounding."""

    events: Events = "fixed"


@dataclass(frozen=True, kw_only=True)
class Evaluate(Table):
    """Options for measuring accuracy at the end."""

    draws: Annotated[int, Field(ge=1, le=MOST_DRAWS)] = 5
    """Number of draws, each with fresh encoder noise."""
    batch_size: Positive = 250
    """Number of samples in a batch."""
    images: Annotated[Number | None, NoneAs(0)] = None
    """Number of samples of the split to measure, stratified by class; by default all."""
    every: Annotated[int, Field(ge=1, le=1_000_000, json_schema_extra={"unit": "epochs"})] = 1
    """Number of epochs between two validations; the last epoch is always validated."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Table):
    """Times at which a training is saved, so that it can be resumed: after every epoch, and in between."""

    every_minutes: Annotated[float, Field(ge=0, json_schema_extra={"unit": "minutes"})] = 10.0
    """Minutes between two checkpoints; 0: after every update."""
    every_steps: Annotated[Annotated[int, Field(ge=1, json_schema_extra={"unit": "updates"})] | None, NoneAs(0)] = None
    """Updates between two checkpoints; by default by time only."""
    last: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of latest checkpoints to keep, besides the best epoch's weights."""


CONVERTED = {"neuron": "lif", "norm": "none", "threshold": 1.0, "decay_input": False}
"""Options of a network to which an ANN is converted; balancing sets the thresholds, convert.scale scales them."""
UNTRAINED = {"readout": "voltage", "leak": 1.0, "learn_leak": False}
"""More of them, if it is not trained: integrators, and output neurons are not balanced."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Table):
    """One training run, as returned by :func:`bntt.runs.recipe.file.load_recipe`."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Seed of everything random: weights, order, augmentation, noise, the validation split."""
    notes: str = ""
    """What a reader should know; what the paper leaves open."""
    data: Data
    """Which images or recordings."""
    encoder: Encoder = Encoder()
    """How a sample becomes the first layer's input over time."""
    network: Network
    """The network and its neurons."""
    convert: Convert = Convert()
    """An ANN from whose weights and balanced thresholds the network starts."""
    imported: Imported = Imported()
    """The file that the weights are from, if they were not trained here."""
    init: Init = Init()
    """A trained network from which the training starts."""
    train: Train
    """How it is trained, the paper's SGD by default."""
    evaluate: Evaluate = Evaluate()
    """How accuracy is measured at the end."""
    compute: Compute = Compute()
    """How it is computed, not what: results differ only in rounding."""
    checkpoint: Checkpoint = Checkpoint()
    """When a training is saved, so that it can continue after a stop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_sequences()
        network, train = self.network, self.train
        with named_in_errors("train."):
            check_stages(train.grow, train.epochs, network.num_steps)
        if self.imported.file and (self.convert.ann or train.epochs):
            raise RecipeError('imported.file: its network is not trained: set convert.ann = "" and train.epochs = 0')
        if [self.init.run, self.init.pretrained, self.convert.ann, self.imported.file].count(None) < 3:
            raise RecipeError("init.run, init.pretrained, convert.ann, imported.file: set at most one of them")
        if self.convert.ann:
            wanted = CONVERTED if train.epochs else CONVERTED | UNTRAINED
            for key, value in wanted.items():
                if (given := getattr(network, key)) != value:
                    untrained = " that is not trained" if key in UNTRAINED else ""
                    raise RecipeError(f"network.{key}: of a converted network{untrained} is {value!r}, got {given!r}")
        elif train.epochs == 0 and not self.imported.file:
            raise RecipeError("train.epochs: 0 trains nothing; a network that is converted is named in convert.ann")

    def _check_sequences(self) -> None:
        """Check that sequences have their own encoder, and no augmentation or mixing."""
        order, encoder = self.data.order, self.encoder.name if self.data.name or self.data.order else ""
        if encoder and bool(order) != (encoder_facts_by_name(encoder).takes == "sequences"):
            made = f"sequences (data.order = {order!r})" if order else "images"
            takes = '"sequence"' if order else "any other than 'sequence'"
            raise RecipeError(f"encoder.name: {made} are encoded by {takes}, got {encoder!r}")
        for key, value in (("augment", self.data.augment), ("mix", self.data.mix)):
            if order and value:
                raise RecipeError(f"data.{key}: {value!r} is for images, data.order makes sequences: leave it out")
