"""The leaky integrate-and-fire neuron in discrete time (paper Eq. 4 and 9): its record, one step, and all T steps.

``current`` is the input of the neuron: the synaptic sum, normalised (y = BNTT(Σ w o), Eq. 9) or not (Eq. 4). Neurons
that decay their input scale it first (:meth:`Neuron.drive`): Fang et al. (2021), Eq. 4, with λ = 1 - 1/τ.
Firing rules and resets are values, so a variant is an argument and not another class. The spikes that reset the
membrane are constants: no gradient passes through the reset, but the leak path keeps it (as in the released code).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.ops.spike import Surrogate, Triangle, fire

Threshold = float | Tensor
"""θ: a number; for a :class:`~bntt.ops.folded.FoldedNeuron` one for every step and channel."""
Reset = Callable[[Tensor, Tensor, float], Tensor]
"""``(membrane, spikes, threshold)`` → membrane after the reset, all of one shape."""
Leak = float | Tensor
"""λ in [0, 1]: a number, or a tensor that learns, with one number or one per channel."""


def soft_reset(membrane: Tensor, spikes: Tensor, threshold: Threshold) -> Tensor:
    """Return ``u ← u - θ o``: the excess over the threshold stays in the membrane (the paper's reset, Eq. 4).

    Args:
        membrane, spikes: u and o, of one shape; o is 0 or 1.
        threshold: θ, in the membrane's unit.

    >>> soft_reset(torch.tensor([1.25]), torch.tensor([1.0]), 1.0)
    tensor([0.2500])
    """
    return membrane - threshold * spikes


def hard_reset(membrane: Tensor, spikes: Tensor, threshold: Threshold) -> Tensor:
    """Return ``u ← u (1 - o)``: a neuron that fired starts again at 0.

    Args:
        membrane, spikes: u and o, of one shape; o is 0 or 1.
        threshold: not used.

    >>> hard_reset(torch.tensor([1.25]), torch.tensor([1.0]), 1.0)
    tensor([0.])
    """
    return membrane * (1 - spikes)


@runtime_checkable
class Cell(Protocol):
    """What a firing rule needs from a neuron: its leak, its firing, and its reset after a spike.

    >>> isinstance(Neuron(), Cell)
    True
    """

    @property
    def leak(self) -> Leak:
        """λ."""
        ...

    def fire(self, potential: Tensor) -> Tensor:
        """Return spikes, with a surrogate gradient."""
        ...

    def after(self, membrane: Tensor, spikes: Tensor) -> Tensor:
        """Return the membrane after these spikes have reset it; they get no gradient through the reset."""
        ...


def fire_after(current: Tensor, membrane: Tensor, neuron: Cell) -> tuple[Tensor, Tensor]:
    """Integrate, then fire in the same step, Eq. 4/9: ``m = λu + y, o = [m > θ], u' = reset(m, o)``.

    Args:
        current, membrane: y, the input of this step, and u, both ``[B, ...]``.
        neuron: its leak, firing and reset.

    Returns:
        ``(spikes, membrane)``, of the current's shape.

    >>> fire_after(torch.tensor([1.0]), torch.tensor([0.5]), Neuron(leak=0.5))
    (tensor([1.]), tensor([0.2500]))
    """
    integrated = neuron.leak * membrane + current
    spikes = neuron.fire(integrated)
    return spikes, neuron.after(integrated, spikes)


def fire_before(current: Tensor, membrane: Tensor, neuron: Cell) -> tuple[Tensor, Tensor]:
    """Fire on the old potential, then integrate: ``o = [u > θ], u' = reset(λu, o) + y`` (the authors' first upload).

    Each layer responds one step later; its last current never causes a spike and gets no gradient.

    Args:
        current, membrane: y, the input of this step, and u, both ``[B, ...]``.
        neuron: its leak, firing and reset.

    Returns:
        ``(spikes, membrane)``, of the current's shape.

    >>> fire_before(torch.tensor([1.0]), torch.tensor([2.0]), Neuron(leak=0.5))
    (tensor([1.]), tensor([1.]))
    """
    spikes = neuron.fire(membrane)
    return spikes, neuron.after(neuron.leak * membrane, spikes) + current


@dataclass(frozen=True)
class Neuron:
    """A leaky integrate-and-fire neuron, for these functions, :class:`bntt.nn.LIF` and the kernels.

    Raises:
        ValueError: on a leak outside [0, 1], or a threshold that is not above 0.
        TypeError: if rule, reset or surrogate is a name or a class.

    >>> Neuron(leak=0.5).threshold
    1.0
    """

    leak: Leak = 0.95
    """λ."""
    threshold: float = 1.0
    """θ, a number. A tensor that learns gets a gradient only from the soft reset, and runs in plain PyTorch."""
    rule: FireRule = fire_after
    """Firing rule: ``fire_after`` integration (the paper) or ``fire_before``."""
    reset: Reset = soft_reset
    """Reset of the membrane by a spike: ``soft_reset`` (the paper) or ``hard_reset``."""
    surrogate: Surrogate = Triangle()
    """do/du, Eq. 8."""
    decay_input: bool = False
    """True if the input decays as the membrane does: ``m = λu + (1 - λ)y``, else the paper's ``m = λu + y``."""

    def __post_init__(self) -> None:
        for name, example in (("rule", "fire_after"), ("reset", "soft_reset"), ("surrogate", "Triangle()")):
            if isinstance(value := getattr(self, name), type) or not callable(value):
                raise TypeError(
                    f"{name} must be a function, such as {example}, got {value!r}: only builders and recipes take names"
                )
        leak = 0.0 if isinstance(self.leak, Tensor) else self.leak
        if not 0 <= leak <= 1 or (self.decay_input and leak == 1):
            raise ValueError(f"leak must be a number from 0 to 1, and below 1 where the input decays, got {leak}")
        if not 0 < self.threshold < math.inf:
            raise ValueError(f"threshold must be a number above 0, got {self.threshold}")

    @property
    def input_gain(self) -> Leak:
        """Factor of the input: 1 - λ if it decays, else 1."""
        return 1 - self.leak if self.decay_input else 1.0

    def drive(self, current: Tensor) -> Tensor:
        """Return the input added to the membrane: the current y; if the input decays, ``(1 - λ) y``.

        With λ = 1 - 1/τ that is ``m = u + (y - u) / τ`` (Fang et al. 2021, "Incorporating Learnable Membrane Time
        Constant ...", Eq. 4 with a resting potential of 0): the PLIF neuron if the leak is learned.

        >>> Neuron(leak=0.75, decay_input=True).drive(torch.tensor([2.0]))
        tensor([0.5000])
        """
        return self.input_gain * current if self.decay_input else current

    def fire(self, potential: Tensor) -> Tensor:
        """Return spikes where a potential is above the threshold: :func:`bntt.ops.spike.fire`."""
        return fire(potential, self.threshold, self.surrogate)

    def after(self, membrane: Tensor, spikes: Tensor) -> Tensor:
        """Return the membrane after these spikes have reset it; they get no gradient through the reset."""
        return self.reset(membrane, spikes.detach(), self.threshold)


