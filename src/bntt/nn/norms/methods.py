"""The published methods by name: :class:`~bntt.nn.TemporalNorm` with statistics and affine of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bntt.nn.norms.temporal import LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.ops.pooling import AllSteps, Window


def BNTT(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """Batch Normalization Through Time (Kim & Panda 2021, Eq. 9): own statistics and own γ at every step, no β.

    >>> import torch
    >>> norm = BNTT(8, num_steps=5)
    >>> y, _ = norm(torch.randn(5, 2, 8, 4, 4))
    >>> y.shape, norm.gamma.shape
    (torch.Size([5, 2, 8, 4, 4]), torch.Size([5, 8]))
    """
    return TemporalNorm(channels, num_steps, NormMethod("BNTT"), eps=eps, momentum=momentum)


def ScaledBNTT(
    channels: int,
    num_steps: int,
    *,
    alpha: float = 1.0,
    threshold: float = 1.0,
    eps: float = 1e-4,
    momentum: float = 0.1,
) -> TemporalNorm:
    """BNTT whose normalised input is scaled by α θ, as tdBN does, so that the drive has the threshold's size.

    >>> ScaledBNTT(8, num_steps=5, alpha=0.5, threshold=2.0).scale
    1.0
    """
    method = NormMethod("ScaledBNTT")
    return TemporalNorm(channels, num_steps, method, scale=alpha * threshold, eps=eps, momentum=momentum)


def BetaBNTT(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """BNTT with the shift β that the paper leaves away, one for each step as γ is.

    >>> BetaBNTT(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """
    return TemporalNorm(channels, num_steps, NormMethod("BetaBNTT", beta=True), eps=eps, momentum=momentum)


def TDBN(
    channels: int,
    num_steps: int,
    *,
    alpha: float = 1.0,
    threshold: float = 1.0,
    eps: float = 1e-4,
    momentum: float = 0.1,
) -> TemporalNorm:
    """tdBN (Zheng et al. 2021): statistics over batch, space and time, ``y = γ · αθ x̂ + β``, all shared over time.

    >>> TDBN(8, num_steps=5).running_mean.shape
    torch.Size([1, 8])
    """
    method = NormMethod("tdBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)
    return TemporalNorm(channels, num_steps, method, scale=alpha * threshold, eps=eps, momentum=momentum)


def TEBN(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """TEBN (Duan et al. 2022): statistics over time as well, ``y_t = p_t (γ x̂_t + β)`` with a learned scalar p_t.

    >>> TEBN(8, num_steps=5).step_scale.shape
    torch.Size([5])
    """
    method = NormMethod("TEBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True, step_power=1)
    return TemporalNorm(channels, num_steps, method, eps=eps, momentum=momentum)


def TAB(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """TAB (Jiang et al. 2024): statistics over steps 0..t, ``y_t = p_t² (γ_t x̂_t + β_t)``; p enters squared, as in
    the authors' code.

    >>> TAB(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """
    method = NormMethod("TAB", pooling=Window(None), beta=True, step_power=2)
    return TemporalNorm(channels, num_steps, method, eps=eps, momentum=momentum)


def SharedBN(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """Standard BN called at every step (the paper's "Baseline + standard BN"): each step is normalised by its own
    batch, one γ, one β and one pair of running statistics serve all, updated T times an iteration.

    >>> SharedBN(8, num_steps=5).gamma.shape
    torch.Size([1, 8])
    """
    method = NormMethod("SharedBN", shared_running=True, shared_gamma=True, beta=True)
    return TemporalNorm(channels, num_steps, method, eps=eps, momentum=momentum)


def PooledBN(channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> TemporalNorm:
    """Standard BN with time folded into the batch: statistics over all steps at once, one update an iteration.

    >>> PooledBN(8, num_steps=5).running_var.shape
    torch.Size([1, 8])
    """
    method = NormMethod("PooledBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)
    return TemporalNorm(channels, num_steps, method, eps=eps, momentum=momentum)


NormBuilder = Callable[[int, int, float], nn.Module]
"""``(channels, num_steps, threshold)`` → a norm, which is a stage."""

NORMS: dict[str, NormBuilder] = {
    "bntt": lambda channels, num_steps, threshold: BNTT(channels, num_steps),
    "bntt-scaled": lambda channels, num_steps, threshold: ScaledBNTT(channels, num_steps, threshold=threshold),
    "tdbn": lambda channels, num_steps, threshold: TDBN(channels, num_steps, threshold=threshold),
    "tebn": lambda channels, num_steps, threshold: TEBN(channels, num_steps),
    "tab": lambda channels, num_steps, threshold: TAB(channels, num_steps),
    "bntt-beta": lambda channels, num_steps, threshold: BetaBNTT(channels, num_steps),
    "bn": lambda channels, num_steps, threshold: SharedBN(channels, num_steps),
    "bn-pooled": lambda channels, num_steps, threshold: PooledBN(channels, num_steps),
    "layer": lambda channels, num_steps, threshold: LayerNorm(channels),
    "none": lambda channels, num_steps, threshold: NoNorm(),
}
"""The names that builders and recipes know."""
