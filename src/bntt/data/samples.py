"""Sets of labelled samples: images, frames, images as sequences; subsets; and the datasets by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS
from bntt.io.errors import DataError
from bntt.io.files import digest_of_text
from bntt.ops.random import Purpose, permutation
from bntt.registry import Registry

Same = TypeVar("Same")


@runtime_checkable
class SampleSet(Protocol):
    """Labelled samples: any class with these five members can be loaded, split, trained on and measured.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog"))
    >>> isinstance(data, SampleSet), data.batch(torch.tensor([2, 0])).shape
    (True, torch.Size([2, 1, 2, 2]))
    """

    @property
    def labels(self) -> Tensor:
        """int64, ``[N]``, from 0 to len(classes) - 1."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    def __len__(self) -> int:
        """Return N, the number of samples."""
        ...

    def select(self: Same, index: Int[Tensor, " M"]) -> Same:
        """Return the samples at these places, in this order, as a new set."""
        ...

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B *shape"]:
        """Return the values of the samples at these places, float32, as an encoder takes them."""
        ...


Samples = TypeVar("Samples", bound=SampleSet)


def check_labels(labels: Tensor, count: int, classes: tuple[str, ...], what: str) -> None:
    """Refuse labels that do not name a class of each sample."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        had = f"{labels.dtype} {list(labels.shape)}"
        raise ValueError(f"labels must be int64, one for each of {count} {what}s, got {had}")
    wrong, most = ((labels < 0) | (labels >= len(classes))).nonzero().flatten().tolist(), len(classes) - 1
    if wrong:
        label = f"label {int(labels[wrong[0]])} of {what} {wrong[0]}"
        raise ValueError(f"{label} is outside 0-{most} ({len(classes)} classes, {len(wrong)} such labels)")


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    Raises:
        ValueError: on images that are not uint8 ``[N, C, H, W]``, or labels that are not int64 ``[N]`` from 0 to K - 1.

    >>> ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog")).counts()
    [1, 2]
    """

    images: Tensor
    """uint8, ``[N, C, H, W]``."""
    labels: Tensor
    """int64, ``[N]``, from 0 to len(classes) - 1."""
    classes: tuple[str, ...]
    """Names of the classes."""
    augmentations: ClassVar = AUGMENTATIONS
    """Augmentations that a :class:`~bntt.data.SampleLoader` can apply to them."""
    mixes: ClassVar = True

    def __post_init__(self) -> None:
        images = self.images
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {images.dtype} {list(images.shape)}")
        check_labels(self.labels, len(images), self.classes, "image")

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> list[int]:
        """Count the images of each class."""
        return self.labels.bincount(minlength=len(self.classes)).tolist()

    def select(self, index: Int[Tensor, " M"]) -> ImageSet:
        """Return the images at these places, in this order."""
        return ImageSet(self.images[index], self.labels[index], self.classes)

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B C H W"]:
        """Return the images at these places, float32, pixels in [0, 1]."""
        return self.images[index].float() / 255

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Compute mean and standard deviation of every channel, of pixels scaled to [0, 1]."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in self.images.unbind(1):
            share = channel.flatten().bincount(minlength=256).double() / channel.numel()
            mean = float(share @ levels)
            means.append(mean)
            stds.append(float((share @ (levels - mean).square()).sqrt()))
        return means, stds


def same_images(one: ImageSet, other: ImageSet, places: Int[Tensor, " M"]) -> bool:
    """Return True if two sets are equal in size, and have the same images and labels at these places."""
    if len(one) != len(other):
        return False
    ours, theirs = one.select(places), other.select(places)
    return torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)


class Splits(NamedTuple):
    """Training and test part of a dataset, as published.

    >>> from bntt.data import fashion_mnist_bundled
    >>> len(fashion_mnist_bundled().train)
    5000
    """

    train: ImageSet
    """Training images."""
    test: ImageSet
    """Test images."""


