"""What a recipe may say of its data and of how they drive a network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bntt.runs.recipe import choices as names

Positive = Annotated[int, Field(ge=1, le=1_000_000)]


class Part(BaseModel):
    """A table of a recipe: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Frames(Part):
    """How recordings of events become frames, ``network.num_steps`` of them; nothing else looks at it."""

    size: Positive = 42
    """Rows and columns, at most the sensor's."""
    by: Literal["time", "count"] = "time"
    """The frames share a recording's "time" equally, or the "count" of its events."""
    cells: Literal["counts", "binary"] = "counts"
    """"counts" of events, which meet the first layer as they are, or "binary": 1 where there are any."""
    beyond: Literal["widen", "saturate"] = "widen"
    """A count over 255 takes 16 bits a cell ("widen"), or stays at 255 ("saturate")."""
    format: str = ""
    """Of the files, which "events" needs and "dvs-cifar10" may have another; `bntt data prepare` lists them."""
    sensor: Annotated[list[Positive], Field(max_length=2)] = []
    """Rows and columns of the sensor, for "npz" alone, which does not say them."""


class Data(Part):
    """Which images or recordings."""

    name: Annotated[str, names.one_of(names.datasets)]
    """Dataset; `bntt data where` says what is there."""
    root: str = ""
    """Where its files are, if they are not prepared yet; "images" and "events" always need it."""
    label: str = ""
    """What to call it beside numbers; the name by default."""
    order: Annotated[str, names.one_of(names.orders, or_none=True)] = ""
    """Makes each image a sequence: a pixel a step ("pixels"), in one fixed random order ("permuted"), or a row a step
    ("rows"); "": it stays an image."""
    augment: list[Annotated[str, names.one_of(names.augmentations)]] = []
    """Random changes of the training images, in this order; crop pads by 4, cutout fills a square of half the side,
    erase a rectangle in about half of the images. Of recordings "flip" and "shift", by 4 at most, all frames alike."""
    frames: Frames = Frames()
    mix: Annotated[str, names.one_of(names.mixes, or_none=True)] = ""
    """How each training image and its label are mixed with another's: "mixup", "cutmix", or "" for not at all."""
    mix_alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """α: the first image's share is Beta(α, α); 1 is uniform."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training split that is held out; everything that is chosen is chosen on it."""
    images: Annotated[int, Field(ge=0)] = 0
    """Of the rest, so many are trained on, as many of each class as its share, the same for a seed; 0: all of them."""


class Encoder(Part):
    """How an image becomes a drive over time."""

    name: Literal["poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence"] = (
        "poisson"
    )
    """"poisson" is signed and as released; "expected" are the expected spikes of a code, for an ANN; "frames" are what
    has time in it already, as it is; "sequence" gives each step its values of a sequence, normalised."""
