"""Neurons as modules: those of :mod:`bntt.ops.lif` and :mod:`bntt.ops.folded`, and the rectifiers of an ANN."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Literal, ParamSpec

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.call import Call, check_call
from bntt.nn.kinds import NEURONS, NeuronFacts
from bntt.nn.tensor_checks import check_steps, check_tensor
from bntt.ops.folded import TABLES, AnyNeuron, FoldedNeuron, folded_sequence
from bntt.ops.lif import FireRule, Neuron, Reset, fire_after, hard_reset, lif_sequence, soft_reset
from bntt.ops.spike import Surrogate, Triangle

P = ParamSpec("P")


def check_membrane(current: Tensor, membrane: Tensor | None) -> None:
    """Refuse a membrane that does not have the shape of the neurons that a current drives."""
    check_tensor(current, "a layer of neurons", "a current [S, B, ...]")
    check_steps(current, "a layer of neurons")
    if membrane is not None and membrane.shape != current.shape[1:]:
        raise ValueError(
            f"the membrane has shape {list(membrane.shape)} and a step's current {list(current.shape[1:])}: "
            f"begin every batch with state=None"
        )


def names_leak(init: Callable[P, None]) -> Callable[P, None]:
    """Let a constructor answer the names of other libraries with its own."""

    @wraps(init)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if foreign := kwargs.keys() & {"tau", "beta", "alpha", "decay"}:
            raise TypeError(f"LIF has no {foreign.pop()}: give the leak λ, leak=beta of snnTorch, or leak=1 - 1 / tau")
        init(*args, **kwargs)

    return call


@NEURONS("lif")
class LIF(nn.Module):
    """Leaky integrate-and-fire neurons (Eq. 4): ``m = λu + y``, a spike where ``m > θ``, then the reset.

    With ``decay_input`` it is ``m = λu + (1 - λ)y``, λ = 1 - 1/τ. With ``learn_leak`` the first is a LIF with a learned
    leak, the second the PLIF of Fang et al. (2021).

    Args:
        leak: λ in [0, 1]; 1 is an integrator without leak. A learnable leak starts here and stays inside (0, 1).
        threshold: θ > 0.
        learn_leak: make λ = sigmoid(w) a parameter: one per "layer" or one per "channel". True is one per channel if
            ``channels`` is given, else one per layer.
        channels: number of channels of the layer, needed only for one λ per channel.
        rule: ``fire_after`` integration (the paper) or ``fire_before`` it (the authors' first upload).
        reset: ``soft_reset`` (the paper) or ``hard_reset``.
        surrogate: do/du, Eq. 8 by default.
        decay_input: multiply the input by 1 - λ, see above; λ must then be below 1.

    A call takes the current of S steps, ``[S, B, C, ...]``, and returns spikes of that shape and the membrane
    ``[B, C, ...]``. The membrane is an argument too, never an attribute: there is nothing to reset between batches.

    Raises:
        ValueError: on a leak or threshold out of range, or a leak per channel without ``channels``.
        TypeError: on a leak or threshold that learns, or a rule, reset or surrogate that is no function of the kind.

    >>> spikes, membrane = LIF(leak=0.5)(torch.tensor([[[0.8]], [[0.8]]]))
    >>> spikes.flatten()
    tensor([0., 1.])
    """

    @names_leak
    def __init__(
        self,
        leak: float = 0.95,
        threshold: float = 1.0,
        *,
        learn_leak: bool | Literal["layer", "channel"] = False,
        channels: int | None = None,
        rule: FireRule = fire_after,
        reset: Reset = soft_reset,
        surrogate: Surrogate = Triangle(),
        decay_input: bool = False,
    ) -> None:
        super().__init__()
        home = str(getattr(surrogate, "__module__", "")).partition(".")[0]
        if home in ("spikingjelly", "snntorch"):
            raise TypeError(
                f"surrogate must return do/du, but those of {home} return spikes: see docs/how-to/extending.md"
            )
        for name, value in (("leak", leak), ("threshold", threshold)):
            shape = [*getattr(value, "shape", ())]
            if getattr(value, "requires_grad", False) or math.prod(shape) != 1:
                raise TypeError(f"{name} is one number for all neurons of a LIF, got a tensor of {shape}")
        self._start = Neuron(float(leak), float(threshold), rule, reset, surrogate, decay_input)
        known = learn_leak in (False, True, "layer", "channel")
        few = channels < 1 if channels is not None else learn_leak == "channel"
        if not known or few or (learn_leak and leak in (0, 1)):
            raise ValueError(
                f"learn_leak must be True, False, 'layer' or 'channel'; a learnable leak must start between 0 and 1, "
                f"and one in each channel needs channels, 1 or more: got {learn_leak!r}, {leak} and {channels}"
            )
        each = () if channels is None or learn_leak == "layer" else (channels,)
        start = torch.full(each, float(leak))
        self.leak_logit = nn.Parameter(torch.logit(start)) if learn_leak else None

    @property
    def facts(self) -> NeuronFacts:
        """Facts about them."""
        return facts_of_neuron(self.neuron)

    @property
    def neuron(self) -> Neuron:
        """The neurons' parameters; a learned λ is a tensor, of one number or one per channel.

        You can set it; a learned λ is kept.
        """
        return self._start if self.leak_logit is None else replace(self._start, leak=self.leak_logit.sigmoid())

    @neuron.setter
    def neuron(self, neuron: Neuron) -> None:
        self._start = neuron if self.leak_logit is None else replace(neuron, leak=self._start.leak)

    def forward(
        self, current: Float[Tensor, "S B *shape"], call: Call = Call(), membrane: Float[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "S B *shape"], Float[Tensor, "B *shape"]]:
        """Return ``(spikes, membrane)`` after these steps; a membrane of None is at rest."""
        check_call(call)
        check_membrane(current, membrane)
        if current.ndim < 3:
            raise ValueError(
                f"LIF takes the current of S steps, [S, B, C, ...], got {[*current.shape]}: unsqueeze(0) a step"
            )
        neuron = self.neuron
        if isinstance(neuron.leak, Tensor) and neuron.leak.ndim:  # channels first: those of the current
            if len(neuron.leak) != current.shape[2]:
                raise ValueError(f"there are leaks for {len(neuron.leak)} channels, the current has {current.shape[2]}")
            neuron = replace(neuron, leak=neuron.leak.reshape(-1, *[1] * (current.ndim - 3)))
        return lif_sequence(current, membrane, neuron)

    def extra_repr(self) -> str:
        neuron, logit = self.neuron, self.leak_logit
        learned = "" if logit is None else " (learned)" if logit.ndim == 0 else f" (mean of {len(logit)}, learned)"
        leak = float(torch.as_tensor(neuron.leak).detach().mean())
        decays = ", decay_input=True" if neuron.decay_input else ""
        return f"leak={leak:.4g}{learned}, threshold={neuron.threshold:.4g}, {_printed(neuron)}{decays}"


def _printed(neuron: Any) -> str:
    rule, reset = (getattr(one, "__name__", one) for one in (neuron.rule, neuron.reset))
    return f"rule={rule}, reset={reset}, surrogate={neuron.surrogate}"


def facts_of_neuron(neuron: AnyNeuron, own: int = 0) -> NeuronFacts:
    """Return the facts about leaky integrate-and-fire neurons."""
    leaks = isinstance(neuron.leak, Tensor) or neuron.leak != 1
    operations = own + int(leaks), own + 2, int(neuron.reset is not hard_reset)
    scales = isinstance(neuron, Neuron) and neuron.decay_input
    return NeuronFacts(waits=neuron.rule is not fire_after, operations=operations, scales_input=scales)


@NEURONS("relu")
class Rectifier(nn.Module):
    """Rectify at every step: ``y = max(0, x)``, with no membrane and no spikes, in place of a block's neurons.

    A block with rectifiers lists a layer in which nothing spikes.

    >>> Rectifier()(torch.tensor([[[-1.0, 2.0]]]))
    (tensor([[[0., 2.]]]), None)
    """

    facts = NeuronFacts(spikes=False, waits=False, operations=(0, 1, 0))

    def forward(
        self, current: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """Return ``(y, None)``."""
        check_call(call)
        return current.relu(), None


class FoldedLIF(nn.Module):
    """Neurons with different constants at every step and channel, for evaluation: nothing in them learns.

    They result from folding a norm into the neurons after it (:mod:`bntt.ops.folded`). Gradients pass to their input.

    Args:
        neuron: the constants. Its tables become buffers: they are in the module's ``state_dict`` and move with it.

    Attributes:
        num_steps: T, if a table has a row for every step; else None: it takes any number of steps.

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
                table = torch.tensor([[table if isinstance(table, bool) else float(table)]])
            self.register_buffer(name, None if table is None else table.detach().clone())

    @property
    def facts(self) -> NeuronFacts:
        """Facts about them."""
        return facts_of_neuron(self.neuron, own=1)

    @property
    def num_steps(self) -> int | None:
        """T, if a table has a row for every step; else None."""
        return self.neuron.num_steps

    @property
    def neuron(self) -> FoldedNeuron:
        """The neurons' parameters, with the module's current tables."""
        return self._rules.with_tables(**{name: self._buffers[name] for name in TABLES})

    def forward(
        self, current: Float[Tensor, "S B *shape"], call: Call = Call(), membrane: Float[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "S B *shape"], Float[Tensor, "B *shape"]]:
        """Return ``(spikes, membrane)`` after these steps; a membrane of None is at rest."""
        check_call(call)
        check_membrane(current, membrane)
        return folded_sequence(current, membrane, self.neuron, call.first)

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}, channels={self.neuron.channels}, {_printed(self._rules)}"
