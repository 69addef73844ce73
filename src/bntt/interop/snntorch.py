"""snnTorch 1: its neurons as ours. Norms go into its loops as ``bn[t](x)`` or by :func:`bntt.interop.as_step`."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn

from bntt.interop.adapters import LoopedNeurons


def neuron(neuron: Any) -> LoopedNeurons:
    """Return snnTorch's neurons as a part of our blocks, with their own dynamics, surrogate and learned constants.

    ``SpikingBlock(conv, BNTT(8, num_steps=4), neuron(Leaky(0.9)))``. Such a block runs in plain PyTorch, and the
    object's own state is set to rest. ``Leaky(0.95)`` resets a step later than the paper's neurons.

    Args:
        neuron: one of snnTorch's neurons, with ``init_hidden=False``.

    Raises:
        TypeError: if it is not one of snnTorch's neurons.
        ValueError: if it hides its membrane, ``init_hidden=True``.
    """
    home = type(neuron).__module__.startswith("snntorch.")
    if not (home and isinstance(neuron, nn.Module) and hasattr(neuron, "reset_mem")):
        raise TypeError(f"snnTorch's neurons are such as Leaky(beta=0.95), got {type(neuron).__name__}")
    if neuron.init_hidden:
        raise ValueError(f"{type(neuron).__name__} hides its membrane: make it with init_hidden=False")
    states = len(signature(type(neuron).forward).parameters) - 2  # without itself and the current
    return LoopedNeurons(neuron, partial(_step, states))


def _step(states: int, neuron: Any, current: Tensor, state: Any) -> tuple[Tensor, Any]:
    if state is None:
        neuron.reset_mem()
    found = neuron(current, *(state or ()))
    neuron.reset_mem()  # nothing of this batch stays in the object
    return found[0], tuple(found[-states:])
