"""The functions of ``cpu/launch.py`` for scans by the Triton kernels: on a GPU, or in their interpreter."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from bntt.engine.layer_spec import Affine, PoolSize, Reverse, neuron_tables, surrogate_constants
from bntt.engine.triton import kernels
from bntt.ops.folded import AnyNeuron
from bntt.ops.lif import fire_before, hard_reset

TILE = 1024
"""Neurons of a tile, 8 for each thread of 4 warps: compiled for an H100 the reverse scan takes 150 registers, none of
them spilled; with twice the size it spills."""
SPAN = 16
"""Steps whose potentials a reverse sweep holds at a time."""
CHUNK = 1024
"""Rows whose statistics are summed in float32, before float64 takes over."""
SHIFT_ROWS = 64
"""Number of first rows whose mean is the centre of the statistics."""


def moments(current: Tensor, copy: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """See :func:`bntt.engine.cpu.launch.moments`."""
    steps, channels = current.shape[0], current.shape[-1]
    rows = current[0].numel() // channels
    if copy is not None:
        copy.copy_(current)
    shift = current.reshape(steps, rows, channels)[:, :SHIFT_ROWS].float().mean(1)
    chunks, block = triton.cdiv(rows, CHUNK), min(64, triton.next_power_of_2(channels))
    partial = torch.empty(chunks, 2, steps, channels, dtype=torch.float32, device=current.device)
    grid = (chunks, steps, triton.cdiv(channels, block))
    with _on(current):
        kernels.moments[grid](current, shift, partial, steps, rows, channels, CHUNK, ROWS=32, CHANNELS=block)
    first, second = partial.double().sum(0) / rows
    return (shift + first).float(), (second - first.square()).clamp(min=0).float()


def scan(
    current: Tensor,
    affine: Affine,
    neuron: AnyNeuron,
    window: PoolSize,
    counts: Tensor,
    membrane: Tensor | None = None,
) -> Tensor:
    """See :func:`bntt.engine.cpu.launch.scan`."""
    steps, images, height, width, channels = current.shape
    fired = torch.zeros(steps, channels, dtype=torch.int32, device=current.device)
    tiles, tile = _tiles(current, window)
    rule = neuron_tables(neuron, channels, current.device)
    with _on(current):
        kernels.scan_forward[(tiles, triton.cdiv(channels, tile["CHANNELS"]))](
            current,
            *(affine.mean, affine.scale, affine.shift),
            current if membrane is None else membrane,
            counts,
            fired,
            *(rule.leak, rule.step, rule.leak.numel()),
            *(steps, images, height, width, channels),
            **tile,
            BEFORE=neuron.rule is fire_before,
            HARD=neuron.reset is hard_reset,
            CARRIED=membrane is not None,
        )
    return fired.long()


def scan_sums(reverse: Reverse, *, leak: bool = False) -> Tensor:
    """Return sums over rows of g and of g x̂, ``[2, T, C]``, float64."""
    assert not leak  # fused only on the processor
    return _sweep(reverse, None, None, None).sum(0)


def scan_reverse(reverse: Reverse, out: Tensor, offset: Tensor | None, slope: Tensor | None) -> None:
    """See :func:`bntt.engine.cpu.launch.scan_reverse`."""
    _sweep(reverse, offset, slope, out)


def _sweep(reverse: Reverse, offset: Tensor | None, slope: Tensor | None, out: Tensor | None) -> Tensor:
    """Run either sweep; return the first one's sums of every program, ``[programs, 2, T, C]``."""
    current, neuron, sums = reverse.current, reverse.neuron, out is None
    assert neuron is not None
    steps, images, height, width, channels = current.shape
    tiles, tile = _tiles(current, reverse.window)
    blocks, spans = triton.cdiv(channels, tile["CHANNELS"]), triton.cdiv(steps, SPAN)
    programs = min(tiles, max(1, _programs(current) // blocks))
    lanes = tile["ROWS"] * tile["WINDOW"] * tile["CHANNELS"]
    starts = torch.empty(programs * blocks * spans * lanes, dtype=torch.float32, device=current.device)
    potentials = torch.empty(programs * blocks * SPAN * lanes, dtype=torch.float32, device=current.device)
    partial = torch.zeros(programs if sums else 0, 2, steps, channels, dtype=torch.float64, device=current.device)
    grad, unused = reverse.grad.values, current
    kind, _, second = surrogate_constants(neuron)
    rule = neuron_tables(neuron, channels, current.device)
    with _on(current):
        kernels.scan_reverse[(programs, blocks)](
            current,
            *(reverse.affine.mean, reverse.affine.scale, reverse.affine.shift),
            unused if reverse.membrane is None else reverse.membrane,
            grad,
            0 if len(grad) == 1 else grad.stride(0),
            reverse.inverse,
            *(unused if one is None else one for one in (offset, slope, out, reverse.carry)),
            *(partial, starts, potentials),
            *(reverse.grad_scale, rule.leak, rule.step, rule.leak.numel(), second),
            *(steps, spans, tiles, images, height, width, channels),
            **tile,
            SPAN=SPAN,
            BEFORE=neuron.rule is fire_before,
            HARD=neuron.reset is hard_reset,
            KIND=kind,
            SUMS=sums,
            STARTED=reverse.membrane is not None,
            CARRIED=reverse.carry is not None,
            GIVEN=slope is None,
        )
    return partial


def _tiles(current: Tensor, window: PoolSize) -> tuple[int, dict[str, int]]:
    """Count the tiles that cover a step, windows that do not fit included, and return the sizes of one."""
    _, images, height, width, channels = current.shape
    area = triton.next_power_of_2(window[0] * window[1])
    block = min(triton.next_power_of_2(channels), 64, max(16, 2 * TILE // area))
    windows = images * triton.cdiv(height, window[0]) * triton.cdiv(width, window[1])
    rows = min(triton.next_power_of_2(windows), max(1, TILE // (area * block)))
    sizes = {"HEIGHT": window[0], "WIDTH": window[1], "ROWS": rows, "WINDOW": area, "CHANNELS": block}
    return triton.cdiv(windows, rows), sizes


def _programs(current: Tensor) -> int:
    """Return the number of programs that run at once; in the interpreter a few, so that each has several tiles."""
    if current.device.type == "cpu":
        return 3
    return 4 * torch.cuda.get_device_properties(current.device).multi_processor_count


def _on(tensor: Tensor) -> Any:
    """Make the tensor's device current, since kernels start there."""
    return torch.cuda.device(tensor.device if tensor.device.type == "cuda" else -1)
