"""The counter-based random numbers of :mod:`bntt.ops.random` in NumPy, the same to the bit."""

from __future__ import annotations

import numpy as np

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
    """Return a 64-bit key for each sample.

    >>> sample_keys(0, SPIKES, 0, np.arange(2)).dtype
    dtype('uint64')
    """
    key = np.array([seed], np.uint64)
    for counter in (purpose, draw):
        key = _child(key, np.array([counter]))
    return _child(key, index)


def step_keys(keys: Array, steps: range) -> Array:
    """Return one key for each time step and sample, ``[S, B]``."""
    return _child(keys, np.array(steps)[:, None])


def uniform(keys: Array, size: int) -> Array:
    """Draw ``size`` float32 numbers in [0, 1), multiples of 2⁻²⁴, for every key.

    >>> uniform(sample_keys(0, SPIKES, 0, np.arange(2)), 3).shape
    (2, 3)
    """
    bits = _child(keys[..., None], np.arange(size)) >> np.uint64(40)
    drawn: Array = bits.astype(np.float32) * np.float32(2.0**-24)
    return drawn


def places(pixels: int) -> Array:
    """Return the fixed order of the pixels of permuted sequences, see :func:`bntt.data.sequences.places`.

    >>> places(784)[:5].tolist()
    [151, 429, 572, 305, 740]
    """
    keys = sample_keys(0, PIXELS, 0, np.arange(pixels)).astype(np.int64)
    order: Array = np.argsort(keys, kind="stable")
    return order