FireRule = Callable[[Tensor, Tensor, Neuron], tuple[Tensor, Tensor]]
"""``(current, membrane, neuron)`` → ``(spikes, membrane)``; the current as :meth:`Neuron.drive` gives it."""


def lif_step(
    current: Float[Tensor, "*shape"], membrane: Float[Tensor, "*shape"] | None = None, neuron: Neuron = Neuron()
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Take one time step of Eq. 4, or of Eq. 9 if ``current`` is normalised.

    Args:
        current: y, the input of this step, ``[B, ...]``.
        membrane: u after the last step's reset, of the same shape; None is rest, u = 0.
        neuron: leak, threshold, rule, reset and surrogate; its :meth:`~Neuron.drive` scales the current.

    Returns:
        ``(spikes, membrane)``, both of the current's shape.

    >>> spikes, membrane = lif_step(torch.tensor([0.6]))
    >>> lif_step(torch.tensor([0.6]), membrane)
    (tensor([1.]), tensor([0.1700]))
    """
    if membrane is None:
        membrane = torch.zeros_like(current)
    return neuron.rule(neuron.drive(current), membrane, neuron)


def lif_sequence(
    current: Float[Tensor, "T *shape"], membrane: Float[Tensor, "*shape"] | None = None, neuron: Neuron = Neuron()
) -> tuple[Float[Tensor, "T *shape"], Float[Tensor, "*shape"]]:
    """Run T steps of :func:`lif_step`.

    Args:
        current: y, ``[T, B, ...]``.
        membrane: u before the first step, ``[B, ...]``; None is rest, u = 0.
        neuron: leak, threshold, rule, reset and surrogate.

    Returns:
        ``(spikes [T, B, ...], membrane [B, ...])``.

    >>> spikes, membrane = lif_sequence(torch.tensor([[0.6], [0.6], [0.6]]))
    >>> spikes.T
    tensor([[0., 1., 0.]])
    """
    spikes = []
    for drive in current.unbind(0):
        fired, membrane = lif_step(drive, membrane, neuron)
        spikes.append(fired)
    assert membrane is not None  # T >= 1: unbind of nothing is refused by the modules
    return torch.stack(spikes), membrane
