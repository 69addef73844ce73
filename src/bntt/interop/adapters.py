"""A norm as other frameworks call their layers: all steps in a call, one step a call, or with a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.blocks import check_stage
from bntt.nn.call import Call, check_call
from bntt.nn.kinds import NeuronFacts
from bntt.nn.tensor_checks import check_tensor

RestOf = tuple[int, Any]
"""Steps taken, and the norm's state after them."""
RESET = (
    "call bntt.interop.reset(network) before every batch "
    '(replace_batchnorm(..., loop="inside") does, for a loop over steps in forward)'
)


def take(norm: nn.Module, x: Tensor, before: RestOf, anew: str, *, single: bool = True) -> tuple[Tensor, RestOf]:
    """Take the next step ``[B, C, *space]``, or steps ``[S, B, C, *space]``; a floating input's type is kept."""
    check_tensor(x, "a norm", "a step's current [B, C, ...]" if single else "a current [S, B, C, ...]")
    steps = x.unsqueeze(0) if single else x
    (first, state), total = before, getattr(norm, "num_steps", None)
    end = first + len(steps)
    if total is not None and end > total:
        raise ValueError(
            f"the norm{_named(norm)} has {total} time steps, and this call would bring the count to {end}: "
            f"{anew}, or build it with num_steps={end}"
        )
    y, state = norm(steps, Call(first, whole=first == 0 and total in (None, end)), state)
    y = y.to(x.dtype) if x.is_floating_point() else y
    return (y.squeeze(0) if single else y), (end, state)


def _named(norm: nn.Module) -> str:
    return f" {path!r}" if (path := getattr(norm, "path", "")) else ""


class _Adapter(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        check_stage(norm, "the norm", "y")
        self.norm = norm


class Layer(_Adapter):
    """A norm as a layer of any network: a tensor in, a tensor out, all steps in one call, time first.

    An input ``[B, T, C, ...]`` would be normalised along the wrong axis, so the layer refuses an input whose first axis
    is not T. A norm without steps, such as ``LayerNorm``, takes any input.

    Args:
        norm: ``BNTT(channels, num_steps)`` or any other norm; it is used, not copied.
        time_first: do not check the first axis: an input of fewer than T steps is the first ones.

    Raises:
        TypeError: if it is no norm of this library's form.
        ValueError: on a call with an input that it refuses.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> as_layer(BNTT(8, num_steps=5))(torch.randn(5, 2, 8, 4, 4)).shape
    torch.Size([5, 2, 8, 4, 4])
    """

    def __init__(self, norm: nn.Module, *, time_first: bool = False) -> None:
        super().__init__(norm)
        self.time_first = time_first

    def forward(self, x: Float[Tensor, "S B C *space"]) -> Float[Tensor, "S B C *space"]:
        """Normalise all T steps, or with ``time_first`` the first S of them."""
        check_tensor(x, "a norm", "a current [T, B, C, ...]")
        total = getattr(self.norm, "num_steps", None)
        if not self.time_first and total not in (None, len(x)):
            raise ValueError(
                f"the norm{_named(self.norm)} has {total} time steps, and its input is {[*x.shape]}: as_layer takes "
                f"all steps, time first (x.transpose(0, 1) turns [B, T, C, ...]); with time_first=True also fewer"
            )
        y: Tensor = self.norm(x, Call(), None)[0]
        return y.to(x.dtype) if x.is_floating_point() else y


class Step(_Adapter):
    """A norm for a loop over time: it counts its calls, one step each; call ``reset()`` before the next batch.

    In training, norms that look ahead (tdBN, TEBN) need all steps in one call, and refuse single ones. The count is not
    part of ``state_dict()``. A loop that knows its step needs no adapter: ``norm[t](x)``.

    Args:
        norm: as for :func:`as_layer`.

    Raises:
        TypeError: if it is no norm of this library's form.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> step = as_step(BNTT(8, num_steps=5))
    >>> [step(torch.randn(2, 8)).shape for t in range(5)][-1]
    torch.Size([2, 8])
    >>> step.reset()
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__(norm)
        self.reset()

    def reset(self) -> None:
        """Restart at the first step."""
        self._before: RestOf = (0, None)

    def forward(self, x: Float[Tensor, "B C *space"]) -> Float[Tensor, "B C *space"]:
        """Normalise the next step; raise a ValueError after T steps without ``reset()``."""
        y, self._before = take(self.norm, x, self._before, RESET)
        return y


class Cell(_Adapter):
    """A norm as a Norse module, for ``SequentialState`` and ``Lift``: ``y, state = cell(x, state)``.

    Args:
        norm: as for :func:`as_layer`.
        sequence: take any number of steps ``[S, B, C, ...]`` per call, instead of one ``[B, C, ...]``.

    Raises:
        TypeError: if it is no norm of this library's form.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> cell = as_cell(BNTT(8, num_steps=5))
    >>> y, state = cell(torch.randn(2, 8))
    >>> y, state = cell(torch.randn(2, 8), state)
    >>> y.shape, state[0]
    (torch.Size([2, 8]), 2)
    """

    def __init__(self, norm: nn.Module, *, sequence: bool = False) -> None:
        super().__init__(norm)
        self.sequence = sequence

    def forward(self, x: Tensor, state: RestOf | None = None) -> tuple[Tensor, RestOf]:
        """Return ``(y, state)`` of the next step ``[B, C, *space]``, or of the next steps ``[S, B, C, *space]``."""
        anew = "begin every batch with state=None"
        return take(self.norm, x, state or (0, None), anew, single=not self.sequence)


as_layer, as_step, as_cell = Layer, Step, Cell
"""The names that say what becomes of a norm."""


class LoopedNeurons(nn.Module):
    """Foreign neurons that take one step per call, as a part of ours: ``(spikes, state)`` of any number of steps."""

    facts = NeuronFacts(waits=False)

    def __init__(self, neuron: nn.Module, step: Callable[[Any, Tensor, Any], tuple[Tensor, Any]]) -> None:
        super().__init__()
        self.neuron, self._step = neuron, step

    def forward(self, current: Tensor, call: Call = Call(), state: Any = None) -> tuple[Tensor, Any]:
        """Return ``(spikes [S, B, ...], state)`` of the next steps."""
        check_call(call)
        spikes = []
        for now in current:
            fired, state = self._step(self.neuron, now, state)
            spikes.append(fired)
        return torch.stack(spikes), state


def reset(network: nn.Module) -> None:
    """Restart at the first step in every part of a network that has ``reset()`` or snnTorch's ``reset_mem()``.

    ``snntorch.utils.reset`` skips nested neurons and parts of other libraries; this function does not.

    Args:
        network: any module.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> network = nn.Sequential(nn.Linear(4, 8), as_step(BNTT(8, num_steps=1)))
    >>> for batch in torch.randn(3, 2, 4):
    ...     reset(network)
    ...     y = network(batch)
    """
    for module in network.modules():
        for name in ("reset", "reset_mem"):
            if callable(begin := getattr(module, name, None)):
                begin()
