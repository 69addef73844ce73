"""Operations on spikes between layers: firing from a summed current, sums, pools, dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.graph.layer import Firing, chunks
from bntt.engine.graph.node import Carry, Gradients, How, Learned, Node, Passed, Size, Start
from bntt.engine.graph.recording import join_steps
from bntt.engine.kernels import open_kernels
from bntt.engine.layer_spec import (
    Affine,
    PoolSize,
    Reverse,
    SpikeGrad,
    leak_gradient,
    learned_leak,
    neuron_steps,
    pooled_shape,
)
from bntt.engine.synapse import Spikes
from bntt.ops.folded import AnyNeuron

LARGEST_COUNT = 255
"""The largest value of a byte."""


@dataclass(frozen=True)
class Fire(Node):
    """Neurons driven by a value as it is, or after ``scale`` and ``shift``, of which only the scale may learn."""

    neuron: AnyNeuron
    window: PoolSize = (1, 1)
    scale: Tensor | None = None
    """``[T, C]``, for all steps; None: 1."""
    shift: Tensor | None = None
    """``[T, C]``, for all steps; None: 0."""

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        scale = self.scale if self.scale is not None and self.scale.requires_grad else None
        return learned_leak(self.neuron), scale

    def affine(self, first: int, last: int, current: Tensor) -> Affine:
        """Return the affine map that some steps of the current go through first."""
        found = Affine.identity(last - first, current.shape[-1], current.device)
        scale = found.scale if self.scale is None else self.scale[first:last].contiguous()
        return Affine(found.mean, scale, found.shift if self.shift is None else self.shift[first:last].contiguous())

    def size(self, inputs: Sequence[Spikes]) -> Size:
        shape = pooled_shape(inputs[0].values, self.window)
        counts = torch.empty(shape, dtype=torch.uint8, device="meta")
        return Size(Spikes(counts), 0, counts.numel())

    def forward(self, how: How, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None) -> Passed:
        current, seen = _floats(inputs[0]), []
        firing = Firing(self.neuron, self.window, how, current, start.membrane, first)
        for begin, end in chunks(how.compute, current):
            affine = self.affine(first + begin, first + end, current)
            seen.append(firing.chunk(current[begin:end], affine, begin, how.measure))
        saved, whole = (inputs[0], start.membrane), join_steps(seen)
        return Passed(firing.spikes(whole), saved, (True,), Start(firing.membrane), whole)

    def backward(
        self, how: How, done: Any, grad: SpikeGrad, learned: Learned, *, first: int, carry: Carry, **_: Any
    ) -> Gradients:
        (source, membrane), (leak, scale), kernels = done, learned, open_kernels(how.compute.kernels)
        current = _floats(source)
        last = first + len(current)
        affine, neuron = self.affine(first, last, current), neuron_steps(self.neuron, first, last)
        plain = torch.ones_like(affine.scale)  # the sums are then over the unscaled current
        grad = grad.of_type(current.dtype)
        reverse = Reverse(current, affine, plain, neuron, self.window, grad, membrane, carry.membrane)
        if leak is not None:
            sums = kernels.scan_sums(reverse, leak=True)
            leak += leak_gradient(sums[2], leak.shape)
            if scale is not None:
                scale[first:last] = sums[1]
        out = how.lease.take(*current.shape, device=current.device)
        kernels.scan_reverse(reverse, out, None, None)
        return [SpikeGrad(out, held=out)]


@dataclass(frozen=True)
class Sum(Node):
    """Two values of the same shape, added up: counts stay counts if a byte can hold them."""

    reads: tuple[int, ...]

    def size(self, inputs: Sequence[Spikes]) -> Size:
        one, other = inputs
        elements = one.values.numel()
        return Size(one, 0, elements) if one.counted and other.counted else Size(Spikes(one.values), elements, 0)

    def forward(self, how: How, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None) -> Passed:
        one, other = inputs
        take, device = how.lease.take, one.values.device
        largest, counted = one.largest + other.largest, one.counted and other.counted
        if counted and one.scale == other.scale and largest <= LARGEST_COUNT:
            counts = torch.add(one.values, other.values, out=take(*one.values.shape, dtype=torch.uint8, device=device))
            return Passed(Spikes(counts, one.scale, largest, one.density + other.density), None, (False, False))
        total = one.floats_into(take(*one.values.shape, device=device)).add_(other.values, alpha=other.scale)
        return Passed(Spikes(total), None, (False, False))

    def backward(
        self, how: How, done: None, grad: SpikeGrad, learned: Learned, *, wants: Sequence[bool], **_: Any
    ) -> Gradients:
        """Pass all of the gradient to both."""
        if grad.held is None or not all(wants):
            return [grad if wanted else None for wanted in wants]
        copy = how.lease.take(*grad.values.shape, dtype=grad.values.dtype, device=grad.values.device)
        return [grad, SpikeGrad(copy.copy_(grad.values), grad.scale, copy)]


@dataclass(frozen=True)
class MaxPool(Node):
    """The largest of every window; in the backward pass, PyTorch tells which one it was."""

    window: PoolSize

    def size(self, inputs: Sequence[Spikes]) -> Size:
        values = torch.empty(pooled_shape(inputs[0].values, self.window), dtype=inputs[0].values.dtype, device="meta")
        return Size(Spikes(values), 0, values.numel() * values.element_size())

    def forward(self, how: How, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None) -> Passed:
        (x,), (down, across) = inputs, self.window
        shape = pooled_shape(x.values, self.window)
        out = how.lease.take(*shape, dtype=x.values.dtype, device=x.values.device)
        inside = x.values[:, :, : shape[2] * down, : shape[3] * across]
        windows = inside.view(*shape[:2], shape[2], down, shape[3], across, shape[4])
        torch.amax(windows, (3, 5), out=out)
        dense = min(1.0, x.density * down * across)
        return Passed(Spikes(out, x.scale, x.largest, dense), x, (True,))

    def backward(self, how: How, done: Spikes, grad: SpikeGrad, learned: Learned, **_: Any) -> Gradients:
        """Pass all of the gradient to the place that PyTorch says was the largest."""
        x = done.values
        out = how.lease.take(*x.shape, device=x.device)
        for t, step in enumerate(x):
            images = step.permute(0, 3, 1, 2).float()
            given = grad.values[t if len(grad.values) > 1 else 0].float().permute(0, 3, 1, 2)
            where = F.max_pool2d(images, self.window, return_indices=True)[1]
            rest = (self.window, self.window, (0, 0), (1, 1), False, where)
            found = torch.ops.aten.max_pool2d_with_indices_backward(given, images, *rest)
            out[t] = found.permute(0, 2, 3, 1)
        return [SpikeGrad(out, grad.scale, out)]


@dataclass(frozen=True)
class Mask(Node):
    """Dropout of the same places in all steps; what is left is scaled by 1 / (1 - p)."""

    draw: Callable[[], Tensor]
    """Returns the places that stay, ``[B, H, W, C]``, 0 or 1 in bytes; the same whenever it is called."""
    p: float

    def size(self, inputs: Sequence[Spikes]) -> Size:
        values = inputs[0].values
        return Size(inputs[0], 0, values.numel() * values.element_size())

    def forward(self, how: How, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None) -> Passed:
        (x,), stays = inputs, self.draw()
        out = how.lease.take(*x.values.shape, dtype=x.values.dtype, device=x.values.device)
        torch.mul(x.values, stays.to(x.values.dtype), out=out)
        left = 1 - self.p
        return Passed(Spikes(out, x.scale / left, x.largest, x.density * left), None, (False,))

    def backward(self, how: How, done: None, grad: SpikeGrad, learned: Learned, **_: Any) -> Gradients:
        """Pass the gradient to the places that stayed, with the same scale."""
        values = grad.values
        out = how.lease.take(*values.shape, dtype=values.dtype, device=values.device)
        torch.mul(values, self.draw().to(values.dtype), out=out)
        return [SpikeGrad(out, grad.scale / (1 - self.p), out)]


def _floats(x: Spikes) -> Tensor:
    """Return the neurons' input as floats; a value that has them already is not copied."""
    return x.values if x.values.dtype == torch.float32 and x.values.is_contiguous() else x.floats()
