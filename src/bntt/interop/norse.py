"""Norse 1: its neurons as ours. :func:`bntt.interop.as_cell` makes a norm its cell; nothing of Norse is imported."""

from __future__ import annotations

from typing import Any

from torch import nn

from bntt.interop.adapters import LoopedNeurons


def neuron(neuron: Any) -> LoopedNeurons:
    """Return Norse's cell as a part of our blocks, with its own dynamics, surrogate and state.

    ``SpikingBlock(conv, BNTT(8, num_steps=4), neuron(LIFCell()))``. Such a block runs in plain PyTorch.

    Args:
        neuron: a cell for one step, such as ``LIFCell()``.

    Raises:
        TypeError: if it is not a cell, ``spikes, state = cell(x, state)`` for one step.
    """
    home = type(neuron).__module__.startswith("norse.")
    if not (home and isinstance(neuron, nn.Module) and type(neuron).__name__.endswith("Cell")):
        raise TypeError(f"Norse's neurons for one step are its cells, such as LIFCell(), got {type(neuron).__name__}")
    return LoopedNeurons(neuron, nn.Module.__call__)
