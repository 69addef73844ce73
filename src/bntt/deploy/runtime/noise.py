"""The counter-based random numbers of :mod:`bntt.ops.random` in NumPy, the same to the bit, and keys of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array

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
    """Return the fixed order of the pixels of permuted sequences, see :func:`bntt.data.sequences.places`."""
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
        if seed not in (None, known.seed) or draw not in (None, known.draw) or not same:
            raise DeployError(
                f"the state has the noise of seed {known.seed}, draw {known.draw} and its own index: "
                f"leave out seed, draw and index, or begin with state=None"
            )
        return known
    seed, draw = 0 if seed is None else seed, 0 if draw is None else draw
    for name, value in (("seed", seed), ("draw", draw)):
        if not isinstance(value, int | np.integer) or not 0 <= value < 1 << 63:
            raise DeployError(f"{name} must be an integer from 0 to 2**63 - 1, got {value}")
    places = np.arange(batch) if index is None else np.asarray(index)
    if places.shape != (batch,) or places.dtype.kind not in "iu":
        came = f"{places.dtype} {list(places.shape)}"
        raise DeployError(f"index must name each of the {batch} samples by an integer, got {came}")
    places = places.astype(np.int64)
    return Noise(seed, draw, places, sample_keys(seed, SPIKES, draw, places))
