"""The fused scan of a layer over time: normalise, integrate, fire, reset and pool in one pass, and its reverse.

Paper Eq. 4, 9 (forward), 6, 8, 10, 11 (reverse), by the C++ kernels of ``_cpu/scan*.inl`` or the Triton kernels of
``_triton/kernels.py``; :func:`scan_reference` is the readable twin of both. Activations lie in memory as
``[T, B, H, W, C]``, contiguous; a fully connected layer has H = W = 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import KernelName, Reduce
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
    reverse: Reverse, out: Tensor, *, rows: int | None, reduce: Reduce | None = None, kernels: KernelName = "cpu"
) -> tuple[Tensor, Tensor]:
    """The gradient of :func:`scan` towards current, scale and shift.

    Args:
        out: takes dL/d(current); it may be ``reverse.current`` itself.
        rows: how many values each mean and variance was taken over (Eq. 10), in all processes; None: they were given.
        reduce: adds sums up over processes, see :class:`~bntt.engine.compute.Compute`; called once, under Eq. 10.

    Returns:
        ``(dL/dβ, dL/dγ)``: sums over rows of g = dL/dz and of g x̂ (Eq. 11), ``[T, C]``, float64; of this process.
    """
    door, affine, inverse = open_kernels(kernels), reverse.affine, reverse.inverse
    sum_grad, sum_product = door.reverse_sums(reverse)
    if rows is None:
        offset, slope = torch.zeros_like(inverse), torch.zeros_like(inverse)
    else:  # Eq. 10: a (g - mean(g) - x̂ mean(g x̂))
        of_all = (sum_grad, sum_product) if reduce is None else reduce(torch.stack((sum_grad, sum_product)))
        offset = (affine.scale * (of_all[0] / rows)).float()
        slope = (affine.scale * inverse * (of_all[1] / rows)).float()
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
