"""From pictures to samples, and from samples to the network's input in NumPy, bit-identical to the library's.

Random numbers are counter-based, those of :mod:`bntt.ops.random`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bntt.deploy.description import Array, DeployError, Description, Pictures, require

IN_TIME = ("frames", "sequence")
"""Encoders whose samples have an input for each step."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SPIKES, PIXELS = 1, 15
"""Numbers of ``bntt.ops.random.Purpose``."""


def _child(key: Array, counter: Array) -> Array:
    """Return key number ``counter`` below ``key``: output ``counter + 1`` of SplitMix64 seeded with the key."""
    z = key + (counter.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def sample_keys(seed: int, purpose: int, draw: int, index: Array) -> Array:
    """Return a 64-bit key for each sample."""
    key = np.array([seed], np.uint64)
    for counter in (purpose, draw):
        key = _child(key, np.array([counter]))
    return _child(key, index)


def step_keys(keys: Array, steps: range) -> Array:
    """Return one key for each time step and sample, ``[S, B]``."""
    return _child(keys, np.array(steps)[:, None])


def uniform(keys: Array, size: int) -> Array:
    """Draw ``size`` float32 numbers in [0, 1), multiples of 2⁻²⁴, for every key."""
    bits = _child(keys[..., None], np.arange(size)) >> np.uint64(40)
    drawn: Array = bits.astype(np.float32) * np.float32(2.0**-24)
    return drawn


def places(pixels: int) -> Array:
    """Return the fixed order of the pixels of permuted sequences, see :func:`bntt.data.samples.places`."""
    keys = sample_keys(0, PIXELS, 0, np.arange(pixels)).astype(np.int64)
    order: Array = np.argsort(keys, kind="stable")
    return order


@dataclass(frozen=True, eq=False)
class Noise:
    """Keys of the samples' random numbers, as :class:`bntt.nn.Noise`."""

    seed: int
    draw: int
    index: Array
    """Each sample's place in its dataset, ``[B]``."""
    keys: Array
    """Each sample's key, ``[B]``, a function of seed, draw and index."""

    def rows(self, chosen: Any) -> Noise:
        """Return the noise of some samples."""
        return replace(self, index=self.index[chosen], keys=self.keys[chosen])


def noise_of(seed: int | None, draw: int | None, index: Any, batch: int, known: Noise | None = None) -> Noise:
    """Return the noise of a batch: a state's, or the given one, by default seed 0, draw 0 and samples 0 to B-1."""
    if known is not None:
        same = index is None or np.array_equal(index, known.index)
        require(
            seed in (None, known.seed) and draw in (None, known.draw) and same,
            f"the state has the noise of seed {known.seed}, draw {known.draw} and its own index: "
            f"leave out seed, draw and index, or begin with state=None",
        )
        return known
    seed, draw = 0 if seed is None else seed, 0 if draw is None else draw
    for name, value in (("seed", seed), ("draw", draw)):
        fits = isinstance(value, int | np.integer) and 0 <= value < 1 << 63
        require(fits, f"{name} must be an integer from 0 to 2**63 - 1, got {value}")
    places = np.arange(batch) if index is None else np.asarray(index)
    require(
        places.shape == (batch,) and places.dtype.kind in "iu",
        f"index must name each of the {batch} samples by an integer, got {places.dtype} {list(places.shape)}",
    )
    places = places.astype(np.int64)
    return Noise(seed, draw, places, sample_keys(seed, SPIKES, draw, places))


def samples_of(made: Description, x: Any, dtype: Any, *, whole: bool) -> Array:
    """Return a batch of samples in the runtime's type, checked and normalised; ``whole``: all steps of frames."""
    encoder, samples = made.encoder, np.asarray(x)
    timed, wanted = encoder.kind in IN_TIME, made.input_shape
    if timed and whole:
        wanted = (encoder.num_steps, *wanted)
    if samples.dtype.kind != "f" and not (encoder.kind == "frames" and samples.dtype.kind in "iub"):
        raise TypeError(f"samples must be floating point, got {samples.dtype}: divide pixels by 255")
    fits = samples.shape[1:] == wanted and samples.ndim == len(wanted) + 1 and len(samples)
    require(fits, f"samples must be [B, {', '.join(map(str, wanted))}] with B >= 1, got {list(samples.shape)}")
    least, most = (-np.finfo(dtype).max, np.finfo(dtype).max) if timed else (0, 1)
    low, high = samples.min(), samples.max()
    limits = f"finite in {np.dtype(dtype)}" if timed else "finite and from 0 to 1"
    require(least <= low and high <= most, f"samples must be {limits}, got {low:.4g} to {high:.4g}")
    values = samples.astype(dtype)
    if encoder.mean:
        images = len(made.input_shape) == 3
        mean, std = (np.array(one, dtype).reshape(-1, *[1] * (2 * images)) for one in (encoder.mean, encoder.std))
        values = (values - mean) / std
    fits = not encoder.kind.endswith("unsigned") or (values.min() >= 0 and values.max() <= 1)
    require(fits, f"unsigned coding takes values from 0 to 1, got {values.min():.4g} to {values.max():.4g}")
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
    """Return images ``[N, C, H, W]`` in the order of :func:`bntt.data.samples.arrange`; "": as they are."""
    if not order:
        return images
    count, channels, height, width = images.shape
    if order == "rows":
        return images.swapaxes(1, 2).reshape(count, height, channels * width)
    pixels = images.reshape(count, channels, height * width).swapaxes(1, 2)
    return pixels if order == "pixels" else pixels[:, places(height * width)]
