"""The fused scan of a layer over time: normalise, integrate, fire, reset and pool in one pass, and its reverse.

Paper Eq. 4, 9 (forward), 6, 8, 10, 11 (reverse), by the C++ kernels of ``_cpu/scan.inl``; :func:`scan_reference` is
the readable twin. Activations lie in memory as ``[T, B, H, W, C]``, contiguous; a fully connected layer has H = W = 1.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.ops._cpu.library import Scan, run
from bntt.ops.lif import fire_after, fire_before, hard_reset, lif_sequence, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

Window = tuple[int, int]
"""Height and width of an average pooling window, its stride too; (1, 1) is no pooling."""


@dataclass(frozen=True)
class Neuron:
    """What the kernels know of a LIF neuron (see :mod:`bntt.ops.lif`)."""

    leak: float = 0.95
    threshold: float = 1.0
    fire_before: bool = False
    hard_reset: bool = False
    surrogate: Triangle | FastSigmoid | ArcTan = Triangle()


@dataclass(frozen=True)
class Affine:
    """A normalisation with known statistics: ``z = scale (current - mean) + shift``, each ``[T, C]``, float32."""

    mean: Tensor
    scale: Tensor
    shift: Tensor

    def steps(self, first: int, last: int) -> Affine:
        return Affine(self.mean[first:last], self.scale[first:last], self.shift[first:last])


def moments(current: Tensor, copy: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[T, C]`` over all but the first and last axis; ``copy`` takes the values on the way.

    >>> mean, var = moments(torch.tensor([[[[[1.0]]], [[[3.0]]]]]))
    >>> mean, var
    (tensor([[2.]]), tensor([[1.]]))
    """
    steps, channels = current.shape[0], current.shape[-1]
    mean, var = current.new_empty(steps, channels), current.new_empty(steps, channels)
    rows = current[0].numel() // channels
    threads = torch.get_num_threads()
    run("bntt_moments", _at(current), steps, rows, channels, _at(copy), _at(mean), _at(var), threads)
    return mean, var


def pooled_shape(current: Tensor, window: Window) -> tuple[int, ...]:
    """The shape of the counts that a scan over ``current`` gives.

    >>> pooled_shape(torch.empty(4, 2, 5, 5, 8), (2, 2))
    (4, 2, 2, 2, 8)
    """
    steps, batch, height, width, channels = current.shape
    return steps, batch, height // window[0], width // window[1], channels


def scan(
    current: Tensor, affine: Affine, neuron: Neuron, window: Window, counts: Tensor, membrane: Tensor | None = None
) -> Tensor:
    """Run all steps of ``current``; write the spikes of every window into ``counts`` (uint8, :func:`pooled_shape`).

    Args:
        membrane: ``[B, H, W, C]``, carried in and out; None starts at rest and keeps nothing.

    Returns:
        Spikes per step and channel before the pool, ``[T, C]``, int64.
    """
    fired = torch.empty(current.shape[0], current.shape[-1], dtype=torch.int64)
    job = _job(current, affine, neuron, window)
    job.counts, job.fired, job.membrane = _at(counts), _at(fired), _at(membrane)
    run("bntt_scan_forward", ctypes.byref(job))
    return fired


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
) -> tuple[Tensor, Tensor]:
    """The gradient of :func:`scan`, from rest, towards current, scale and shift.

    Args:
        inverse: ``1 / √(σ² + ε)``, ``[T, C]``.
        grad_spikes: dL/d(pooled spikes) / grad_scale, ``[T, B, H', W', C]``, or ``[1, ...]`` where all steps share it.
        grad_scale: a factor of the gradient, without the window's 1 / area.
        out: takes dL/d(current); it may be ``current`` itself.
        batch_statistics: whether mean and variance were this batch's (Eq. 10) or given ones.

    Returns:
        ``(dL/dβ, dL/dγ)``: sums over rows of g = dL/dz and of g x̂ (Eq. 11), ``[T, C]``, float64.
    """
    steps, channels = current.shape[0], current.shape[-1]
    job = _job(current, affine, neuron, window)
    sum_grad, sum_product = (torch.empty(steps, channels, dtype=torch.float64) for _ in range(2))
    job.grad_spikes, job.grad_scale = _at(grad_spikes), grad_scale / (window[0] * window[1])
    job.grad_step = 0 if len(grad_spikes) == 1 else grad_spikes.stride(0)
    job.inverse, job.sum_grad, job.sum_product = _at(inverse), _at(sum_grad), _at(sum_product)
    run("bntt_scan_sums", ctypes.byref(job))
    if batch_statistics:  # Eq. 10: a (g - mean(g) - x̂ mean(g x̂))
        rows = current[0].numel() // channels
        offset = (affine.scale * (sum_grad / rows)).float()
        slope = (affine.scale * inverse * (sum_product / rows)).float()
    else:
        offset, slope = torch.zeros_like(inverse), torch.zeros_like(inverse)
    job.offset, job.slope, job.grad_current = _at(offset), _at(slope), _at(out)
    run("bntt_scan_backward", ctypes.byref(job))
    return sum_grad, sum_product


def scan_reference(current: Tensor, affine: Affine, neuron: Neuron, window: Window) -> Tensor:
    """The twin of :func:`scan` in plain PyTorch, differentiable: mean spikes of every window.

    >>> one = torch.ones(1, 1)
    >>> scan_reference(torch.full((1, 1, 2, 2, 1), 2.0), Affine(0 * one, one, 0 * one), Neuron(), (2, 2)).item()
    1.0
    """

    def over(rows: Tensor) -> Tensor:
        return rows[:, None, None, None, :]

    drive = (current - over(affine.mean)) * over(affine.scale) + over(affine.shift)
    spikes, _ = lif_sequence(
        drive,
        leak=neuron.leak,
        threshold=neuron.threshold,
        rule=fire_before if neuron.fire_before else fire_after,
        reset=hard_reset if neuron.hard_reset else soft_reset,
        surrogate=neuron.surrogate,
    )
    images = spikes.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(images, window).permute(0, 2, 3, 1)
    return pooled.reshape(*current.shape[:2], *pooled.shape[1:])


def _job(current: Tensor, affine: Affine, neuron: Neuron, window: Window) -> Scan:
    steps, images, height, width, channels = current.shape
    kind, first, second = _surrogate(neuron)
    return Scan(
        current=_at(current),
        mean=_at(affine.mean),
        scale=_at(affine.scale),
        shift=_at(affine.shift),
        steps=steps,
        images=images,
        height=height,
        width=width,
        channels=channels,
        window_height=window[0],
        window_width=window[1],
        leak=neuron.leak,
        threshold=neuron.threshold,
        surrogate_first=first,
        surrogate_second=second,
        fire_before=neuron.fire_before,
        hard_reset=neuron.hard_reset,
        surrogate=kind,
        threads=torch.get_num_threads(),
    )


def _surrogate(neuron: Neuron) -> tuple[int, float, float]:
    """The kernels' number of a surrogate and its two constants."""
    kind = neuron.surrogate
    if isinstance(kind, Triangle):
        return 0, kind.scale, 0.0
    if isinstance(kind, FastSigmoid):
        return 1, kind.scale, kind.slope
    return 2, kind.alpha / 2, torch.pi / 2 * kind.alpha


def _at(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return tensor.data_ptr()
