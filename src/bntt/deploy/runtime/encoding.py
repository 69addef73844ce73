"""From pictures to samples, and from samples to the network's input in NumPy, bit-identical to the library's."""

from __future__ import annotations

from typing import Any

import numpy as np

from bntt.deploy.description import Description, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array
from bntt.deploy.runtime.noise import Noise, places, step_keys, uniform

IN_TIME = ("frames", "sequence")
"""Encoders whose samples have an input for each step."""


def samples_of(made: Description, x: Any, dtype: Any, *, whole: bool) -> Array:
    """Return a batch of samples in the runtime's type, checked and normalised; ``whole``: all steps of frames."""
    encoder, samples = made.encoder, np.asarray(x)
    timed, wanted = encoder.kind in IN_TIME, made.input_shape
    if timed and whole:
        wanted = (encoder.num_steps, *wanted)
    if samples.dtype.kind != "f" and not (encoder.kind == "frames" and samples.dtype.kind in "iub"):
        raise TypeError(f"samples must be floating point, got {samples.dtype}: divide pixels by 255")
    if samples.ndim != len(wanted) + 1 or samples.shape[1:] != wanted or not len(samples):
        listed = ", ".join(map(str, wanted))
        raise DeployError(f"samples must be [B, {listed}] with B >= 1, got {list(samples.shape)}")
    low, high = samples.min(), samples.max()
    if not (np.isfinite(low) and np.isfinite(high)) or not (timed or (low >= 0 and high <= 1)):
        wrong = "finite" if timed else "finite and from 0 to 1"
        raise DeployError(f"samples must be {wrong}, got {low:.4g} to {high:.4g}")
    if max(-low, high) > np.finfo(dtype).max:
        raise DeployError(f"samples must be finite in {np.dtype(dtype)}, got {low:.4g} to {high:.4g}")
    values = samples.astype(dtype)
    if encoder.mean:
        images = len(made.input_shape) == 3
        mean, std = (np.array(one, dtype).reshape(-1, *[1] * (2 * images)) for one in (encoder.mean, encoder.std))
        values = (values - mean) / std
    if encoder.kind.endswith("unsigned") and (values.min() < 0 or values.max() > 1):
        raise DeployError(f"unsigned coding takes values from 0 to 1, got {values.min():.4g} to {values.max():.4g}")
    return values


def encode(made: Description, values: Array, noise: Noise, steps: range) -> Array:
    """Return the input of some steps, ``[S, B, H, W, C]``; ``[1, B, H, W, C]`` if it is the same in every one."""
    kind = made.encoder.kind
    if kind in IN_TIME:
        drawn = np.moveaxis(values, 1, 0)
    elif kind.startswith("poisson"):
        r = uniform(step_keys(noise.keys, steps), values[0].size).reshape(len(steps), *values.shape)
        drawn = r < values if kind == "poisson-unsigned" else (2 * r <= np.abs(values)) * np.sign(values)
    else:
        drawn = (np.clip(values / 2, -1, 1) if kind == "expected" else values)[None]
    return np.moveaxis(drawn.reshape(*drawn.shape[:2], *made.image), 2, -1)


def pictures_of(made: Description) -> Pictures:
    """Return how a picture becomes a network's sample."""
    if made.encoder.kind == "frames":
        raise DeployError(
            f"the network takes frames {list(made.input_shape)}, one in each step, and no pictures: in Python, give "
            f"them to Runtime.run, or one at a time to Runtime.step"
        )
    if made.pictures is None:
        raise DeployError(
            f"the bundle does not say how a picture becomes a sample ({made.encoder.kind} coding): write it with "
            f"bntt export, or with pictures= in bntt.deploy.export"
        )
    return made.pictures


def arranged(images: Array, order: str) -> Array:
    """Return images ``[N, C, H, W]`` in the order of :func:`bntt.data.sequences.arrange`; "": as they are.

    >>> image = np.arange(6).reshape(1, 1, 2, 3)
    >>> arranged(image, "pixels").shape, arranged(image, "rows")[0, 1].tolist()
    ((1, 6, 1), [3, 4, 5])
    """
    if not order:
        return images
    count, channels, height, width = images.shape
    if order == "rows":
        return images.swapaxes(1, 2).reshape(count, height, channels * width)
    pixels = images.reshape(count, channels, height * width).swapaxes(1, 2)
    return pixels if order == "pixels" else pixels[:, places(height * width)]
