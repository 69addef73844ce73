"""What a runtime carries from one step to the next; it belongs to the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array
from bntt.deploy.runtime.random import SPIKES, sample_keys


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
    """Return the noise of a batch: a state's, or the given one, by default seed 0, draw 0 and samples 0 to B-1.

    >>> noise_of(0, 0, None, 2).index
    array([0, 1])
    """
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


@dataclass(frozen=True, eq=False)
class State:
    """A batch after some steps; a runtime never modifies it.

    >>> state = State(1, (np.zeros((3, 1, 1, 2)), None), np.arange(3)[:, None], noise_of(0, 0, None, 3))
    >>> state.rows(np.array([True, False, True])).total.ravel(), state.rows([2]).noise.index
    (array([0, 2]), array([2]))
    """

    steps: int
    """Number of steps taken."""
    membranes: tuple[Array | None, ...]
    """Each node's membranes after the reset, ``[B, H, W, C]``; None for a node without neurons."""
    total: Array
    """Sum of the readout's values so far, ``[B, K]``."""
    noise: Noise
    """Keys of the samples' random numbers."""

    @property
    def batch(self) -> int:
        """Number of samples."""
        return len(self.total)

    @property
    def shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        """Shape of every node's membranes for one sample."""
        return tuple(None if one is None else one.shape[1:] for one in self.membranes)

    def rows(self, keep: Any) -> State:
        """Return the state of some samples, for example of the unfinished ones.

        Args:
            keep: a mask ``[B]`` or indices.

        Raises:
            DeployError: if it is neither, or names a sample that is not in the state.
        """
        chosen = np.asarray(keep)
        if chosen.ndim != 1 or (chosen.dtype == bool and len(chosen) != self.batch) or chosen.dtype.kind not in "biu":
            came = f"{chosen.dtype} {list(chosen.shape)}"
            raise DeployError(f"keep must be a mask of {self.batch} samples, or their indices, got {came}")
        if chosen.dtype != bool and chosen.size and not 0 <= chosen.min() <= chosen.max() < self.batch:
            raise DeployError(f"keep has {chosen.min()} to {chosen.max()}, of samples 0 to {self.batch - 1}")
        membranes = tuple(None if one is None else one[chosen] for one in self.membranes)
        return replace(self, membranes=membranes, total=self.total[chosen], noise=self.noise.rows(chosen))
