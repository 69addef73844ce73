"""What a run is made of: nodes. Each reads values that nodes before it give, and gives one; together they are a graph.

A node is a description without memory; a pass is one node while some time steps go through it, forward and backward.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph.recording import Measure, Seen
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.packed_weights import Prepared
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Lease
from bntt.ops.norm import Moments


@dataclass(frozen=True, kw_only=True)
class Node(ABC):
    """One node of a run."""

    reads: tuple[int, ...] = (-1,)
    """The values that it reads, counted back from it: -1 is what the node before it gives, and for the first one the
    run's input."""

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        """What gets a gradient from it, the weights first; None where there is none."""
        return ()

    @property
    def looks_ahead(self) -> bool:
        """Whether a step needs those after it."""
        return False

    @abstractmethod
    def size(self, inputs: Sequence[Spikes]) -> Size:
        """What one step of it needs, for inputs of one step that have shapes and no values."""


class Size(NamedTuple):
    """What a node keeps of one step for the backward pass."""

    out: Spikes
    """What it gives, without values."""
    floats: int
    """Elements of four bytes."""
    bytes: int
    """Elements of one."""


@dataclass(frozen=True)
class How:
    """How the nodes of a pass are to work."""

    compute: Compute
    lease: Lease
    """Where their buffers come from."""
    measure: Measure = Measure()
    drops: bool = False
    """Whether currents are not kept for the backward pass, which makes them again."""
    prepared: Prepared | None = None
    """Weights as earlier steps took them, for passes without gradients."""


class Start(NamedTuple):
    """What a node carries from some steps to the next."""

    membrane: Tensor | None = None
    """``[B, H, W, C]``; None is rest."""
    past: Moments | None = None
    """What the pooling of its statistics keeps of the steps before."""


@dataclass
class Carry:
    """The gradients of a :class:`Start`, written over on the way back in time; None where none is wanted, or 0."""

    membrane: Tensor | None
    past: tuple[Tensor, Tensor] | None = None


class Passed(NamedTuple):
    """What the forward pass of a node gives; its buffers are the lease's."""

    out: Spikes
    saved: Any
    """What it leaves for its backward pass."""
    keeps: tuple[bool, ...]
    """Which of its inputs the backward pass reads."""
    end: Start = Start()
    """After the last step."""
    seen: Seen | None = None
    buffers: tuple[Tensor | None, ...] = ()
    """The lease's that it has for itself until then."""
    found: Any = None
    """What a second pass over the same steps is to take as it is."""


class Towards(NamedTuple):
    """The gradient towards a value."""

    grad: SpikeGrad
    held: Tensor | None = None
    """The buffer of the lease that it lies in; None: it is not the pass's, and must be left as it is."""


Learned = Sequence[Tensor | None]
"""The gradients of what a node learns, in the order of :attr:`Node.learned`; None where one is not wanted."""


class BackwardCall(NamedTuple):
    """What a backward pass over some steps asks of a node."""

    first: int
    """The first of the steps."""
    carry: Carry
    """The gradients of what follows the steps; they become those of what came before."""
    keep: bool
    """Leave what was saved as it is, for another backward pass; else gradients may be written over it."""
    wants: Sequence[bool]
    """Of which inputs the gradients are wanted."""
    norms: Tensor | None = None
    """Takes the norm of each step's gradient towards the node's current; None: not measured."""


@dataclass(frozen=True)
class NodePass(ABC):
    """One node in one pass."""

    node: Node
    how: How

    @property
    def waits(self) -> bool:
        """Whether it must have all steps at once."""
        return False

    @abstractmethod
    def forward(self, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None) -> Passed:
        """Drive the node by the steps from ``first`` on.

        Args:
            start: what the node carries from the steps before; it is left as it is.
            known: what an earlier pass over the same steps found; that pass measured.
        """

    def zero(self, wanted: Sequence[bool]) -> list[Tensor | None]:
        """The gradients of what it learns that are wanted, yet without a part; in the order of :attr:`Node.learned`."""
        pairs = zip(self.node.learned, wanted, strict=True)
        return [tensor.new_zeros(tensor.shape) if want and tensor is not None else None for tensor, want in pairs]

    @abstractmethod
    def backward(self, done: Any, towards: Towards, learned: Learned, call: BackwardCall) -> list[Towards | None]:
        """The gradients towards its inputs, where they are wanted.

        Args:
            done: what the forward pass saved.
            learned: what :meth:`zero` gave; these steps' part is added.
        """
