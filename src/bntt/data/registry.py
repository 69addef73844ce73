"""The registry of datasets: the module that defines a dataset declares its facts; no other code names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bntt.data.samples import FrameSplits, Splits
from bntt.io.errors import DataError

Kind = Literal["images", "recordings", "frames"]
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

    kind: Kind
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
    """True if ``read`` also takes ``fitting=``, a :class:`~bntt.data.images.image_folder.Fitting`."""
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


class _Datasets(dict[str, Dataset]):
    """Datasets by name; an unknown name is an error that lists them."""

    def __missing__(self, name: str) -> Dataset:
        raise DataError(f"no dataset is called {name!r}: choose one of {', '.join(self)}")


DATASETS: dict[str, Dataset] = _Datasets()
"""Datasets by name, as in recipes and ``bntt data``; filled by every module that defines one."""


def register(name: str, dataset: Dataset) -> None:
    """Make a dataset known by name, in recipes and every verb."""
    if name in DATASETS:
        raise ValueError(f"there is a dataset {name!r} already: give yours another name")
    if not (dataset.make or dataset.read or dataset.formats):
        raise ValueError(f"the dataset {name!r} needs make, read or formats: nothing says where its samples come from")
    DATASETS[name] = dataset
