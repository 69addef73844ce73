"""The context of a call to a stage: the steps of the network's time that it takes, and the samples' noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Integer
from torch import Tensor

from bntt.engine.private import is_mapped
from bntt.nn.tensor_checks import check_tensor


@dataclass(frozen=True, eq=False)
class Noise:
    """Keys of the samples' random numbers, which depend only on these and on the step, see :mod:`bntt.ops.random`.

    >>> Noise(seed=0, draw=7, index=torch.arange(3)).draw
    7
    """

    seed: int
    """Seed of the run."""
    draw: int
    """Number of the draw: the epoch or update in training, the repetition in evaluation."""
    index: Integer[Tensor, " B"]
    """Each sample's index in its dataset."""

    def rows(self, keep: Tensor) -> Noise:
        """Return the noise of some samples: a mask ``[B]`` or indices."""
        return replace(self, index=self.index[keep.to(self.index.device)])


def index_of(index: Tensor | None, batch: int, device: torch.device | None = None) -> Integer[Tensor, " B"]:
    """Return each sample's index in its dataset, int64 on a device: 0..B-1 if none is given."""
    if index is None:
        return torch.arange(batch, device=device or "cpu")
    check_tensor(index, "the network", "index")
    if index.shape != (batch,) or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(
            f"index must name each of the {batch} samples by an integer, got {index.dtype} {list(index.shape)}"
        )
    return index.to(device, torch.int64)


def noise_of(state: Any, batch: int, seed: int | None, draw: int | None, index: Tensor | None) -> Noise:
    """Return the noise of a call: the state's, or the given one; by default seed 0, draw 0 and samples 0 to B-1."""
    if state is not None and state.batch != batch:
        raise ValueError(f"the state is of {state.batch} samples, the input of {batch}: select the same rows of both")
    known: Noise | None = None if state is None else state.noise
    if known is None:
        return Noise(seed or 0, draw or 0, index_of(index, batch))
    same = True
    if index is not None:
        index = index_of(index, batch, known.index.device)
        same = is_mapped(index) or is_mapped(known.index) or bool((index == known.index).all())  # vmap hides values
    if seed not in (None, known.seed) or draw not in (None, known.draw) or not same:
        raise ValueError(
            f"the state has the noise of seed {known.seed}, draw {known.draw} and its own index: "
            f"leave out seed, draw and index, or begin with state=None"
        )
    return known


@dataclass(frozen=True)
class Call:
    """The context of a call to a stage; by default it takes all steps, from rest.

    Raises:
        ValueError: if ``first`` is negative.

    >>> Call(first=3).steps(torch.zeros(2, 1, 4))
    slice(3, 5, None)
    """

    first: int = 0
    """The first step of the input, 0-based."""
    whole: bool | None = None
    """True if the input has all steps, from the first on, and none follow; by default, True if ``first`` is 0."""
    noise: Noise | None = None
    """Noise of the samples; a network always sets it."""
    reduce: Callable[[Tensor], Tensor] | None = None
    """Function that sums a float64 tensor over the processes that share a batch; None: a single process."""

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError(f"steps begin with 0, got first={self.first}")
        if self.whole is None:
            object.__setattr__(self, "whole", self.first == 0)

    def steps(self, x: Tensor) -> slice:
        """Return the steps that an input ``[S, ...]`` covers."""
        return slice(self.first, self.first + len(x))


ALL_STEPS = Call()
"""Default context of a part that is called without one; a norm then checks that these are all its steps."""


def check_call(call: Call) -> Call:
    """Refuse a state in the place of the call."""
    if not isinstance(call, Call):
        raise TypeError(
            f"the second argument says which steps a part is called for, a Call, got {type(call).__name__}: the state "
            f"is the third, part(x, Call(first=t), state)"
        )
    return call
