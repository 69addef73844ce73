"""The fused scan of a layer over time by the compiled kernels, its readable twin, and rate coding.

One pass normalises, integrates, fires, resets, pools (paper Eq. 4, 9); its reverse is Eq. 6, 8, 10, 11: ``scan*.inl``.
``triton/launch.py`` has the same functions; :func:`scan_reference` is the twin of both. Activations lie in memory as
``[T, B, H, W, C]``, contiguous; a fully connected layer has H = W = 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8
from torch import Tensor

from bntt.engine.cpu.library import Rectify, Scan, call
from bntt.engine.layer_spec import Affine, PoolSize, Reverse, neuron_tables, surrogate_constants
from bntt.ops.folded import AnyNeuron, FoldedNeuron, folded_sequence
from bntt.ops.lif import fire_before, hard_reset, lif_sequence

CPU = torch.device("cpu")
F32, F64, I64, U8 = torch.float32, torch.float64, torch.int64, torch.uint8


def moments(current: Tensor, copy: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance ``[T, C]`` over all but the first and last axis; ``copy`` receives the values."""
    steps, channels, size, dtype = current.shape[0], current.shape[-1], current.numel(), current.dtype
    mean, var = (torch.empty(steps, channels, dtype=F32, device=CPU) for _ in range(2))
    tables = ((table, F32, steps * channels) for table in (mean, var))
    rows, threads = size // (steps * channels), torch.get_num_threads()
    values = (current, dtype, size), steps, rows, channels, (copy, dtype, size)
    call("bntt_moments", *values, *tables, _is_bf16(current), threads)
    return mean, var


