"""State that a network carries from one step to the next; it belongs to the caller."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from bntt.engine.packed_weights import Prepared
from bntt.engine.private import register_tree
from bntt.nn.network.call import Noise
from bntt.nn.network.measured import Measured
from bntt.ops.norm import Moments


@dataclass(frozen=True, eq=False)
class NetworkState:
    """State that a network carries from one step to the next.

    Gradients flow through it; :meth:`detach` cuts them. :meth:`rows` selects samples. For ``torch.export`` and
    ``torch.func`` it is a tree of tensors; a program exported with a state is valid only at that state's step. Import
    ``bntt.nn`` before reading a state with ``torch.export.load`` or ``torch.load``.

    >>> NetworkState(1, 3, (torch.zeros(3, 2),), torch.zeros(3, 10)).steps
    1
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
        """Return the state of some samples, for example of the unfinished ones.

        Args:
            keep: a mask ``[B]`` of bools, or indices ``[M]`` in int64.

        Raises:
            ValueError: after a training pass under batch statistics, in which every sample depends on all others; or
                if ``keep`` is neither a mask of the batch's length nor indices in int64.
            TypeError: if the state of a custom part does not define how its rows are selected.

        >>> state = NetworkState(1, 3, (torch.zeros(3, 2),), torch.arange(3.0)[:, None])
        >>> state.rows(torch.tensor([True, False, True])).readout.flatten()
        tensor([0., 2.])
        """
        if self.pooled:
            raise ValueError(
                "samples cannot leave a batch in training: its statistics were taken over all of them; keep the whole "
                "batch, or begin with state=None in evaluation mode"
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
            blocks=tuple(rows_of(block, keep) for block in self.blocks),
            readout=rows_of(self.readout, keep),
            noise=None if self.noise is None else self.noise.rows(keep),
        )

    def join(self, *others: NetworkState) -> NetworkState:
        """Return the state of these samples, followed by others that have taken the same number of steps.

        Raises:
            ValueError: if the others took more or fewer steps or have another seed or draw, or after a training pass
                under batch statistics.
            TypeError: if blocks' states differ in form, or one does not define how it is joined.

        >>> one, two = (NetworkState(1, n, (torch.zeros(n, 2),), torch.zeros(n, 1)) for n in (1, 2))
        >>> one.join(two).blocks[0].shape
        torch.Size([3, 2])
        """
        for other in others:
            mine, theirs = ((one.steps, one.noise and (one.noise.seed, one.noise.draw)) for one in (self, other))
            if mine != theirs or self.pooled or other.pooled:
                raise ValueError(
                    f"only states with the same steps, seed and draw can be joined, and not in training: got (steps, "
                    f"(seed, draw)) {mine} and {theirs}, in training {self.pooled} and {other.pooled}"
                )
            if not can_join((self.blocks, self.readout), (other.blocks, other.readout)):
                raise TypeError(
                    "only blocks' states of the same form can be joined: tensors [B, ...] that differ only in B, "
                    "tuples or dicts of these, or objects with a method join(other)"
                )
        every = (self, *others)
        return replace(
            self,
            batch=sum(one.batch for one in every),
            blocks=joined_rows(*(one.blocks for one in every)),
            readout=joined_rows(*(one.readout for one in every)),
            noise=self.noise and self.noise.join(*(one.noise for one in others if one.noise)),
            measured=None,
        )

    def detach(self) -> NetworkState:
        """Return the same numbers without gradients.

        >>> NetworkState(1, 1, (), torch.ones(1, 1, requires_grad=True)).detach().readout.requires_grad
        False
        """
        return replace(self, blocks=tuple(map(detached, self.blocks)), readout=detached(self.readout))

    def tracked(self) -> NetworkState:
        """Return the same numbers as ordinary tensors, which autograd can save.

        Outside ``torch.inference_mode()``, tensors made inside it are copied: autograd cannot save them and forbids
        in-place writes.

        >>> with torch.inference_mode():
        ...     state = NetworkState(1, 1, (), torch.ones(1, 1))
        >>> state.tracked().readout.is_inference()
        False
        """
        if torch.is_inference_mode_enabled() or not _has_inference((self.blocks, self.readout)):
            return self
        return replace(self, blocks=tuple(map(_tracked, self.blocks)), readout=_tracked(self.readout))


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


def rows_of(state: Any, keep: Tensor) -> Any:
    """Select samples in a block's state; moments belong to no sample and stay."""
    if not isinstance(state, Tensor):
        return _through(state, "rows", lambda part: rows_of(part, keep), keep)
    if state.ndim == 4 and state.is_contiguous(memory_format=torch.channels_last):
        return state.movedim(1, -1)[keep].movedim(-1, 1)  # in the order of memory: twice as fast
    return state[keep]


def joined_rows(state: Any, *others: Any) -> Any:
    """Append the samples of a block's other states to those of the first; the states are as in :func:`rows_of`."""
    if isinstance(state, Tensor):
        return torch.cat([state, *others])
    if isinstance(state, dict):
        return {name: joined_rows(part, *(other[name] for other in others)) for name, part in state.items()}
    if isinstance(state, tuple):
        parts = (joined_rows(*each) for each in zip(state, *others, strict=True))
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return reduce(lambda one, other: _through(one, "join", joined_rows, other), others, state)


def can_join(state: Any, other: Any) -> bool:
    """Return True if two states of a block can be joined: both have the same form, and it defines how."""
    if type(state) is not type(other):
        return False
    if isinstance(state, Moments):  # they belong to no sample
        return True
    if isinstance(state, Tensor):
        return bool(state.shape[1:] == other.shape[1:] and state.dtype == other.dtype and state.device == other.device)
    if isinstance(state, dict):
        return state.keys() == other.keys() and all(can_join(part, other[name]) for name, part in state.items())
    if isinstance(state, tuple):
        return len(state) == len(other) and all(map(can_join, state, other))
    return state is None or callable(getattr(state, "join", None))


def detached(state: Any) -> Any:
    """Return a block's state without gradients, of the same kinds as :func:`rows_of`."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, Moments):
        return Moments(state.mean.detach(), state.var.detach(), state.count)
    return _through(state, "detach", detached)


def _has_inference(state: Any) -> bool:
    """Return True if a tensor of a block's state was made in inference mode."""
    if isinstance(state, Tensor):
        return state.is_inference()
    if isinstance(state, Moments):
        return _has_inference((state.mean, state.var))
    return isinstance(state, dict | tuple) and any(
        map(_has_inference, state.values() if isinstance(state, dict) else state)
    )


def _tracked(state: Any) -> Any:
    """Return a block's state as in :meth:`NetworkState.tracked`; custom objects are left unchanged."""
    if isinstance(state, Tensor):
        return state.clone() if state.is_inference() else state
    if isinstance(state, Moments):
        return Moments(_tracked(state.mean), _tracked(state.var), state.count)
    return _through(state, "", _tracked) if isinstance(state, dict | tuple) else state


def _through(state: Any, method: str, each: Any, *arguments: Any) -> Any:
    if state is None or isinstance(state, Moments):
        return state
    if isinstance(state, dict):
        return {name: each(part) for name, part in state.items()}
    if isinstance(state, tuple):
        parts = (each(part) for part in state)
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if callable(own := getattr(state, method, None)):
        return own(*arguments)
    raise TypeError(
        f"a block's state of type {type(state).__name__} does not say how to do {method}(): give it that method, or "
        f"make it a tensor [B, ...], a tuple or a dict of such"
    )
