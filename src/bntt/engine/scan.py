"""The fused scan of a layer over time: normalise, integrate, fire, reset and pool in one pass, and its reverse.

Paper Eq. 4, 9 (forward), 6, 8, 10, 11 (reverse), by the C++ kernels of ``cpu/scan*.inl`` or the Triton kernels of
``triton/kernels.py``; :func:`scan_reference` is the readable twin of both. Activations lie in memory as
``[T, B, H, W, C]``, contiguous; a fully connected layer has H = W = 1. A layer without neurons gives its normalised
current (:func:`drive`), and its reverse is that of the normalisation alone.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import KernelName
from bntt.engine.kernels import open_kernels
from bntt.engine.layer_spec import Affine, PoolSize, Reverse, SpikeGrad
from bntt.ops.folded import AnyNeuron, FoldedNeuron, folded_sequence
from bntt.ops.lif import lif_sequence


def moments(current: Tensor, copy: Tensor | None = None, *, kernels: KernelName = "cpu") -> tuple[Tensor, Tensor]:
    """Return mean and biased variance ``[T, C]`` over all but the first and last axis; ``copy`` receives the values."""
    found: tuple[Tensor, Tensor] = open_kernels(kernels).moments(current, copy)
    return found


def pooled_shape(current: Tensor, window: PoolSize) -> tuple[int, ...]:
    """Return the shape of the counts that a scan over ``current`` outputs."""
    steps, batch, height, width, channels = current.shape
    return steps, batch, height // window[0], width // window[1], channels


def scan(
    current: Tensor,
    affine: Affine,
    neuron: AnyNeuron,
    window: PoolSize,
    counts: Tensor,
    membrane: Tensor | None = None,
    *,
    kernels: KernelName = "cpu",
) -> Tensor:
    """Run all steps of ``current``; write the spikes of every window into ``counts`` (uint8, :func:`pooled_shape`).

    Args:
        neuron: of these steps; a folded one's gain and bias, and 1 - λ if the input decays, are part of ``affine``.
        membrane: ``[B, H, W, C]``, carried in and out; None starts at rest and keeps nothing.

    Returns:
        Spikes per step and channel before the pool, ``[T, C]``, int64.
    """
    fired: Tensor = open_kernels(kernels).scan(current, affine, neuron, window, counts, membrane)
    return fired


def scan_sums(reverse: Reverse, *, leak: bool = False, kernels: KernelName = "cpu") -> Tensor:
    """Return dL/dβ and dL/dγ (Eq. 11): sums over rows of g = dL/dz and of g x̂, ``[2, T, C]``, float64."""
    if reverse.neuron is None:
        return _drive_sums(reverse)
    sums: Tensor = open_kernels(kernels).reverse_sums(reverse, leak=leak)
    return sums


def scan_reverse(
    reverse: Reverse, out: Tensor, offset: Tensor | None, slope: Tensor | None, *, kernels: KernelName = "cpu"
) -> None:
    """Write dL/d(current), ``scale g - offset - slope (current - mean)``, to ``out``, which may be ``reverse.current``.

    Args:
        offset, slope: Eq. 10's, ``[T, C]``, from :func:`scan_sums`; None if mean and variance were given, so that an
            infinite current has the surrogate's gradient, 0, and not 0 times infinity.
    """
    if reverse.neuron is None:
        _drive_reverse(reverse, offset, slope, out)
    else:
        open_kernels(kernels).reverse_current(reverse, offset, slope, out)


def drive(current: Tensor, affine: Affine, out: Tensor) -> None:
    """Write ``z = scale (current - mean) + shift`` into ``out``, float32."""
    for t, values in enumerate(current):
        torch.sub(values, affine.mean[t], out=out[t]).mul_(affine.scale[t]).add_(affine.shift[t])


def _drive_sums(reverse: Reverse) -> Tensor:
    inverse, current = reverse.inverse, reverse.current
    sums = torch.empty(2, *inverse.shape, dtype=torch.float64, device=current.device)
    for t, values in enumerate(current):
        g = _drive_grad(reverse.grad, t)
        sums[0, t] = g.sum((0, 1, 2))
        sums[1, t] = (g * (values - reverse.affine.mean[t])).sum((0, 1, 2)) * inverse[t]
    return sums


def _drive_reverse(reverse: Reverse, offset: Tensor | None, slope: Tensor | None, out: Tensor) -> None:
    affine = reverse.affine
    for t, values in enumerate(reverse.current):
        grad = _drive_grad(reverse.grad, t) * affine.scale[t]
        if offset is not None and slope is not None:
            grad -= (values - affine.mean[t]).mul_(slope[t]).add_(offset[t])
        out[t] = grad


def _drive_grad(grad: SpikeGrad, t: int) -> Tensor:
    g = grad.values[t if len(grad.values) > 1 else 0].float()
    return g if grad.scale == 1 else g * grad.scale


def scan_reference(
    current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize, membrane: Tensor | None = None
) -> Tensor:
    """Return the mean spikes of every window: the twin of :func:`scan` in plain PyTorch, differentiable."""

    def over(rows: Tensor) -> Tensor:
        return rows[:, None, None, None, :]

    drive = (current - over(affine.mean)) * over(affine.scale) + over(affine.shift)
    if isinstance(neuron, FoldedNeuron):
        start = None if membrane is None else membrane.movedim(-1, 1)
        spikes = folded_sequence(drive.movedim(-1, 2), start, neuron)[0].movedim(2, -1)
    else:
        spikes, _ = lif_sequence(drive, membrane, replace(neuron, decay_input=False))
    images = spikes.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(images, window).permute(0, 2, 3, 1)
    return pooled.reshape(*current.shape[:2], *pooled.shape[1:])
