"""The output layer (paper section 3.1), and one that fires, for comparison.

The paper's accumulates voltage, does not leak, does not fire and is not normalised.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.engine.door import is_plain
from bntt.engine.private import has_global_hooks
from bntt.nn.blocks.stage import weigh
from bntt.nn.fusion.untouched import remember, why_touched
from bntt.nn.kinds import BlockFacts
from bntt.nn.network.call import Call, check_call
from bntt.nn.tensor_checks import check_steps, check_tensor


class Readout(nn.Module):
    """``u_L^t = u_L^{t-1} + W o^t``; the logits are ``u_L^t / t`` (the released code's division; Eq. 5 has u^T).

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``; usually ``nn.Linear(F, K, bias=False)``.

    Its state is the accumulated voltage ``[B, K]``. Your own readout is any stage that returns the network's output
    after each step, ``[S, B, K]``.

    >>> logits, voltage = Readout(nn.Linear(8, 3, bias=False))(torch.ones(5, 2, 8))
    >>> logits.shape, voltage.shape
    (torch.Size([5, 2, 3]), torch.Size([2, 3]))
    """

    facts = BlockFacts("readout")

    def __init__(self, synapse: nn.Module) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(
        self, spikes: Float[Tensor, "S B *features"], call: Call = Call(), voltage: Float[Tensor, "B K"] | None = None
    ) -> tuple[Float[Tensor, "S B K"], Float[Tensor, "B K"]]:
        """Return ``(logits after each step, voltage after the last)``; a voltage of None is 0."""
        check_call(call)
        check_tensor(spikes, "the readout", "spikes [S, B, ...]")
        return _means(weigh("the readout", self.synapse, spikes), voltage, call.first)


class SpikeCount(nn.Module):
    """An output layer of neurons: ``c^t = c^{t-1} + o^t`` with the spikes o of Eq. 4; the logits are ``c^t / t``.

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``.
        lif: the neurons.

    Its state is their membrane and their counts, both ``[B, K]``.

    >>> from bntt.nn import LIF
    >>> logits, _ = SpikeCount(nn.Linear(8, 3, bias=False), LIF())(torch.ones(5, 2, 8))
    >>> logits.shape, bool((logits >= 0).all() and (logits <= 1).all())
    (torch.Size([5, 2, 3]), True)
    """

    def __init__(self, synapse: nn.Module, lif: nn.Module) -> None:
        super().__init__()
        self.synapse, self.lif = synapse, lif

    def forward(
        self, spikes: Float[Tensor, "S B *features"], call: Call = Call(), state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "S B K"], tuple[Tensor, Tensor]]:
        """Return ``(logits after each step, (membrane, counts) after the last)``; a state of None is rest."""
        check_call(call)
        check_tensor(spikes, "the readout", "spikes [S, B, ...]")
        current = weigh("the readout", self.synapse, spikes)
        fired, membrane = self.lif(current, call, None if state is None else state[0])
        means, counts = _means(fired, None if state is None else state[1], call.first)
        return means, (membrane, counts)


def _means(steps: Tensor, before: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
    """Return the mean of all steps so far after each step from ``first`` on, and the sum after the last."""
    check_steps(steps, "a readout")
    after: list[Tensor] = []
    for step in steps:  # one after another: CUDA's cumulative sum is not deterministic
        last = after[-1] if after else before
        after.append(step if last is None else last + step)
    taken = torch.arange(first + 1, first + 1 + len(after), dtype=after[0].dtype, device=steps.device)
    return torch.stack(after) / taken[:, None, None], after[-1]


LINEAR = (Readout, nn.Sequential, nn.Flatten, nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Modules of a readout that may be applied once, to the mean over time, instead of at every step."""
remember(*LINEAR)


def is_linear(readout: nn.Module) -> bool:
    """Return True if a readout only applies linear weights from this library, so that the mean over time is enough."""
    if type(readout) is not Readout or has_global_hooks() or not all(map(is_plain, readout.parameters())):
        return False
    return all(type(part) in LINEAR and not why_touched(part) for part in readout.modules())
