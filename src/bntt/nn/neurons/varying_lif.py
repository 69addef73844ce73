"""The spiking layer of a folded network: :mod:`bntt.ops.folded` with its tables held in a module."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.network.call import Call, check_call
from bntt.nn.neurons.lif import check_membrane
from bntt.ops.folded import TABLES, FoldedNeuron, folded_sequence


class FoldedLIF(nn.Module):
    """Neurons with constants of their own in every step and channel, for evaluation: nothing in them learns.

    They are what is left where an affine normalisation was made part of the neurons behind it (see
    :mod:`bntt.ops.folded`). Gradients pass through them, to their input.

    Args:
        neuron: what they are. Its tables become the module's, so that they are in its ``state_dict`` and move with it.

    Attributes:
        num_steps: T, where a table has a row for every step; else None, and any number of steps will do.

    >>> import torch
    >>> from bntt.nn import FoldedLIF, FoldedNeuron
    >>> lif = FoldedLIF(FoldedNeuron(leak=0.5, threshold=torch.tensor([[1.0], [0.25]])))
    >>> spikes, membrane = lif(torch.tensor([[[0.8]], [[0.0]]]))
    >>> lif.num_steps, spikes.flatten()
    (2, tensor([0., 1.]))
    """

    def __init__(self, neuron: FoldedNeuron) -> None:
        super().__init__()
        self._rules = neuron
        for name in TABLES:
            table: Any = getattr(neuron, name)
            if table is not None and not isinstance(table, Tensor):
                table = torch.tensor([[table]])
            self.register_buffer(name, None if table is None else table.detach().clone())

    @property
    def num_steps(self) -> int | None:
        return self.neuron.num_steps

    @property
    def neuron(self) -> FoldedNeuron:
        """What the neurons are, with the module's tables as they are now."""
        return self._rules.with_tables(**{name: self._buffers[name] for name in TABLES})

    def forward(
        self, current: Float[Tensor, "S B *shape"], call: Call = Call(), membrane: Float[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "S B *shape"], Float[Tensor, "B *shape"]]:
        """``(spikes, membrane)`` after these steps; a membrane of None is at rest.

        Raises:
            ValueError: if the neurons have no such steps or other channels, or the membrane belongs to another batch.
        """
        check_call(call)
        check_membrane(current, membrane)
        return folded_sequence(current, membrane, self.neuron, call.first)

    def extra_repr(self) -> str:
        neuron = self._rules
        sizes = f"num_steps={self.num_steps}, channels={self.neuron.channels}"
        return f"{sizes}, rule={neuron.rule.__name__}, reset={neuron.reset.__name__}, surrogate={neuron.surrogate}"
