"""A folder of recordings simulated from a set of images, laid out as CIFAR10-DVS: a folder a class, AEDAT 2.0 files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.events.aedat2_writer import SIMULATED, aedat2_bytes
from bntt.data.events.camera import CAMERA, Camera, simulate
from bntt.data.events.recording import beginning
from bntt.data.images.image_set import ImageSet
from bntt.data.subset import stratified
from bntt.io.files import digest_of_bytes

RECORDINGS = 10_000
"""As many as CIFAR10-DVS has."""


def simulate_set(
    images: ImageSet,
    folder: Path,
    *,
    name: str,
    count: int = RECORDINGS,
    seed: int = 0,
    camera: Camera = CAMERA,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Record so many images, as many of each class as its share, each in a file of its own.

    Everything goes to ``<folder>.part`` first, which is given its name when it is complete. What is there from an
    earlier try is kept, where its header says that it is what would be written. The header of every file says that it
    is simulated, from which image, with which seed and camera.

    Args:
        name: of the set of images.
        seed: of the camera and of which images are taken.
        progress: called with the recordings that are done, and all of them.

    Raises:
        DataError: if the folder is there already, there are fewer images, or what an earlier try left is of others.

    >>> import tempfile
    >>> from bntt.data import fashion_mnist_bundled
    >>> folder = Path(tempfile.mkdtemp()) / "recordings"
    >>> simulate_set(fashion_mnist_bundled().train, folder, name="fashion-mnist-bundled", count=10)
    >>> len(list(folder.glob("*/*.aedat")))
    10
    """
    if folder.exists():
        raise DataError(f"{folder} is there already: take it away, or name another with --to")
    if not 1 <= count <= len(images):
        raise DataError(f"{name} has {len(images):,} images to simulate recordings from, asked for {count:,}")
    chosen = torch.arange(len(images)) if count == len(images) else stratified(images, count, seed).sort().values
    part = folder.with_name(folder.name + ".part")
    paths = _paths(images, chosen.tolist(), part, name)
    if strange := set(part.rglob("*.aedat")) - set(paths.values()):
        raise DataError(f"{part} holds {min(strange).name}, which is none of these recordings: take the folder away")
    for done, (place, path) in enumerate(paths.items(), start=1):
        notes = _notes(name, images.images[place], place, seed, camera)
        if not _begins(path, notes):
            _write(path, notes, images.images[place], place, seed, camera)
        progress(done, count)
    part.replace(folder)


def _paths(images: ImageSet, places: list[int], folder: Path, name: str) -> dict[int, Path]:
    """The file of each image.

    Raises:
        DataError: if two classes would share a folder.
    """
    labels = [_as_folder(label) for label in images.classes]
    if len({label.lower() for label in labels}) < len(labels):
        raise DataError(
            f"two classes of {name} would have one folder: {', '.join(sorted(labels))}; give them other names"
        )
    called = {place: labels[int(images.labels[place])] for place in places}
    return {place: folder / label / f"{name}_{label}_{place:05}.aedat" for place, label in called.items()}


def _as_folder(label: str) -> str:
    """A class as a folder may be called on every system."""
    return re.sub(r"[^\w.-]+", "-", label, flags=re.ASCII).strip("-.") or "class"


def _notes(name: str, image: Tensor, place: int, seed: int, camera: Camera) -> list[str]:
    content = digest_of_bytes(image.contiguous().numpy().tobytes())
    return [SIMULATED, f"# Image {place} of {name}, SHA-256 {content}", f"# Seed {seed}, {camera}"]


def _begins(path: Path, notes: list[str]) -> bool:
    """Whether this very recording is there."""
    if not path.is_file():
        return False
    start = "\r\n".join(["#!AER-DAT2.0", *notes, ""]).encode("ascii")
    return beginning(path, len(start)) == start


def _write(path: Path, notes: list[str], image: Tensor, place: int, seed: int, camera: Camera) -> None:
    """The file whole, or none."""
    events, threshold = simulate(image, seed=seed, index=place, camera=camera)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".aedat.tmp")
    temporary.write_bytes(aedat2_bytes(events, [*notes, f"# Threshold {threshold:.6g}, {len(events)} events"]))
    os.replace(temporary, path)
