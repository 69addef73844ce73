"""The context of a call to a stage, the state that a network carries from one call to the next, and evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Integer
from torch import Tensor, nn

from bntt.engine.graph.recording import LayerMeasures
from bntt.engine.private import is_mapped, register_tree, tree_map
from bntt.engine.synapse import Prepared
from bntt.nn.tensor_checks import check_tensor
from bntt.ops.norm import Moments


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
        raise ValueError(f"index must name each of the {batch} samples, got {index.dtype} {list(index.shape)}")
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
            f"a part is called as part(x, Call(first=t), state), got {type(call).__name__} in place of the Call"
        )
    return call


Measured = dict[str, LayerMeasures]
"""Measurements by layer."""


@dataclass(frozen=True, eq=False)
class NetworkState:
    """State that a network carries from one step to the next; returned by :meth:`bntt.nn.SpikingNetwork.advance`.

    Gradients flow through it. For ``torch.export`` and ``torch.func`` it is a tree of tensors, valid only at its step.
    Import ``bntt.nn`` before ``torch.load`` or ``torch.export.load`` reads one.
    """

    steps: int
    """Number of steps taken."""
    batch: int
    """Number of samples it holds."""
    blocks: tuple[Any, ...]
    """Every block's own state, in order."""
    readout: Any
    """The readout's own state; for :class:`~bntt.nn.Readout` the accumulated voltage ``[B, K]``."""
    noise: Noise | None = None
    """Noise of the samples."""
    pooled: bool = False
    """True if it comes from a training pass with the batch's statistics: then rows depend on each other."""
    measured: Measured | None = None
    """Measurements requested from the call that made this state, of its own steps."""
    prepared: Prepared = field(default_factory=Prepared, repr=False, compare=False)
    """Weights in the kernels' layout, for the next steps without gradients."""

    def rows(self, keep: Tensor) -> NetworkState:
        """Return the state of some samples: ``keep`` is a mask ``[B]`` of bools, or indices ``[M]`` in int64.

        Raises:
            ValueError: after a training pass under batch statistics, in which samples depend on each other; or on a
                wrong ``keep``.
            TypeError: if the state of a custom part does not define how its rows are selected.
        """
        if self.pooled:
            raise ValueError(
                "samples cannot leave a batch in training, whose statistics were taken over all of them: begin with "
                "state=None in evaluation mode"
            )
        keep, mask = torch.as_tensor(keep), torch.as_tensor(keep).dtype == torch.bool
        if keep.ndim != 1 or (mask and len(keep) != self.batch) or (not mask and keep.dtype != torch.int64):
            raise ValueError(
                f"keep must be a mask of {self.batch} samples, or their indices in int64, got {keep.dtype} "
                f"{list(keep.shape)}"
            )
        return replace(
            self,
            batch=int(keep.sum()) if mask else len(keep),
            blocks=rows_of(self.blocks, keep),
            readout=rows_of(self.readout, keep),
            noise=None if self.noise is None else self.noise.rows(keep),
        )

    def detach(self) -> NetworkState:
        """Return the same numbers without gradients."""
        return replace(self, blocks=detached(self.blocks), readout=detached(self.readout))

    def tracked(self) -> NetworkState:
        """Return the same numbers for autograd: outside inference mode, tensors that were made in it are copied."""
        if torch.is_inference_mode_enabled() or not _has_inference((self.blocks, self.readout)):
            return self
        return replace(self, blocks=tree_map(_tracked, self.blocks), readout=tree_map(_tracked, self.readout))


def _made(
    blocks: tuple[Any, ...], readout: Any, noise: Any, measured: Any, steps: int, pooled: bool, batch: int
) -> NetworkState:
    """Make a state from its parts; an exported program knows the number of samples only by the shape of their index."""
    index = getattr(noise, "index", None)
    batch = index.shape[0] if isinstance(index, Tensor) else batch
    return NetworkState(steps, batch, blocks, readout, noise, pooled, measured)


register_tree(
    Noise, ("index",), lambda noise: (noise.seed, noise.draw), lambda index, seed, draw: Noise(seed, draw, index)
)
register_tree(
    Moments, ("mean", "var"), lambda moments: moments.count, lambda mean, var, *count: Moments(mean, var, count)
)
register_tree(
    NetworkState,
    ("blocks", "readout", "noise", "measured"),
    lambda state: (state.steps, state.pooled, state.batch if state.noise is None else 0),
    _made,
)


def _own(state: Any, method: str, *arguments: Any) -> Any:
    """Call a custom state's own method."""
    if not callable(own := getattr(state, method, None)):
        raise TypeError(
            f"a block's state of type {type(state).__name__} has no {method}(): make it a tensor [B, ...], a tuple or "
            f"a dict of such, or give it that method"
        )
    return own(*arguments)


def rows_of(state: Any, keep: Tensor) -> Any:
    """Select samples in a block's state; moments belong to no sample and stay."""

    def each(part: Any) -> Any:
        if not isinstance(part, Tensor):
            return part if part is None or isinstance(part, Moments) else _own(part, "rows", keep)
        if part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last):
            return part.movedim(1, -1)[keep].movedim(-1, 1)  # in the order of memory: twice as fast
        return part[keep]

    return tree_map(each, state, is_leaf=lambda part: isinstance(part, Moments | list))


def detached(state: Any) -> Any:
    """Return a block's state without gradients."""
    return tree_map(lambda part: None if part is None else _own(part, "detach"), state)


def _has_inference(state: Any) -> bool:
    """Return True if a tensor of a block's state was made in inference mode."""
    if isinstance(state, Tensor):
        return state.is_inference()
    if isinstance(state, Moments):
        return _has_inference((state.mean, state.var))
    return isinstance(state, dict | tuple) and any(
        map(_has_inference, state.values() if isinstance(state, dict) else state)
    )


def _tracked(part: Any) -> Any:
    return part.clone() if isinstance(part, Tensor) and part.is_inference() else part


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside the block; afterwards restore the mode of every submodule.

    Args:
        module: any module.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training