def scan(
    current: Tensor,
    affine: Affine,
    neuron: AnyNeuron,
    window: PoolSize,
    counts: Tensor,
    membrane: Tensor | None = None,
) -> Tensor:
    """Write the spikes of every window into ``counts`` (uint8); return those before the pool, ``[T, C]``, int64.

    The membrane, ``[B, H, W, C]``, is carried in and out; None starts at rest and keeps nothing. A folded neuron's gain
    and bias, and 1 - λ if the input decays, are part of ``affine``.
    """
    fired = torch.empty(current.shape[0], current.shape[-1], dtype=I64, device=CPU)
    job = scan_job(current, affine, neuron, window, counts, fired)
    job.give(membrane=(membrane, F32, current.numel() // current.shape[0]))
    call("bntt_scan_forward", job)
    return fired


def scan_job(
    current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize, counts: Tensor, fired: Tensor
) -> Scan:
    """Return the job of a scan without its membrane; ``fired`` is what :func:`scan` returns."""
    job = _job(current, affine, neuron, window)
    job.give(counts=(counts, U8, _pooled(current, window)))
    job.give(fired=(fired, I64, current.shape[0] * current.shape[-1]))
    return job


def scan_sums(reverse: Reverse, *, leak: bool = False) -> Tensor:
    """Return sums over rows of g = dL/dz, of g x̂ (Eq. 11), and of dL/dλ if wanted, ``[2 or 3, T, C]``, float64."""
    steps, channels = reverse.current.shape[0], reverse.current.shape[-1]
    sums = torch.empty(3 if leak else 2, steps, channels, dtype=F64, device=CPU)
    job = _reverse_job(reverse)
    for name, rows in zip(("sum_grad", "sum_product", "sum_leak"), sums, strict=False):
        job.give(**{name: (rows, F64, steps * channels)})
    call("bntt_scan_sums", job)
    return sums


def scan_reverse(reverse: Reverse, out: Tensor, offset: Tensor | None, slope: Tensor | None) -> None:
    """Write dL/d(current), ``scale g - offset - slope (current - mean)``, to ``out``, and advance the carry.

    Offset and slope are Eq. 10's; None if mean and variance were given, so that an infinite current has the surrogate's
    gradient, 0, and not 0 times infinity. ``out`` may be the current.
    """
    current, job = reverse.current, _reverse_job(reverse)
    rows = current.shape[0] * current.shape[-1]
    job.give(offset=(offset, F32, rows))
    job.give(slope=(slope, F32, rows))
    job.give(grad_current=(out, current.dtype, current.numel()))
    call("bntt_scan_backward", job)


def scan_reference(
    current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize, membrane: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean spikes of every window, and the last membrane: :func:`scan` in plain PyTorch, differentiable."""

    def over(rows: Tensor) -> Tensor:
        return rows[:, None, None, None, :]

    drive = (current - over(affine.mean)) * over(affine.scale) + over(affine.shift)
    if isinstance(neuron, FoldedNeuron):
        start = None if membrane is None else membrane.movedim(-1, 1)
        spikes, end = folded_sequence(drive.movedim(-1, 2), start, neuron)
        spikes, end = spikes.movedim(2, -1), end.movedim(1, -1)
    else:
        spikes, end = lif_sequence(drive, membrane, replace(neuron, decay_input=False))
    pooled = F.avg_pool2d(spikes.flatten(0, 1).permute(0, 3, 1, 2), window).permute(0, 2, 3, 1)
    return pooled.reshape(*current.shape[:2], *pooled.shape[1:]), end


def rectify(current: Tensor, affine: Affine, window: PoolSize, floor: float) -> Tensor:
    """Normalise one step of an ANN's layer, raise values below ``floor`` to it, and average over windows."""
    images, height, width, channels = current.shape
    out = torch.empty(images, height // window[0], width // window[1], channels, dtype=F32, device=CPU)
    call("bntt_rectify", _rectify_job(current, affine, window, floor, out=(out, F32, out.numel())))
    return out


def rectify_reverse(
    current: Tensor,
    affine: Affine,
    window: PoolSize,
    floor: float,
    grad: Tensor,
    inverse: Tensor,
    *,
    batch: bool,
    wants: tuple[bool, bool] = (True, True),
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradient of a current, and dL/dβ and dL/dγ, ``[2, 1, C]``, each if it is wanted, of :func:`rectify`.

    With ``batch`` mean and variance are the current's own, and gradients pass through them (Eq. 10).
    """
    out = torch.empty_like(current) if wants[0] else None
    sums = torch.empty(2, 1, current.shape[-1], dtype=F32, device=CPU) if wants[1] else None
    job = _rectify_job(current, affine, window, floor, batch=batch)
    job.give(grad=(grad, F32, _pooled(current[None], window)), inverse=(inverse, F32, current.shape[-1]))
    job.give(sums=(sums, F32, 2 * current.shape[-1]), grad_current=(out, F32, current.numel()))
    call("bntt_rectify_backward", job)
    return out, sums


def poisson_bytes(x: Float[Tensor, "B C H W"], keys: Int[Tensor, "T B"], *, signed: bool) -> Int8[Tensor, "T B C H W"]:
    """Draw the spikes of :mod:`bntt.ops.poisson` for these step keys by the compiled kernels."""
    pixels, keys = x.contiguous(), keys.contiguous()
    batch, channels, height, width = x.shape
    spikes = torch.empty(len(keys), batch, height, width, channels, dtype=torch.int8, device=CPU)
    buffers = (
        (pixels, F32, batch * channels * height * width),
        (keys, I64, len(keys) * batch),
        (spikes, torch.int8, len(keys) * batch * channels * height * width),
    )
    call("bntt_poisson", *buffers, len(keys), batch, channels, height * width, signed, torch.get_num_threads())
    return spikes.permute(0, 1, 4, 2, 3)


def _reverse_job(reverse: Reverse) -> Scan:
    """Return the job of both reverse scans, which read the same and write into fields of their own."""
    if reverse.made:
        made: Scan = reverse.made[0]
        return made
    current, grad = reverse.current, reverse.grad.values
    neuron: Any = reverse.neuron  # a layer without neurons goes back without kernels
    job = _job(current, reverse.affine, neuron, reverse.window)
    steps = current.shape[0]
    step, neurons = _pooled(current, reverse.window) // steps, current.numel() // steps
    shared = grad.shape[0] == 1
    job.grad_scale, job.grad_step = reverse.grad_scale, 0 if shared else step
    job.give(grad_spikes=(grad, current.dtype, step if shared else step * steps))
    job.give(inverse=(reverse.inverse, F32, steps * current.shape[-1]))
    job.give(membrane=(reverse.membrane, F32, neurons))
    job.give(carry=(reverse.carry, F32, neurons))
    reverse.made.append(job)
    return job


def _job(current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize) -> Scan:
    steps, images, height, width, channels = current.shape
    kind, _, second = surrogate_constants(neuron)
    tables, table = neuron_tables(neuron, channels, CPU), steps * channels
    rows = channels if tables.step == 0 else table
    job = Scan.over(
        current.shape,
        window,
        current=(current, current.dtype, table * images * height * width),
        mean=(affine.mean, F32, table),
        scale=(affine.scale, F32, table),
        shift=(affine.shift, F32, table),
        **{name: (values, F32, rows) for name, values in tables._asdict().items()},
        neuron_step=tables.step,
        surrogate_second=second,
        fire_before=neuron.rule is fire_before,
        hard_reset=neuron.reset is hard_reset,
        surrogate=kind,
        threads=torch.get_num_threads(),
        bf16=_is_bf16(current),
    )
    if not isinstance(neuron, FoldedNeuron):
        job.sign = None
    return job


def _rectify_job(current: Tensor, affine: Affine, window: PoolSize, floor: float, **more: Any) -> Rectify:
    sizes = dict(zip(("images", "height", "width", "channels"), current.shape, strict=True))
    tables = {name: (getattr(affine, name), F32, current.shape[-1]) for name in ("mean", "scale", "shift")}
    job = Rectify(current=(current, F32, current.numel()), floor=floor, threads=torch.get_num_threads(), **sizes)
    job.give(window_height=window[0], window_width=window[1], worth=1 / (window[0] * window[1]), **tables, **more)
    return job


def _pooled(current: Tensor, window: PoolSize) -> int:
    """Return the number of windows over all steps."""
    steps, images, height, width, channels = current.shape
    return steps * images * (height // window[0]) * (width // window[1]) * channels


def _is_bf16(current: Tensor) -> bool:
    if current.dtype not in (F32, torch.bfloat16):
        raise TypeError(f"a kernel takes currents for float32 or bfloat16, got {current.dtype}")
    return current.dtype == torch.bfloat16
