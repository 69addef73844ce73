"""An event camera in front of a picture that moves: what a pixel would say of the brightness it sees.

In the line of CIFAR10-DVS (Li et al. 2017), where a camera saw pictures move round a closed loop on a screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from bntt.data.events.recording import Events
from bntt.ops.random import Purpose, child_keys, normal, sample_keys, uniform

LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue."""


@dataclass(frozen=True)
class Camera:
    """The camera, and how the picture moves before it; all numbers are our choice."""

    size: int = 128
    """Rows and columns of the sensor, a DVS128's."""
    radius: float = 2.5
    """Of the circle on which the picture moves, in pixels of the sensor."""
    loops: int = 2
    loop_us: int = 300_000
    """Microseconds of one loop."""
    pictures: int = 24
    """A loop is cut into so many; between two of them a pixel's log intensity changes evenly."""
    dark: float = 0.1
    """What is added to intensities in [0, 1] before the logarithm: a screen's black is not without light."""
    threshold: float = 0.2
    """The change of log intensity that is an event."""
    mismatch: float = 0.03
    """The standard deviation of the pixels' own thresholds, as a share of the threshold."""
    noise: float = 0.02
    """Share of the pixels that fire once without any change."""
    most: int = 20_000
    """Events of a recording: a picture that would give more is seen with a higher threshold."""


CAMERA = Camera()


def simulate(
    image: UInt8[Tensor, "C H W"], *, seed: int = 0, index: int = 0, camera: Camera = CAMERA
) -> tuple[Events, float]:
    """The recording of one picture, and the threshold that it was seen with.

    The picture fills the sensor and the circle around it, so that no edge of it is ever seen: of its longer side the
    middle is taken. A pixel of intensity I keeps the log intensity ``L = log(dark + I)`` of its last event, and fires
    whenever L has risen (polarity 1) or fallen (0) by its threshold since. Every picture begins at an angle of its own,
    so that a time step says nothing about the direction of the movement. All that is random depends on seed and index
    alone.

    Args:
        image: gray or RGB.
        seed: of angle, noise and the pixels' thresholds, which are the camera's, the same for every picture.
        index: the picture's place in its set.

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
    """Each pixel's own, as a share of the threshold; none is below a half."""
    keys = sample_keys(seed, Purpose.SIMULATE, 1, torch.tensor([0]))
    own: np.ndarray = normal(keys, camera.size**2)[0].numpy()
    return np.maximum(1 + np.float32(camera.mismatch) * own, np.float32(0.5))


def _loop(image: Tensor, angle: float, camera: Camera) -> Iterator[Float32[np.ndarray, "S S"]]:
    """The intensities that the sensor sees, one after the other round the circle, from this angle."""
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
    """Luminance in [0, 1] of the square in the picture's middle, that large."""
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
    """The events of every passage from a picture to the next, through all loops."""
    kept, tick = logs[0].copy(), camera.loop_us / camera.pictures
    for number in range(camera.loops * camera.pictures):
        before, after = logs[number % camera.pictures], logs[(number + 1) % camera.pictures]
        count = np.trunc((after - kept) / thresholds) * (after != before)  # a rest of rounding is no change
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
    """A share of the pixels, each once, at any time and of any polarity."""
    chance, when, which = (uniform(child_keys(keys, number), camera.size**2)[0].numpy() for number in (1, 2, 3))
    places = (chance < camera.noise).nonzero()[0]
    t = (when[places].astype(np.float64) * camera.loops * camera.loop_us).astype(np.int64)
    return t, places, (which[places] < 0.5).astype(np.uint8)
