"""The registry of datasets: each says at its definition what others ask of it; nobody else names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bntt.data.frames import FrameSplits
from bntt.data.image_set import Splits

Kind = Literal["images", "recordings", "frames"]
Progress = Callable[[int, int], None]
"""Called with what is done, and all of it: bytes while downloading, samples while they are read."""


@dataclass(frozen=True)
class Published:
    """A file as its distributor describes it."""

    url: str
    md5: str
    size: int
    sha256: str = ""
    """Of the unpacked file, where it is known: a repacked archive has other bytes but the same content."""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Dataset:
    """The facts of one dataset, and how it is read."""

    kind: Kind
    """"images", "recordings" of an event camera, which become frames as a recipe says, or "frames" as they are."""
    licence: str
    classes: int = 0
    """0: as many as its files have."""
    shape: tuple[int, ...] = ()
    """``[C, H, W]`` of images, ``[H, W]`` of a sensor, ``[T, ...]`` of frames; (): as its files have it."""
    samples: tuple[int, int] = (0, 0)
    """For training and test; (0, 0): as many as its files have."""
    augment: tuple[str, ...] = ()
    """The changes that it is usually trained with."""
    needs: tuple[str, ...] = ()
    """What a recipe must say of it: "root", where each place is a dataset of its own, "frames.format"."""
    make: Callable[[], Splits | FrameSplits] | None = None
    """Makes both parts without any file; nothing below is asked then."""
    expects: str = ""
    """What ``--from`` takes."""
    read: Callable[..., Splits] | None = None
    """Reads images from a source, ``read(path, progress)``; what reads whole files has no progress to report."""
    fits: bool = False
    """Whether ``read`` also takes ``fitting=``, a :class:`~bntt.data.images.image_file.Fitting`."""
    published: tuple[Published, ...] = ()
    """Its files for download, with their checksums."""
    usual: tuple[Path, ...] = ()
    """Where a system package puts it."""
    formats: tuple[str, ...] = ()
    """Of recordings' files, out of ``EVENT_FORMATS``; the first where a recipe names none."""
    simulated: str = ""
    """The images that its recordings are simulated from; "": a camera's."""

    def __str__(self) -> str:
        facts: list[str] = [self.kind]
        facts += [f"{self.classes} classes"] if self.classes else []
        facts += ["x".join(map(str, self.shape))] if self.shape else []
        facts += ["{:,} + {:,}".format(*self.samples)] if self.samples[0] else []
        facts += [f"usually {' and '.join(self.augment)}"] if self.augment else []
        facts += [f"needs {', '.join(f'data.{key}' for key in self.needs)}"] if self.needs else []
        return ", ".join([*facts, f"licence: {self.licence}"])


DATASETS: dict[str, Dataset] = {}
"""By name, as recipes and ``bntt data`` know them; filled by every module that defines one."""


def register(name: str, dataset: Dataset) -> None:
    """Make a dataset known by name, in recipes and every verb.

    Raises:
        ValueError: if the name stands for another one, or the dataset has no way to be made or read.
    """
    if name in DATASETS:
        raise ValueError(f"there is a dataset {name!r} already: give yours another name")
    if not (dataset.make or dataset.read or dataset.formats):
        raise ValueError(f"the dataset {name!r} needs make, read or formats: nothing says where its samples come from")
    DATASETS[name] = dataset
