"""SpikingJelly 2: norms as its modules in step modes 's' and 'm', and its neurons as ours."""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import base
from torch import Tensor, nn

from bntt.interop.adapters import take
from bntt.nn.blocks import check_stage
from bntt.nn.call import Call, check_call
from bntt.nn.kinds import NeuronFacts

RESET = "call functional.reset_net(network) before every batch"


class Norm(base.MemoryModule):  # type: ignore[misc] # no types without the peer
    """A norm in a SpikingJelly network: ``[N, C, ...]`` per call in mode 's', ``[T, N, C, ...]`` in mode 'm'.

    The number of steps taken and the norm's state are SpikingJelly memories: ``set_step_mode``, ``reset_net`` and the
    functional forward handle them. ``reset_net`` restarts at the first step; several calls can share a sequence.

    Args:
        norm: ``BNTT(channels, num_steps)`` or any other norm.
        step_mode: 's' or 'm'.

    Raises:
        TypeError: if it is not a norm of this library's form.
        ValueError: on a call with more steps than it has left.
    """

    def __init__(self, norm: nn.Module, step_mode: str = "s") -> None:
        super().__init__()
        check_stage(norm, "the norm", "y")
        self.norm, self.step_mode = norm, step_mode
        self.register_memory("t", 0)
        self.register_memory("pooled", None)

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **_: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        y, after = take(self.norm, inputs[0], (states[0], states[1]), RESET)
        return (y,), after

    def multi_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **_: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        y, after = take(self.norm, inputs[0], (states[0], states[1]), RESET, single=False)
        return (y,), after


class Neuron(nn.Module):
    """SpikingJelly's neurons as a part of our blocks; ``neuron`` as for :func:`neuron`."""

    facts = NeuronFacts(waits=False)

    def __init__(self, neuron: Any) -> None:
        super().__init__()
        if not isinstance(neuron, base.MemoryModule):
            raise TypeError(f"SpikingJelly's neurons are MemoryModules, got {type(neuron).__name__}")
        neuron.step_mode = "m"
        self.neuron = neuron

    def forward(self, current: Tensor, call: Call = Call(), state: Any = None) -> tuple[Tensor, Any]:
        """Return ``(spikes, state)`` of the next steps ``[S, B, ...]``; the state is their memories, None at rest."""
        whole = check_call(call).whole and state is None
        if state is None:
            state = tuple(self.neuron.get_reset_value(name) for name, _ in self.neuron.named_memories())
        if whole or not hasattr(self.neuron, "T"):  # with a T, they take all T steps in every call
            (spikes,), after = base.to_functional_forward(self.neuron)((current,), state)
            if whole or any(one is not other for one, other in zip(state, after, strict=True)):
                return spikes, after
        raise ValueError(
            f"{type(self.neuron).__name__} keeps nothing from one call to the next, so that it would fire otherwise if "
            f"steps are cut into calls, as evaluation and streaming do: call the network for all steps, network(x)"
        )


def neuron(neuron: Any) -> Neuron:
    """Return SpikingJelly's neurons as a part of our blocks: dynamics, surrogate, learned constants and spikes stay.

    ``SpikingBlock(conv, BNTT(8, num_steps=4), neuron(LIFNode(tau=20.0, decay_input=False, v_reset=None)))``. Such a
    block runs in plain PyTorch, and the object is set to mode 'm'. The paper's neurons are ``LIFNode(tau=1/(1-λ),
    decay_input=False, v_reset=None)``, except that theirs also fire exactly at the threshold.

    Args:
        neuron: a ``MemoryModule``, such as ``LIFNode``.

    Raises:
        TypeError: if it is not a MemoryModule.
    """
    return Neuron(neuron)
