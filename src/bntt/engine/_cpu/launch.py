"""The scans of :mod:`bntt.engine.scan` by the compiled kernels."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from bntt.engine._cpu.library import Scan, call
from bntt.engine.neuron import Affine, PoolSize, Reverse, neuron_tables, surrogate_constants
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.lif import fire_before, hard_reset


def moments(current: Tensor, copy: Tensor | None) -> tuple[Tensor, Tensor]:
    """See :func:`bntt.engine.scan.moments`."""
    steps, channels = current.shape[0], current.shape[-1]
    mean, var = torch.empty(steps, channels), torch.empty(steps, channels)
    rows, threads = current[0].numel() // channels, torch.get_num_threads()
    call("bntt_moments", _at(current), steps, rows, channels, _at(copy), _at(mean), _at(var), _bf16(current), threads)
    return mean, var


def scan(
    current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize, counts: Tensor, membrane: Tensor | None
) -> Tensor:
    """See :func:`bntt.engine.scan.scan`."""
    fired = torch.empty(current.shape[0], current.shape[-1], dtype=torch.int64)
    job = _job(current, affine, neuron, window)
    job.counts, job.fired, job.membrane = _at(counts), _at(fired), _at(membrane)
    call("bntt_scan_forward", ctypes.byref(job))
    return fired


def reverse_sums(reverse: Reverse, *, leak: bool) -> Tensor:
    """Sums over rows of g, of g x̂, and of dL/dλ if it is wanted, ``[2 or 3, T, C]``, float64."""
    steps, channels = reverse.current.shape[0], reverse.current.shape[-1]
    sums = torch.empty(3 if leak else 2, steps, channels, dtype=torch.float64)
    job = _reverse_job(reverse)
    job.sum_grad, job.sum_product = _at(sums[0]), _at(sums[1])
    job.sum_leak = _at(sums[2]) if leak else None
    call("bntt_scan_sums", ctypes.byref(job))
    return sums


def reverse_current(reverse: Reverse, offset: Tensor, slope: Tensor, out: Tensor) -> None:
    """``scale g - offset - slope (current - mean)`` into ``out``; the carry moves on."""
    job = _reverse_job(reverse)
    job.offset, job.slope, job.grad_current = _at(offset), _at(slope), _at(out)
    call("bntt_scan_backward", ctypes.byref(job))


def _reverse_job(reverse: Reverse) -> Scan:
    job = _job(reverse.current, reverse.affine, reverse.neuron, reverse.window)
    job.grad_spikes, job.grad_scale = _at(reverse.grad_spikes), reverse.grad_scale
    job.grad_step = 0 if len(reverse.grad_spikes) == 1 else reverse.grad_spikes.stride(0)
    job.inverse, job.membrane, job.carry = _at(reverse.inverse), _at(reverse.membrane), _at(reverse.carry)
    return job


def _job(current: Tensor, affine: Affine, neuron: AnyNeuron, window: PoolSize) -> Scan:
    steps, images, height, width, channels = current.shape
    kind, _, second = surrogate_constants(neuron)
    tables = neuron_tables(neuron, channels)
    assert len(tables.leak) in (1, steps)
    job = Scan(
        current=_at(current),
        mean=_at(affine.mean),
        scale=_at(affine.scale),
        shift=_at(affine.shift),
        **{name: _at(table) for name, table in tables._asdict().items()},
        neuron_step=tables.step,
        steps=steps,
        images=images,
        height=height,
        width=width,
        channels=channels,
        window_height=window[0],
        window_width=window[1],
        surrogate_second=second,
        fire_before=neuron.rule is fire_before,
        hard_reset=neuron.reset is hard_reset,
        surrogate=kind,
        threads=torch.get_num_threads(),
        bf16=_bf16(current),
    )
    if not isinstance(neuron, FoldedNeuron):
        job.sign = None
    job.held = tables  # for as long as the job points at it
    return job


def _bf16(current: Tensor) -> bool:
    assert current.dtype in (torch.float32, torch.bfloat16)
    return current.dtype == torch.bfloat16


def _at(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return tensor.data_ptr()
