"""The table ``data`` of a recipe: which images or recordings, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS, MIXES
from bntt.data.events.binning import Counting
from bntt.data.images.image_folder import Mode
from bntt.data.registry import DATASETS
from bntt.data.sequences import ORDERS
from bntt.io.pictures import Fit
from bntt.options import Limits, OneOf, Size
from bntt.runs.recipe.table import Number, Positive, Table

AN_ORDER = OneOf(lambda: ORDERS, or_none=True)
A_CHANGE = OneOf(lambda: {**AUGMENTATIONS, **EVENT_AUGMENTATIONS})


@dataclass(frozen=True, kw_only=True)
class FrameSize(Table):
    """The size of frames."""

    size: Annotated[int, Limits(at_least=1, at_most=1_000_000, unit="cells")] = 42
    """Rows and columns of the frames, at most the sensor's."""


@dataclass(frozen=True, kw_only=True)
class Frames(Counting, FrameSize):
    """How recordings of events become ``network.num_steps`` frames; used for recordings only."""

    format: str = ""
    """Format of the files, as `bntt data prepare` lists them; needed for "events", optional for "dvs-cifar10"."""
    sensor: Annotated[Sequence[Positive], Size(0, 2)] = ()
    """Rows and columns of the sensor; only for "npz", whose files do not state them."""


@dataclass(frozen=True, kw_only=True)
class Data(Table):
    """Images or recordings to train and measure on."""

    name: Annotated[str, OneOf(DATASETS.keys, or_none=True)]
    """Dataset, see `bntt data where`; "": samples given in Python."""
    root: str = ""
    """Folder of its files, if they are not prepared yet; "images" and "events" always need it."""
    label: str = ""
    """Name to print with the numbers; by default the dataset's."""
    size: Annotated[int, Limits(at_least=0, at_most=4096, unit="pixels")] = 0
    """Rows and columns to which a folder's images are scaled when they are prepared; 0: all already have one size."""
    mode: Mode = ""
    """Colour mode to which a folder's images are converted; "": all already have one mode."""
    fit: Fit = "crop"
    """How `size` is reached: scale the short side and cut out the middle ("crop"), scale the long side and add black
    borders ("pad"), or scale each side by itself ("stretch")."""
    order: Annotated[str, AN_ORDER] = ""
    """Turn each image into a sequence: one pixel per step ("pixels"), in one fixed random order ("permuted"), or one
    row per step ("rows"); "": it stays an image."""
    augment: Sequence[Annotated[str, A_CHANGE]] = ()
    """Random changes of the training images, in this order; crop pads by 4, cutout fills a square of half the side,
    erase a rectangle in about half of the images. For recordings: "flip", "shift" (by at most 4), all frames alike."""
    frames: Frames = Frames()
    """How recordings become frames."""
    mix: Annotated[str, OneOf(MIXES.keys, or_none=True)] = ""
    """Mix each training image and its label with another's: "mixup", "cutmix", or "" for not at all."""
    mix_alpha: Annotated[float, Limits(above=0)] = 1.0
    """α: the first image's share is drawn from Beta(α, α); 1 is uniform."""
    validation: Annotated[float, Limits(above=0, below=1)] = 0.1
    """Share of the training split that is held out; all choices are made on it."""
    images: Number = 0
    """Number of the remaining samples to train on, stratified by class and fixed by the seed; 0: all of them."""
