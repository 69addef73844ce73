"""Eq. 12-15: a normalisation folded into the neurons after it, exactly, and as the paper does it.

With ``a_t = γ_t / √(σ̄²_t + ε)`` (α θ and p_t included) a neuron is driven by ``z_t = a_t (x_t - μ̄_t) + β_t``, x the
plain sum Σ w o. Let ``v_t = u_t / a_t`` be its membrane in the frame of that sum. Then, exactly,

- leak ``λ a_{t-1} / a_t``: the membrane changes its unit from step to step;
- threshold ``θ / a_t``, which a soft reset subtracts (``fire_before`` subtracts it too, and fires at ``θ / a_{t-1}``);
- bias ``-μ̄_t + β_t / a_t``;
- a spike where v is *below* the threshold if a_t < 0: dividing by a_t then reverses the inequality.

The paper drops two of these. Eq. 12: ``u_1 = a_1 (x_1 - μ̄_1) ≈ a_1 v_1``, no mean. Eq. 13 and 14: ``u_t ≈ a_t v_t``
with ``v_t = λ v_{t-1} + x_t``, no ratio in the leak, since ``a_{t-1} ≈ a_t``. What is left is Eq. 15: a spike where
``v_t > θ √(σ̄²_t + ε) / γ_t``, BNTT as a threshold that varies with time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Leak, Neuron, fire_before


class Normalisation(NamedTuple):
    """A normalisation with given statistics: ``z_t = scale_t (x_t - mean_t) + shift_t``.

    >>> one = torch.ones(1, 1)
    >>> Normalisation(scale=one, mean=one, shift=one).shift
    tensor([[1.]])
    """

    scale: Float[Tensor, "T C"]
    """a, as defined above."""
    mean: Float[Tensor, "T C"]
    """μ̄, the running mean."""
    shift: Float[Tensor, "T C"]
    """β; 0 without one."""


def normalisation(
    gamma: Float[Tensor, "rows C"],
    mean: Float[Tensor, "rows2 C"],
    var: Float[Tensor, "rows2 C"],
    beta: Float[Tensor, "rows3 C"] | None = None,
    *,
    num_steps: int,
    eps: float = 1e-4,
) -> Normalisation:
    """Return :func:`bntt.ops.norm.normalize`'s affine map as ``[T, C]`` in float64: ``a_t = γ_t / √(σ̄²_t + ε)``.

    Args:
        gamma, mean, var, beta: γ, μ̄, σ̄² and β, each ``[T, C]`` or ``[1, C]``; a β of None is 0.
        num_steps, eps: T and ε.

    >>> two = torch.full((1, 1), 2.0)
    >>> normalisation(torch.tensor([[1.0], [-4.0]]), two, two * two, num_steps=2, eps=0.0).scale
    tensor([[ 0.5000],
            [-2.0000]], dtype=torch.float64)
    """
    scale = gamma.double() * (var.double() + eps).rsqrt()
    shift = torch.zeros_like(scale[:1]) if beta is None else beta.double()
    return Normalisation(*(rows.detach().expand(num_steps, -1) for rows in (scale, mean.double(), shift)))


def frame(
    scale: Float[Tensor, "T C"], threshold: float = 1.0, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "T C"]:
    """Return the divisor of the exact fold's membranes: a_t, or 1 in all steps of a channel that cannot be divided.

    A channel cannot be divided if some a_t is 0, or if θ / a_t lies outside the square roots of the dtype's smallest
    and largest numbers: membranes and the ratios of two steps would overflow.

    Args:
        scale, threshold: a, ``[T, C]``, and θ.
        dtype: the dtype that the neurons compute in.

    >>> frame(torch.tensor([[0.5, 0.5, 0.5], [-2.0, 0.0, 1e-30]]), dtype=torch.float32)
    tensor([[ 0.5000,  1.0000,  1.0000],
            [-2.0000,  1.0000,  1.0000]])
    """
    room = torch.finfo(dtype).max ** 0.5
    threshold_there = (threshold / scale).abs()
    fits = ((threshold_there > 1 / room) & (threshold_there < room)).all(0)
    return torch.where(fits, scale, 1.0)


def thresholds_through_time(
    scale: Float[Tensor, "T C"], threshold: float = 1.0, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "T C"]:
    """Return Eq. 15, ``θ √(σ̄²_t + ε) / γ_t``; where γ_t = 0 nothing fires: the dtype's largest finite number.

    Args:
        scale, threshold: a, ``[T, C]``, and θ.
        dtype: the dtype that the neurons compute in; the result is float64.

    >>> thresholds_through_time(torch.tensor([[0.5], [-2.0], [0.0]]), dtype=torch.float32).flatten()
    tensor([ 2.0000e+00, -5.0000e-01,  3.4028e+38], dtype=torch.float64)
    """
    largest = torch.finfo(dtype).max
    return (threshold / scale.double()).clamp(-largest, largest)


def fold_neuron(
    neuron: Neuron, before: Normalisation, *, mean: bool = True, ratio: bool = True, dtype: torch.dtype = torch.float64
) -> FoldedNeuron:
    """Fold a neuron and the normalisation before it into one neuron that takes the plain sum; by default exactly.

    A channel that cannot be divided by its a_t (:func:`frame`) keeps its membrane: leak λ, threshold θ, gain a_t and
    bias ``β_t - a_t μ̄_t``. Without the ratio there is no such frame: where a_t is 0 or too small, the neuron never
    fires and β_t is lost; a soft reset of ``fire_before`` then subtracts the firing threshold, θ / a_{t-1}.

    Args:
        neuron: its leak is a number, or a tensor of one or of C numbers. If it decays its input, ``(1 - λ) a_t`` and
            ``(1 - λ) β_t`` replace a_t and β_t.
        before: the normalisation, tables ``[T, C]``.
        mean: keep μ̄; Eq. 12 drops it. β stays.
        ratio: keep a_{t-1} / a_t in the leak; Eq. 13 drops it.
        dtype: the dtype that the neurons compute in, whose range decides which channels can be divided; the tables are
            float64.

    Returns:
        The folded neuron, tables ``[T, C]`` or ``[1, C]``.

    Raises:
        ValueError: if the normalisation is not finite, or the firing rule or reset is a custom one.

    >>> a, zero = torch.tensor([[1.0], [0.5], [-2.0]]), torch.zeros(3, 1)
    >>> exact = fold_neuron(Neuron(leak=0.5), Normalisation(a, zero, zero))
    >>> exact.leak.flatten(), exact.threshold.flatten(), exact.turned.flatten()
    (tensor([ 0.5000,  1.0000, -0.1250], dtype=torch.float64),
     tensor([ 1.0000,  2.0000, -0.5000], dtype=torch.float64),
     tensor([False, False,  True]))
    >>> fold_neuron(Neuron(leak=0.5), Normalisation(a, zero, zero), mean=False, ratio=False).leak
    tensor([[0.5000]], dtype=torch.float64)
    """
    theta, (scale, centre, shift) = neuron.threshold, (rows.double() for rows in before)
    scale, shift = (rows * _column(neuron.input_gain, rows) for rows in (scale, shift))
    unit = frame(scale, theta, dtype) if ratio else scale
    last = torch.cat([torch.ones_like(unit[:1]), unit[:-1]])
    fires = last if neuron.rule is fire_before else unit
    threshold, taken = (thresholds_through_time(rows, theta, dtype) for rows in (fires, unit))
    lost = taken.abs() > torch.finfo(dtype).max ** 0.5  # never where the ratio stays
    leak = _column(neuron.leak, unit)
    gain = torch.where(unit == scale, 1.0, scale)
    bias = torch.where(lost, 0.0, shift / unit)
    return FoldedNeuron(
        leak=leak * last / unit if ratio else leak,
        threshold=threshold,
        amount=torch.where(lost, threshold, taken),
        gain=gain,
        bias=bias - gain * centre if mean else bias,
        turned=threshold < 0,
        slope=fires.abs(),
        rule=neuron.rule,  # type: ignore[arg-type]  # a rule that needs more of a neuron is custom, and refused
        reset=neuron.reset,
        surrogate=neuron.surrogate,
    )


def _column(value: Leak, rows: Tensor) -> Tensor:
    """Return a number for all channels, or one for each, as ``[1, C]`` in float64, detached."""
    return torch.as_tensor(value, dtype=torch.float64, device=rows.device).detach().reshape(1, -1)
