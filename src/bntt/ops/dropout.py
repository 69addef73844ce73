"""Dropout with one mask for all time steps (Lee et al. 2020; Rathi et al. 2020): ``o'_t = m o_t / (1 - p)``.

A mask drawn again at every step would be averaged away over time. This one is a pure function of seed, draw, layer,
sample and unit, so it is the same however a sequence is cut, whatever the batch and the device.
"""

from __future__ import annotations

from jaxtyping import Bool, Integer
from torch import Tensor

from bntt.ops.random import Purpose, child_keys, sample_keys, uniform


def dropout_mask(
    p: float, shape: tuple[int, ...], layer: int, *, seed: int, draw: int, index: Integer[Tensor, " B"]
) -> Bool[Tensor, "B *shape"]:
    """Return the mask of kept units, ``[B, *shape]``: True with probability ``1 - p``, the same at every step.

    Args:
        p: probability of dropping a unit, in [0, 1).
        shape: of one sample, channels first: units count in C, H, W order.
        layer: number of the dropout in the network.
        seed, draw, index: as :func:`~bntt.ops.random.sample_keys`'s.

    >>> import torch
    >>> one = dropout_mask(0.5, (4,), 0, seed=0, draw=3, index=torch.tensor([5, 7]))
    >>> bool((one[1:] == dropout_mask(0.5, (4,), 0, seed=0, draw=3, index=torch.tensor([7]))).all())
    True
    """
    keys = child_keys(sample_keys(seed, Purpose.DROPOUT, draw, index), layer)
    return uniform(keys, *shape) >= p