@dataclass(frozen=True)
class FrameSet:
    """Labelled samples of T time steps each, for a :class:`bntt.nn.FrameEncoder` with the same T.

    A frame is what one time step shows: the events of a camera's pixels ``[C, H, W]``, with C = 2 if polarities are
    separate, or the features ``[F]`` of a sequence.

    Raises:
        ValueError: on frames or labels other than described below, or a scale that is not a finite number above 0.

    >>> events = torch.zeros(3, 10, 2, 8, 8, dtype=torch.uint8)  # ten frames each, of 8x8 pixels
    >>> data = FrameSet(events, torch.tensor([0, 1, 1]), ("left", "right"), scale=0.1)
    >>> data.num_steps, data.batch(torch.tensor([2, 0])).shape
    (10, torch.Size([2, 10, 2, 8, 8]))
    """

    frames: Tensor
    """``[N, T, C, H, W]`` or ``[N, T, F]``: uint8 or uint16 counts, or finite floating point values."""
    labels: Tensor
    """int64, ``[N]``, from 0 to len(classes) - 1."""
    classes: tuple[str, ...]
    """Names of the classes."""
    scale: float = 1.0
    """Factor applied to a batch's values."""
    rows: Tensor | None = None
    """int64, the place of each sample in ``frames``; None: all, in order. A selection copies no frames, so that a
    mapped file, which can be larger than memory, is only read batch by batch."""

    def __post_init__(self) -> None:
        frames = self.frames
        known = frames.dtype in (torch.uint8, torch.uint16) or frames.is_floating_point()
        if not known or frames.ndim not in (3, 5) or 0 in frames.shape[1:]:
            kinds = "[N, T, C, H, W] or [N, T, F], all but N 1 or more, uint8 or uint16 counts or floating point"
            raise ValueError(f"frames must be {kinds}, got {frames.dtype} {list(frames.shape)}")
        if frames.is_floating_point() and not torch.isfinite(frames).all():
            first = int((~torch.isfinite(frames)).flatten(1).any(1).nonzero()[0])
            raise ValueError(f"frames must be finite, sample {first} is not: a NaN membrane would never fire again")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite number above 0, got {self.scale}")
        check_labels(self.labels, len(self), self.classes, "sample")

    def __len__(self) -> int:
        return len(self.frames if self.rows is None else self.rows)

    @property
    def num_steps(self) -> int:
        """T, the same for every sample."""
        return self.frames.shape[1]

    @property
    def augmentations(self) -> Mapping[str, Callable[..., Tensor]]:
        """Augmentations that a :class:`~bntt.data.SampleLoader` can apply to frames of events; none for sequences."""
        return EVENT_AUGMENTATIONS if self.frames.ndim == 5 else {}

    def select(self, index: Int[Tensor, " M"]) -> FrameSet:
        """Return the samples at these places, in this order."""
        return FrameSet(self.frames, self.labels[index], self.classes, self.scale, self._places(index))

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B T *frame"]:
        """Return the frames of these samples, float32, times the scale."""
        return self.frames[self._places(index)].float() * self.scale

    def _places(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        return index if self.rows is None else self.rows[index]


class FrameSplits(NamedTuple):
    """Training and test part of a dataset of frames.

    >>> one = FrameSet(torch.zeros(1, 5, 2, 4, 4), torch.tensor([0]), ("left",))
    >>> FrameSplits(one, one).train.num_steps
    5
    """

    train: FrameSet
    """Training samples."""
    test: FrameSet
    """Test samples."""


ORDERS = ("pixels", "rows", "permuted")
"""Pixel by pixel, row after row from the top left; row by row; or pixel by pixel in the order of :func:`places`."""


def places(pixels: int) -> Int[Tensor, " T"]:
    """Return the fixed order of "permuted": the pixel of each step, the same for every image, run and machine."""
    return permutation(0, Purpose.PIXELS, 0, pixels)


def digest_of(order: str, pixels: int) -> str:
    """Return the digest of a pixel order, which a run stores with its data's."""
    listed = ",".join(map(str, places(pixels).tolist())) if order == "permuted" else ""
    return digest_of_text(f"{order}:{listed}")


def arrange(images: Shaped[Tensor, "N C H W"], order: str) -> Shaped[Tensor, "N T F"]:
    """Arrange images as sequences: ``[N, H·W, C]`` by pixels, ``[N, H, C·W]`` by rows, channel after channel."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}: choose one of {', '.join(ORDERS)}")
    if order == "rows":
        return images.transpose(1, 2).flatten(2)
    told = images.flatten(2).transpose(1, 2)
    return told if order == "pixels" else told[:, places(told.shape[1]).to(told.device)]


@dataclass(frozen=True)
class SequenceSet:
    """Labelled images as sequences ``[T, F]``, for a :class:`bntt.nn.SequenceEncoder` with the same T.

    The images stay as they are; each batch is rearranged when it is loaded.

    Raises:
        ValueError: on an unknown order.

    >>> import torch
    >>> images = ImageSet(torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog"))
    >>> data = SequenceSet(images, "rows")
    >>> data.num_steps, data.features, data.batch(torch.tensor([2, 0])).shape
    (28, 28, torch.Size([2, 28, 28]))
    """

    images: ImageSet
    """The images."""
    order: str = "pixels"
    """Order of the pixels, one of ``ORDERS``."""

    def __post_init__(self) -> None:
        _ = self._shape  # refuses an unknown order

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> Tensor:
        """int64, ``[N]``, from 0 to len(classes) - 1."""
        return self.images.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def num_steps(self) -> int:
        """T, the same for every sample."""
        return self._shape[0]

    @property
    def features(self) -> int:
        """F, the same for every step."""
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, int]:
        steps, features = arrange(self.images.images[:1], self.order).shape[1:]
        return steps, features

    def select(self, index: Int[Tensor, " M"]) -> SequenceSet:
        """Return the sequences at these places, in this order."""
        return SequenceSet(self.images.select(index), self.order)

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """Return the sequences at these places, float32, values in [0, 1]."""
        return arrange(self.images.images[index], self.order).float() / 255


def stratified(samples: SampleSet, count: int, seed: int = 0) -> Int[Tensor, " count"]:
    """Return the places of ``count`` samples, ascending, stratified by class.

    They are the first of :func:`fair_order`, so with the same seed a smaller subset is part of a larger one. With fewer
    samples than classes, some classes are left out: see :func:`how_chosen`.

    Args:
        samples: the set, such as an :class:`~bntt.data.ImageSet`; ``samples.select(places)`` is the subset.
        count: 1 to all of them.
        seed: seed of the choice.

    Raises:
        ValueError: if the count is out of range.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 4 + [1] * 4), ("cat", "dog"))
    >>> data.select(stratified(data, 4)).counts(), stratified(data, 8).tolist()
    ([2, 2], [0, 1, 2, 3, 4, 5, 6, 7])
    """
    total = len(samples)
    if not 1 <= count <= total:
        raise ValueError(f"there are {total} samples to choose from: count must be 1 to {total}, got {count}")
    return fair_order(samples, seed)[:count].sort().values


def fair_order(samples: SampleSet, seed: int = 0) -> Int[Tensor, " N"]:
    """Return all indices, by (r + 1/2) / n for the r-th of n in a class: every prefix is stratified by class."""
    total = len(samples)
    order = permutation(seed, Purpose.SPLIT, 0, total)
    share = torch.empty(total, dtype=torch.float64)
    for label in range(len(samples.classes)):
        members = order[samples.labels[order] == label]
        share[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / max(1, len(members))
    return order[torch.argsort(share[order], stable=True)]


def how_chosen(samples: SampleSet, count: int, seed: int = 0) -> str:
    """Describe the choice of a :func:`stratified` subset, to be printed with its results."""
    places = stratified(samples, count, seed)
    if count == len(samples):
        return f"all {count:,}"
    said = f"{count:,} of {len(samples):,}, stratified by class, seed {seed}"
    there, had = (int((labels.bincount() > 0).sum()) for labels in (samples.labels[places], samples.labels))
    return said if there == had else f"{said}, with {there} of the {had} classes"


def split_validation(samples: Samples, count: int, seed: int) -> tuple[Samples, Samples, Tensor]:
    """Set aside ``count`` samples for validation, stratified by class.

    Args:
        samples: the training samples.
        count: number of validation samples, 1 or more.
        seed: seed of the random choice.

    Returns:
        ``(training, validation, index)``: ``index`` holds the original places of the validation samples.

    Raises:
        TypeError: if the count is not a whole number.
        ValueError: if the count is below 1, or so large that a class would have no sample left to train on; the message
            names the class.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1] * 4), ("cat", "dog"))
    >>> training, validation, _ = split_validation(data, 2, seed=0)
    >>> training.counts(), validation.counts()
    ([3, 3], [1, 1])
    """
    order = fair_order(samples, seed)
    labels = samples.labels[order].tolist()
    ends = {label: place for place, label in enumerate(labels)}
    most = min(ends.values(), default=0)
    if count != int(count):
        raise TypeError(f"count is a number of samples, got {count!r}: for a share, round(share * len(samples))")
    if not 0 < count <= most:
        more = f": more would leave the class {samples.classes[labels[most]]!r} none to train on" if ends else ""
        raise ValueError(f"validation needs 1 to {most} of {len(samples)} samples, got {count}{more}")
    chosen = order[: int(count)].sort().values
    rest = torch.ones(len(samples), dtype=torch.bool)
    rest[chosen] = False
    return samples.select(rest.nonzero().squeeze(1)), samples.select(chosen), chosen


def some_of(samples: Samples, count: int, seed: int) -> Samples:
    """Return ``count`` samples of a set, stratified by class; the whole set if it has no more."""
    return samples if count >= len(samples) else samples.select(stratified(samples, count, seed))


Progress = Callable[[int, int], None]
"""Callback ``(done, total)``: bytes while downloading, samples while they are read."""


@dataclass(frozen=True)
class Published:
    """File as described by its distributor."""

    url: str
    md5: str
    size: int
    sha256: str = ""
    """SHA-256 of the unpacked file, if known: a repacked archive has other bytes but the same content."""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Dataset:
    """Facts of one dataset, and its reader."""

    kind: Literal["images", "recordings", "frames"]
    """"images", "recordings" of an event camera, which become frames as a recipe says, or "frames" as they are."""
    licence: str
    classes: int = 0
    """Number of classes; 0: as many as its files have."""
    shape: tuple[int, ...] = ()
    """``[C, H, W]`` of images, ``[H, W]`` of a sensor, ``[T, ...]`` of frames; (): as its files have it."""
    samples: tuple[int, int] = (0, 0)
    """Number of training and test samples; (0, 0): as many as its files have."""
    augment: tuple[str, ...] = ()
    """Augmentations usual in training on it."""
    needs: tuple[str, ...] = ()
    """Keys that a recipe must set: "root" if every folder is a dataset of its own, "frames.format"."""
    make: Callable[[], Splits | FrameSplits] | None = None
    """Function that makes both parts without any file; the fields below are then unused."""
    expects: str = ""
    """Source that ``--from`` takes."""
    read: Callable[..., Splits | FrameSplits] | None = None
    """Reader of images or frames, ``read(source, progress)``; a reader of whole files reports no progress."""
    fits: bool = False
    """True if ``read`` also takes ``fitting=``, a :class:`~bntt.data.images.Fitting`."""
    published: tuple[Published, ...] = ()
    """Files for download, with their checksums."""
    usual: tuple[Path, ...] = ()
    """Paths where a system package puts it."""
    formats: tuple[str, ...] = ()
    """Formats of recordings' files, out of ``EVENT_FORMATS``; the first is the default of recipes."""
    simulated: str = ""
    """Images that its recordings are simulated from; "": a camera recorded them."""

    @property
    def frame_size(self) -> int:
        """Rows and columns of a frame by default: 42, or those of the sensor if it has fewer."""
        return min((42, *self.shape))

    def __str__(self) -> str:
        facts: list[str] = [self.kind]
        facts += [f"{self.classes} classes"] if self.classes else []
        facts += ["x".join(map(str, self.shape))] if self.shape else []
        facts += ["{:,} + {:,}".format(*self.samples)] if self.samples[0] else []
        facts += [f"usually {' and '.join(self.augment)}"] if self.augment else []
        facts += [f"needs {', '.join(f'data.{key}' for key in self.needs)}"] if self.needs else []
        return ", ".join(facts)


DATASETS: Registry[Dataset] = Registry("dataset", error=DataError)
"""Datasets by name, as in recipes and ``bntt data``; filled by every module that defines one."""
