"""The fused scan of a layer over time: normalise, integrate, fire, reset and pool in one pass, and its reverse.

Paper Eq. 4, 9 (forward), 6, 8, 10, 11 (reverse), by the C++ kernels of ``_cpu/scan*.inl`` or the Triton kernels of
``_triton/kernels.py``; :func:`scan_reference` is the readable twin of both. Activations lie in memory as
``[T, B, H, W, C]``, contiguous; a fully connected layer has H = W = 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import KernelName
from bntt.engine.kernels import open_kernels
from bntt.engine.neuron import Affine, Reverse, Window
from bntt.ops.lif import Neuron, lif_sequence


def moments(current: Tensor, copy: Tensor | None = None, *, kernels: KernelName = "cpu") -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[T, C]`` over all but the first and last axis; ``copy`` takes the values on the way.

    >>> mean, var = moments(torch.tensor([[[[[1.0]]], [[[3.0]]]]]))
    >>> mean, var
    (tensor([[2.]]), tensor([[1.]]))
    """
    return open_kernels(kernels).moments(current, copy)


def pooled_shape(current: Tensor, window: Window) -> tuple[int, ...]:
    """The shape of the counts that a scan over ``current`` gives.

    >>> pooled_shape(torch.empty(4, 2, 5, 5, 8), (2, 2))
    (4, 2, 2, 2, 8)
    """
    steps, batch, height, width, channels = current.shape
    return steps, batch, height // window[0], width // window[1], channels


def scan(
    current: Tensor,
    affine: Affine,
    neuron: Neuron,
    window: Window,
    counts: Tensor,
    membrane: Tensor | None = None,
    *,
    kernels: KernelName = "cpu",
) -> Tensor:
    """Run all steps of ``current``; write the spikes of every window into ``counts`` (uint8, :func:`pooled_shape`).

    Args:
        membrane: ``[B, H, W, C]``, carried in and out; None starts at rest and keeps nothing.

    Returns:
        Spikes per step and channel before the pool, ``[T, C]``, int64.
    """
    return open_kernels(kernels).scan(current, affine, neuron, window, counts, membrane)


def scan_reverse(
    current: Tensor,
    affine: Affine,
    inverse: Tensor,
    neuron: Neuron,
    window: Window,
    grad_spikes: Tensor,
    grad_scale: float,
    out: Tensor,
    *,
    batch_statistics: bool,
    membrane: Tensor | None = None,
    carry: Tensor | None = None,
    kernels: KernelName = "cpu",
) -> tuple[Tensor, Tensor]:
    """The gradient of :func:`scan` towards current, scale and shift.

    Args:
        inverse: ``1 / √(σ² + ε)``, ``[T, C]``.
        grad_spikes: dL/d(pooled spikes) / grad_scale, ``[T, B, H', W', C]``, or ``[1, ...]`` where all steps share it.
        grad_scale: a factor of the gradient, without the window's 1 / area.
        out: takes dL/d(current); it may be ``current`` itself.
        batch_statistics: whether mean and variance were this batch's (Eq. 10) or given ones.
        membrane: what :func:`scan` started from, ``[B, H, W, C]``; None is rest. It is left as it is.
        carry: dL/d(membrane after the last step), ``[B, H, W, C]``; it becomes the one before the first step. None:
            no later step follows.

    Returns:
        ``(dL/dβ, dL/dγ)``: sums over rows of g = dL/dz and of g x̂ (Eq. 11), ``[T, C]``, float64.
    """
    door, scale = open_kernels(kernels), grad_scale / (window[0] * window[1])
    reverse = Reverse(current, affine, inverse, neuron, window, grad_spikes, scale, membrane, carry)
    sum_grad, sum_product = door.reverse_sums(reverse)
    if batch_statistics:  # Eq. 10: a (g - mean(g) - x̂ mean(g x̂))
        rows = current[0].numel() // current.shape[-1]
        offset = (affine.scale * (sum_grad / rows)).float()
        slope = (affine.scale * inverse * (sum_product / rows)).float()
    else:
        offset, slope = torch.zeros_like(inverse), torch.zeros_like(inverse)
    door.reverse_current(reverse, offset, slope, out)
    return sum_grad, sum_product


def scan_reference(
    current: Tensor, affine: Affine, neuron: Neuron, window: Window, membrane: Tensor | None = None
) -> Tensor:
    """The twin of :func:`scan` in plain PyTorch, differentiable: mean spikes of every window.

    >>> one = torch.ones(1, 1)
    >>> scan_reference(torch.full((1, 1, 2, 2, 1), 2.0), Affine(0 * one, one, 0 * one), Neuron(), (2, 2)).item()
    1.0
    """

    def over(rows: Tensor) -> Tensor:
        return rows[:, None, None, None, :]

    drive = (current - over(affine.mean)) * over(affine.scale) + over(affine.shift)
    spikes, _ = lif_sequence(drive, membrane, neuron)
    images = spikes.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(images, window).permute(0, 2, 3, 1)
    return pooled.reshape(*current.shape[:2], *pooled.shape[1:])
