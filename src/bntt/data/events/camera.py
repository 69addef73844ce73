"""Recordings simulated like CIFAR10-DVS (Li et al. 2017): an event camera before a picture that moves round a loop."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from bntt.data.events.binning import Events
from bntt.data.events.formats import SIMULATED, aedat2_bytes, is_simulated
from bntt.data.samples import ImageSet, stratified
from bntt.io.errors import DataError
from bntt.io.files import digest_of_bytes, write_whole
from bntt.ops.random import Purpose, child_keys, normal, sample_keys, uniform

RECORDINGS = 10_000
LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Camera:
    """Camera, and motion of the picture in front of it; all numbers are our choice.

    >>> Camera(size=64).threshold
    0.2
    """

    size: int = 128
    """Rows and columns of the sensor, a DVS128's."""
    radius: float = 2.5
    """Radius of the circle on which the picture moves, in pixels of the sensor."""
    loops: int = 2
    """Number of times that the picture goes round."""
    loop_us: int = 300_000
    """Microseconds of one loop."""
    pictures: int = 24
    """Positions per loop; between two of them a pixel's log intensity changes linearly."""
    dark: float = 0.1
    """Offset of intensities in [0, 1] before the logarithm: a screen's black still emits light."""
    threshold: float = 0.2
    """Change of log intensity that triggers an event."""
    mismatch: float = 0.03
    """Standard deviation of the pixels' own thresholds, as a share of the threshold."""
    noise: float = 0.02
    """Share of the pixels that fire once without any change."""
    most: int = 20_000
    """Most events of a recording: for a picture that would give more, the threshold is raised."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value >= 0 if name in ("radius", "mismatch", "noise") else value > 0):
                raise ValueError(f"a camera's {name} cannot be {value}")


CAMERA = Camera()


def simulate(
    image: UInt8[Tensor, "C H W"], *, seed: int = 0, index: int = 0, camera: Camera = CAMERA
) -> tuple[Events, float]:
    """Simulate the recording of a still picture by an event camera.

    The picture's middle square covers the sensor all the way round the circle, from a random angle. A pixel of
    intensity I keeps the log intensity ``L = log(dark + I)`` of its last event, and fires whenever L has since risen
    (polarity 1) or fallen (0) by its threshold. All randomness depends only on seed and index.

    Args:
        image: gray or RGB.
        seed: seed of angle, noise and the pixels' thresholds, which are the camera's, the same for every picture.
        index: the picture's place in its set.
        camera: the camera, and how the picture moves in front of it.

    Returns:
        The events, and the threshold that was used.

    Raises:
        ValueError: if the camera's noise alone makes more events than a recording may have.

    >>> image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    >>> image[:, 10:18, 10:18] = 255
    >>> events, threshold = simulate(image)
    >>> threshold >= 0.2, len(events) <= 20000, abs(float(events.p.mean()) - 0.5) < 0.05
    (True, True, True)
    """
    keys = sample_keys(seed, Purpose.SIMULATE, 0, torch.tensor([index]))
    angle = 2 * math.pi * float(uniform(child_keys(keys, 0), 1))
    logs = np.log(camera.dark + np.stack(list(_loop(image, angle, camera)))).reshape(camera.pictures, -1)
    spread, background, threshold = _thresholds(seed, camera), _background(keys, camera), camera.threshold
    if len(background[0]) > camera.most:
        raise ValueError(f"the camera's noise alone is {len(background[0])} events, most is {camera.most}")
    while True:
        fired = [*_crossings(logs, threshold * spread, camera), background]
        count = sum(len(t) for t, _, _ in fired)
        if count <= camera.most:
            break
        threshold *= max(1.02, count / camera.most)
    t, place, p = (np.concatenate(part) for part in zip(*fired, strict=True))
    order = np.lexsort((place, t))
    t, place, p = t[order], place[order], p[order]
    x, y = (place % camera.size).astype(np.uint16), (place // camera.size).astype(np.uint16)
    return Events(t, x, y, p, camera.size, camera.size), threshold


@lru_cache(maxsize=4)
def _thresholds(seed: int, camera: Camera) -> Float32[np.ndarray, " P"]:
    """Draw each pixel's own threshold, as a share of the threshold, at least 1/2."""
    keys = sample_keys(seed, Purpose.SIMULATE, 1, torch.tensor([0]))
    own: np.ndarray = normal(keys, camera.size**2)[0].numpy()
    return np.maximum(1 + np.float32(camera.mismatch) * own, np.float32(0.5))


def _loop(image: Tensor, angle: float, camera: Camera) -> Iterator[Float32[np.ndarray, "S S"]]:
    """Yield the intensities that the sensor sees at each position round the circle, starting at this angle."""
    margin = math.ceil(camera.radius) + 1
    wide = _enlarged(image, camera.size + 2 * margin)
    for number in range(camera.pictures):
        phase = angle + 2 * math.pi * number / camera.pictures
        down, right = margin + camera.radius * math.sin(phase), margin + camera.radius * math.cos(phase)
        row, column = int(down), int(right)
        b, a = np.float32(down - row), np.float32(right - column)
        seen = wide[row : row + camera.size + 1, column : column + camera.size + 1]
        rows = (1 - b) * seen[:-1] + b * seen[1:]
        yield (1 - a) * rows[:, :-1] + a * rows[:, 1:]


