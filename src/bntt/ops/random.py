"""Randomness as a pure function of (seed, purpose, draw, index, t, position): SplitMix64 over a counter.

A sample gets the same spikes, crop and flip whatever the batch, the order, the number of threads or the device, and
resuming a run needs only two integers. The global generators are never touched. Positions count in C, H, W order.
"""

from __future__ import annotations

import operator
from enum import IntEnum

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, SplitMix64's increment, as a signed 64-bit integer
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB
_MASK64 = (1 << 64) - 1


class Purpose(IntEnum):
    """Name what a random number is for: two purposes never share a number, so crops and spikes are independent.

    >>> int(Purpose.SPIKES)
    1
    """

    SPIKES = 1
    ORDER = 2
    CROP = 3
    FLIP = 4
    SPLIT = 5
    SYNTHETIC = 6
    DROPOUT = 7
    CUTOUT = 8
    ERASE = 9
    MIX = 10
    NOISE = 11
    START = 12
    SEARCH = 13
    SIMULATE = 14
    PIXELS = 15


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """Shift logically: int64 shifts are arithmetic, so the copied sign bits are masked away."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    """Apply SplitMix64's finaliser on int64, whose products wrap as unsigned ones do. Overwrites ``z``."""
    z = z.bitwise_xor_(_shift_right(z, 30)).mul_(_MIX1)
    z = z.bitwise_xor_(_shift_right(z, 27)).mul_(_MIX2)
    return z.bitwise_xor_(_shift_right(z, 31))


def _child(key: Tensor, counter: Tensor) -> Tensor:
    """Return child number ``counter`` of ``key``: output ``counter + 1`` of SplitMix64 seeded with the key."""
    return _mix(key + (counter.to(torch.int64) + 1) * _GOLDEN)


def _checked(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{name} must be an integer from 0 to 2**63 - 1, got {value}")
    return number


def sample_keys(seed: int, purpose: Purpose, draw: int, index: Integer[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Return a 64-bit key for each sample: the seed, with purpose, draw and the sample's index mixed in, in turn.

    Args:
        seed: the run's seed, 0 to 2**63 - 1.
        purpose: the use of the numbers.
        draw: number of the repetition: the epoch in training, the draw in evaluation; 0 or more.
        index: the sample's place in its dataset, of any integer type.

    Raises:
        ValueError: if seed or draw is no integer or out of range, or the index is of no integer type.

    >>> keys = sample_keys(0, Purpose.SPIKES, 0, torch.arange(3))
    >>> bool((keys[2:] == sample_keys(0, Purpose.SPIKES, 0, torch.tensor([2]))).all())
    True
    """
    counters = _checked("seed", seed), int(purpose), _checked("draw", draw)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"index must name samples by integers, got {index.dtype}")
    key = torch.tensor(counters[:1], device=index.device)
    for counter in counters[1:]:
        key = _child(key, torch.tensor([counter], device=index.device))
    return _child(key, index)


def uniform(keys: Int[Tensor, "*keys"], *shape: int) -> Float[Tensor, "*keys_and_shape"]:
    """Return float32 numbers in [0, 1), multiples of 2⁻²⁴, for every key: ``[*keys, *shape]``.

    Args:
        keys: int64, any shape.
        *shape: of the numbers for each key.

    >>> uniform(sample_keys(0, Purpose.SPIKES, 0, torch.arange(2)), 3).shape
    torch.Size([2, 3])
    """
    count = int(torch.Size(shape).numel())
    position = torch.arange(count, device=keys.device)
    bits = _shift_right(_child(keys.unsqueeze(-1), position), 40)
    return bits.to(torch.float32).mul_(2.0**-24).reshape(*keys.shape, *shape)


def normal(keys: Int[Tensor, "*keys"], *shape: int) -> Float[Tensor, "*keys_and_shape"]:
    """Return standard normal float32 numbers per key, ``[*keys, *shape]``: ``Φ⁻¹(u + 2⁻²⁵)`` of :func:`uniform`'s u.

    Φ⁻¹ is the inverse normal distribution function, in float64. There are 2²⁴ numbers, all equally likely and half of
    them the negative of the other half, up to ±5.42; a true normal number lies beyond once in 17 million. Over all of
    them the mean is 0, the variance 1 - 8·10⁻⁸ and the fourth moment 3 - 5·10⁻⁶.

    Args:
        keys: int64, any shape.
        *shape: of the numbers for each key.

    >>> normal(sample_keys(0, Purpose.NOISE, 0, torch.arange(2)), 3).shape
    torch.Size([2, 3])
    """
    middles = uniform(keys, *shape).double().add_(2.0**-25)  # never 0 or 1
    numbers: Tensor = torch.special.ndtri(middles)
    return numbers.float()


def child_keys(keys: Int[Tensor, " B"], number: int) -> Int[Tensor, " B"]:
    """Return a key derived from each key, for a number such as a layer's.

    Args:
        keys: ``[B]``, as :func:`sample_keys` returns them.
        number: 0 or more; other numbers give independent keys.

    >>> child_keys(torch.tensor([7, 8]), 0).shape
    torch.Size([2])
    """
    return _child(keys, torch.tensor(number, device=keys.device))


def step_keys(keys: Int[Tensor, " B"], steps: Int[Tensor, " T"]) -> Int[Tensor, "T B"]:
    """Return one key for each time step and sample, derived from the sample's key: ``[T, B]``.

    Args:
        keys, steps: ``[B]``, and 0-based numbers of the steps, ``[T]``.

    >>> step_keys(torch.tensor([7, 8]), torch.arange(3)).shape
    torch.Size([3, 2])
    """
    return _child(keys.unsqueeze(0), steps.unsqueeze(1))


def permutation(seed: int, purpose: Purpose, draw: int, count: int) -> Int[Tensor, " N"]:
    """Return a random order of ``count`` samples: indices sorted by their keys, ``[count]``.

    Args:
        seed, purpose, draw: as :func:`sample_keys`'s.
        count: number of samples.

    >>> permutation(0, Purpose.ORDER, 0, 5).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    return torch.argsort(sample_keys(seed, purpose, draw, torch.arange(count, device="cpu")), stable=True)
