"""The nodes of a run. Each reads values that nodes before it output, and outputs one; together they are a graph.

A node is a description without memory: what a pass over some time steps uses and keeps is in its arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph.recording import LayerMeasures, Measure
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Prepared, Spikes, Synapse
from bntt.engine.workspace import WORKSPACE, Lease
from bntt.ops.norm import Moments
from bntt.ops.spike import Underived


@dataclass(frozen=True, kw_only=True)
class Node(ABC):
    """One node of a run."""

    reads: tuple[int, ...] = (-1,)
    """The values that it reads, counted back from it: -1 is the output of the node before it, and for the first one the
    run's input."""
    forward: ClassVar[Callable[..., Passed]]
    """``(how, inputs, first, start, known)``: run the steps from ``first`` on; ``known`` is what an earlier pass over
    them found."""
    backward: ClassVar[Callable[..., Gradients]]
    """``(how, saved, grad, learned, *, first, carry, wants, norms)``: return the gradients of its inputs where they are
    wanted (``wants``); what was saved may be overwritten.

    To ``learned``, the gradients of what it learns, these steps' part is added; ``carry`` holds those of what follows
    the steps from ``first`` on, and then those of what came before; ``norms`` is a buffer for the norm of each step's
    gradient towards the node's current, or None.
    """

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        """The tensors that get a gradient from it, the weights first; None where there is none."""
        return ()

    def zeros(self, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Return zeros for the wanted gradients of what it learns; in the order of :attr:`learned`."""
        pairs = zip(self.learned, wanted, strict=True)
        return [tensor.new_zeros(tensor.shape) if want and tensor is not None else None for tensor, want in pairs]

    @property
    def looks_ahead(self) -> bool:
        """True if a step needs later steps."""
        return False

    def waits(self, compute: Compute) -> bool:
        """Return True if it must have all steps at once."""
        return self.looks_ahead

    @abstractmethod
    def size(self, inputs: Sequence[Spikes]) -> Size:
        """Return the memory that one step needs, for inputs of one step that have shapes and no values."""


class Size(NamedTuple):
    """The memory that a node keeps of one step for the backward pass."""

    out: Spikes
    """The output, without values."""
    floats: int
    """Number of four-byte elements."""
    bytes: int
    """Number of one-byte elements."""


@dataclass(frozen=True)
class PassContext:
    """The settings of a pass over nodes, and what the nodes share in it."""

    compute: Compute = Compute()
    measure: Measure = Measure()
    """Measurements of every layer; the kernels do not follow the potentials of single neurons."""
    goes_on: bool = False
    """True if the states after the last step are needed."""
    prepared: Prepared | None = None
    """Weights prepared in earlier steps, for passes without gradients."""
    in_place: bool = False
    """True if membranes may be overwritten: no backward pass will start from them."""
    drops: bool = False
    """True if currents are not kept for the backward pass, which recomputes them."""
    lease: Lease = field(default_factory=WORKSPACE.lease)
    """The source of the buffers."""
    synapses: dict[int, Synapse] = field(default_factory=dict, init=False)
    """The weights of layers, by the layer's id, in the layouts that the pass has needed so far."""


class Start(NamedTuple):
    """The state that a node carries from some steps to the next."""

    membrane: Tensor | None = None
    """``[B, H, W, C]``; None is rest."""
    past: Moments | None = None
    """State of the pooling of its statistics over the steps before."""


@dataclass
class GradState:
    """The gradients of a :class:`Start`, overwritten on the way back in time; None if not wanted, or 0."""

    membrane: Tensor | None
    past: tuple[Tensor, Tensor] | None = None


class Passed(NamedTuple):
    """The result of a node's forward pass; its buffers belong to the lease."""

    out: Spikes
    saved: Any
    """State saved for its backward pass."""
    keeps: tuple[bool, ...]
    """True for each input that the backward pass reads."""
    end: Start = Start()
    """State after the last step."""
    seen: LayerMeasures | None = None
    buffers: tuple[Tensor | None, ...] = ()
    """The lease's buffers that it holds until then."""
    found: Any = None
    """Findings that a second pass over the same steps must reuse."""


Gradients = list[SpikeGrad | None]
"""The gradients towards a node's inputs; None where one is not wanted."""
Learned = Sequence[Tensor | None]
"""The gradients of what a node learns, in the order of :attr:`Node.learned`; None where one is not wanted."""


def differentiable_once(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Decorate a backward pass whose results have no derivative: asking for one raises.

    The pass gets ``(ctx, saved tensors, *gradients)`` and runs without gradients. PyTorch's ``once_differentiable``
    silently gives a constant to ``torch.autograd.grad`` and Hessians.
    """

    @wraps(backward)
    def run(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # read once: checkpointing does not unpack them again
        with torch.no_grad():
            found = backward(ctx, saved, *grads)
        of = [one for one in (*saved, *grads) if isinstance(one, Tensor) and one.requires_grad]
        return tuple(_marked(one, of) if isinstance(one, Tensor) else one for one in found)

    return run


def _marked(value: Tensor, of: Sequence[Tensor]) -> Tensor:
    for one in of if torch.is_grad_enabled() else ():
        value = Underived.apply(value, one)  # type: ignore[no-untyped-call]
    return value