def _enlarged(image: Tensor, side: int) -> Float32[np.ndarray, "side side"]:
    """Scale the luminance, in [0, 1], of the picture's middle square to this size."""
    pixels = image.float() / 255
    gray = torch.einsum("c,chw->hw", torch.tensor(LUMINANCE), pixels) if len(image) == 3 else pixels[0]
    short = min(gray.shape)
    top, left = (gray.shape[0] - short) // 2, (gray.shape[1] - short) // 2
    square = gray[top : top + short, left : left + short]
    large: Tensor = F.interpolate(square[None, None], size=(side, side), mode="bilinear", align_corners=False)
    return large[0, 0].numpy()


Fired = tuple[np.ndarray, np.ndarray, np.ndarray]
"""int64 microseconds, int64 pixels (row by row), uint8 polarities."""


def _crossings(
    logs: Float[np.ndarray, "pictures P"], thresholds: Float[np.ndarray, " P"], camera: Camera
) -> Iterator[Fired]:
    """Yield the events between each position and the next, through all loops."""
    kept, tick = logs[0].copy(), camera.loop_us / camera.pictures
    for number in range(camera.loops * camera.pictures):
        before, after = logs[number % camera.pictures], logs[(number + 1) % camera.pictures]
        count = np.trunc((after - kept) / thresholds) * (after != before)  # a rounding error is no change
        places = count.nonzero()[0]
        signed = count[places]
        times = np.abs(signed).astype(np.int64)
        each = np.repeat(places, times)
        sign = np.sign(count[each])
        which = np.arange(len(each)) - np.repeat(np.cumsum(times) - times, times) + 1
        level = kept[each] + sign * which * thresholds[each]
        share = np.clip((level - before[each]) / (after[each] - before[each]), 0, 1)
        kept[places] += signed * thresholds[places]
        yield ((number + share) * tick).astype(np.int64), each, (sign > 0).astype(np.uint8)


def _background(keys: Tensor, camera: Camera) -> Fired:
    """Draw noise events: a share of the pixels, each once, at a random time and with a random polarity."""
    chance, when, which = (uniform(child_keys(keys, number), camera.size**2)[0].numpy() for number in (1, 2, 3))
    places = (chance < camera.noise).nonzero()[0]
    t = (when[places].astype(np.float64) * camera.loops * camera.loop_us).astype(np.int64)
    return t, places, (which[places] < 0.5).astype(np.uint8)


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
    """Record ``count`` images, stratified by class, each in a file of its own.

    Everything goes to ``<folder>.part`` first; recordings of an earlier attempt are kept if their header, which names
    image, seed and camera, is the one to be written.

    Args:
        images: the images to record, gray or RGB.
        folder: the folder to create, with one sub-folder per class.
        name: name of the set of images.
        count: the number of recordings.
        seed: seed of the camera and of the choice of images.
        camera: the camera, and how pictures move in front of it.
        progress: called with the number of recordings done, and the total.

    Raises:
        DataError: if the folder exists, there are fewer images, or an earlier attempt left other files.

    >>> import tempfile
    >>> from bntt.data import fashion_mnist_bundled
    >>> folder = Path(tempfile.mkdtemp()) / "recordings"
    >>> simulate_set(fashion_mnist_bundled().train, folder, name="fashion-mnist-bundled", count=10)
    >>> len(list(folder.glob("*/*.aedat")))
    10
    """
    if folder.exists():
        raise DataError(f"{folder} exists already: remove it, or choose another with --to")
    if not 1 <= count <= len(images):
        raise DataError(f"{name} has {len(images):,} images to simulate recordings from, asked for {count:,}")
    chosen = stratified(images, count, seed)
    part = folder.with_name(folder.name + ".part")
    labels = [re.sub(r"[^\w.-]+", "-", label, flags=re.ASCII).strip("-.") or "class" for label in images.classes]
    if len({label.lower() for label in labels}) < len(labels):
        raise DataError(f"two classes of {name} would have one folder: {', '.join(sorted(labels))}; rename one")
    called = {place: labels[int(images.labels[place])] for place in chosen.tolist()}
    paths = {place: part / label / f"{name}_{label}_{place:05}.aedat" for place, label in called.items()}
    if strange := set(part.rglob("*.aedat")) - set(paths.values()):
        raise DataError(f"{part} holds {min(strange).name}, which is none of these recordings: remove the folder")
    for done, (place, path) in enumerate(paths.items(), start=1):
        image = images.images[place]
        content = digest_of_bytes(image.contiguous().numpy().tobytes())
        notes = [SIMULATED, f"# Image {place} of {name}, SHA-256 {content}", f"# Seed {seed}, {camera}"]
        if not (path.is_file() and is_simulated(path, notes)):  # else this very recording exists
            events, threshold = simulate(image, seed=seed, index=place, camera=camera)
            path.parent.mkdir(parents=True, exist_ok=True)
            last = f"# Threshold {threshold:.6g}, {len(events)} events"
            write_whole(path, aedat2_bytes(events, [*notes, last]))
        progress(done, count)
    part.replace(folder)
