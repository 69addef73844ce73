"""Weight layers on spikes: convolutions and fully connected layers whose input is a count of spikes for every place.

Two ways with the same sums: dense (PyTorch's, on the counts as floats) and event-driven (``_cpu/events.inl``: only the
weights of active inputs are added, so the cost falls with the firing rate). Which one is faster depends on the
activity; the crossover is measured on the machine, layer by layer.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.ops._cpu.library import LIBRARY, Events, run, use_variant
from bntt.ops.workspace import WORKSPACE

EventChoice = Literal["measured", "fixed", "never"]
"""When to go event-driven: below the crossover that is measured here ("measured"); by a fixed rule, the same in every
run ("fixed"); or never. ``torch.use_deterministic_algorithms(True)`` asks for the fixed rule, and for event-driven
weight gradients wherever there are some: their bits depend on no number of threads, those of PyTorch's do."""

FIXED_DENSITY = 0.5
FIXED_WEIGHTS = 32 * 32
"""The fixed rule goes event-driven below so many events per input, in layers of so many pairs of channels."""


@dataclass(frozen=True)
class Geometry:
    """What a weight layer is, without its weights. A fully connected layer is a 1x1 convolution of 1x1 images."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def out_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the output.

        >>> Geometry(padding=(1, 1)).out_size((8, 8), (3, 3))
        (8, 8)
        """
        down, across = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        return down, across


@dataclass(frozen=True)
class Spikes:
    """What drives a layer: counts (uint8) worth ``scale`` each; signed spikes (int8) or real numbers (float32) as they
    are, which only the dense way takes."""

    values: Tensor
    """``[T, B, H, W, C]``; counts are contiguous."""
    scale: float = 1.0
    largest: int = 1
    """The largest count that there can be."""
    density: float = 1.0
    """Mean count: events per place."""

    @property
    def counted(self) -> bool:
        return self.values.dtype == torch.uint8

    def steps(self, first: int, last: int) -> Spikes:
        return Spikes(self.values[first:last], self.scale, self.largest, self.density)

    def floats(self) -> Tensor:
        """The values as contiguous floats.

        >>> Spikes(torch.tensor([[[[[3]]]]], dtype=torch.uint8), scale=0.25).floats().item()
        0.75
        """
        return self._unpack(torch.empty(self.values.shape)) if self.counted else self.values.float().contiguous()

    @contextmanager
    def as_floats(self) -> Iterator[Tensor]:
        """The same, in a buffer that is given back afterwards."""
        if self.values.dtype == torch.float32:
            yield self.values.contiguous()
            return
        held = WORKSPACE.take(*self.values.shape)
        yield self._unpack(held) if self.counted else held.copy_(self.values)
        WORKSPACE.give(held)

    def _unpack(self, out: Tensor) -> Tensor:
        size, threads = self.values.numel(), torch.get_num_threads()
        run("bntt_unpack", self.values.data_ptr(), out.data_ptr(), size, self.scale, threads)
        return out


class Synapse:
    """The weights of one layer during one forward or backward pass, in whatever layouts the pass turns out to need.

    Args:
        weight: ``[Co, Ci / groups, Kh, Kw]``, or ``[Co, Ci]`` of a fully connected layer; float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> None:
        self.weight, self.bias, self.geometry = weight.detach(), None if bias is None else bias.detach(), geometry
        self._dense: Tensor | None = None
        self._packed: dict[tuple[float, int], Tensor] = {}

    @property
    def linear(self) -> bool:
        return self.weight.ndim == 2

    @property
    def kernel(self) -> tuple[int, int]:
        return (1, 1) if self.linear else (self.weight.shape[2], self.weight.shape[3])

    @property
    def has_event_forward(self) -> bool:
        g = self.geometry
        return g.stride == (1, 1) and g.dilation == (1, 1) and g.groups == 1 and self.kernel[1] <= 16

    @property
    def has_event_weight_grad(self) -> bool:
        return self.has_event_forward and (self.linear or self.kernel == (3, 3))

    def forward(self, x: Spikes, *, events: bool, out: Tensor | None = None) -> Tensor:
        """``[T, B, H', W', Co]``, contiguous: in ``out`` where one is given, except from a dense convolution."""
        if events:
            return self._event_forward(x, out)
        with x.as_floats() as floats:
            return self._dense_forward(floats, out)

    def _dense_forward(self, floats: Tensor, out: Tensor | None) -> Tensor:
        if self.linear:
            rows, transposed = floats.flatten(0, 3), self.weight.t()
            flat = None if out is None else out.flatten(0, 3)
            product = torch.mm(rows, transposed, out=flat)
            if self.bias is not None:
                product.add_(self.bias)
            return product.reshape(*floats.shape[:2], 1, 1, -1)
        images = floats.flatten(0, 1).permute(0, 3, 1, 2)
        g = self.geometry
        y = F.conv2d(images, self._channels_last(), self.bias, g.stride, g.padding, g.dilation, g.groups)
        return y.permute(0, 2, 3, 1).reshape(*floats.shape[:2], *y.shape[2:], -1).contiguous()

    def add_weight_grad(self, total: Tensor, x: Spikes, grad_out: Tensor, *, events: bool) -> None:
        """Add dL/dW of some steps to ``total``; ``grad_out`` is ``[T, B, H', W', Co]``, contiguous."""
        if events:
            job = self._job(x)
            job.grad_out, job.grad_weight = grad_out.data_ptr(), total.data_ptr()
            run("bntt_events_weight_grad", ctypes.byref(job))
            return
        with x.as_floats() as floats:
            if self.linear:
                total.addmm_(grad_out.flatten(0, 3).t(), floats.flatten(0, 3))
            else:
                total.add_(self._conv_backward(grad_out, floats, wants=(False, True))[1])

    def input_grad(self, grad_out: Tensor, in_shape: tuple[int, int, int]) -> Tensor:
        """dL/dx of some steps, ``[T, B, H, W, Ci]``, contiguous; ``in_shape`` is (H, W, Ci)."""
        if self.linear:
            return (grad_out.flatten(0, 3) @ self.weight).reshape(*grad_out.shape[:2], *in_shape)
        stand_in = torch.zeros(1).expand(*grad_out.shape[:2], *in_shape)  # only its shape is looked at
        grad = self._conv_backward(grad_out, stand_in, wants=(True, False))[0]
        return grad.permute(0, 2, 3, 1).contiguous().view(*grad_out.shape[:2], *in_shape)

    def _conv_backward(self, grad_out: Tensor, x: Tensor, wants: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        g = self.geometry
        grad, images = (values.flatten(0, 1).permute(0, 3, 1, 2) for values in (grad_out, x))
        mask = [*wants, False]
        grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            grad, images, self._channels_last(), None, g.stride, g.padding, g.dilation, False, [0, 0], g.groups, mask
        )
        return grads[0], grads[1]

    def _channels_last(self) -> Tensor:
        if self._dense is None:
            self._dense = self.weight.contiguous(memory_format=torch.channels_last)
        return self._dense

    def _event_forward(self, x: Spikes, out: Tensor | None) -> Tensor:
        job = self._job(x)
        key = (x.scale, x.values.shape[-1])
        if key not in self._packed:
            self._packed[key] = torch.empty(LIBRARY.bntt_packed_size(ctypes.byref(job)))
            weight = self.weight.contiguous()
            run("bntt_pack", ctypes.byref(job), weight.data_ptr(), self._packed[key].data_ptr())
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), self.kernel)
        out = torch.empty(*x.values.shape[:2], *size, self.weight.shape[0]) if out is None else out
        job.weight, job.out = self._packed[key].data_ptr(), out.data_ptr()
        job.bias = None if self.bias is None else self.bias.data_ptr()
        run("bntt_events_forward", ctypes.byref(job))
        return out

    def _job(self, x: Spikes) -> Events:
        steps, batch, height, width, channels = x.values.shape
        assert x.counted
        assert x.values.is_contiguous()
        return Events(
            counts=x.values.data_ptr(),
            images=steps * batch,
            height=height,
            width=width,
            in_channels=channels,
            out_channels=self.weight.shape[0],
            kernel_height=self.kernel[0],
            kernel_width=self.kernel[1],
            pad_height=self.geometry.padding[0],
            pad_width=self.geometry.padding[1],
            largest_count=x.largest,
            scale=x.scale,
            threads=torch.get_num_threads(),
        )


@dataclass(frozen=True)
class Crossover:
    """Events per input below which the event-driven way is the faster one; 0 where it never is."""

    forward: float
    weight_grad: float


_MEASURED: dict[tuple[object, ...], Crossover] = {}


def goes_by_events(synapse: Synapse, x: Spikes, choice: EventChoice) -> tuple[bool, bool]:
    """Whether a layer's forward pass and its weight gradient go event-driven for this input.

    >>> floats = Spikes(torch.ones(1, 1, 1, 1, 4))
    >>> goes_by_events(Synapse(torch.ones(2, 4), None, Geometry()), floats, "fixed")
    (False, False)
    """
    forward = x.counted and synapse.has_event_forward and choice != "never"
    weight_grad = forward and synapse.has_event_weight_grad
    if not forward:
        return False, False
    if choice == "fixed" or torch.are_deterministic_algorithms_enabled():
        sparse = x.density < FIXED_DENSITY and synapse.weight.shape[0] * synapse.weight.shape[1] >= FIXED_WEIGHTS
        if torch.are_deterministic_algorithms_enabled():
            return sparse, weight_grad
        return sparse, weight_grad and sparse and not synapse.linear
    found = crossover(synapse, x)
    return x.density < found.forward, weight_grad and x.density < found.weight_grad


def crossover(synapse: Synapse, x: Spikes) -> Crossover:
    """The crossover of a layer on this machine, measured when a layer of its shape first runs with so many threads."""
    place = tuple(x.values.shape[2:])
    key = (*place, *synapse.weight.shape, synapse.geometry, x.largest, torch.get_num_threads(), use_variant())
    if key not in _MEASURED:
        _MEASURED[key] = _measure(synapse, place, x.largest, x.scale)
    return _MEASURED[key]


def _measure(synapse: Synapse, place: tuple[int, ...], largest: int, scale: float) -> Crossover:
    """Time both ways on random counts of two densities; event-driven time is a straight line in the density."""
    work = synapse.weight.numel() * place[0] * place[1]
    images = min(512, max(2 * torch.get_num_threads(), (1 << 28) // max(1, work)))
    generator = torch.Generator().manual_seed(0)
    samples = []
    for density in (0.05, 0.4):
        counts = (torch.rand(images, 1, *place, generator=generator) < density).to(torch.uint8)
        samples.append(Spikes(counts, scale, largest, float(counts.sum()) / counts.numel()))
    out = synapse.forward(samples[0], events=False)
    total = torch.zeros(synapse.weight.shape)
    found = []
    for backward in (False, True):
        if backward and not synapse.has_event_weight_grad:
            found.append(0.0)
            continue

        def work_of(x: Spikes, events: bool, backward: bool = backward) -> Callable[[], object]:
            if backward:
                return lambda: synapse.add_weight_grad(total, x, out, events=events)
            return lambda: synapse.forward(x, events=events)

        dense = _seconds(work_of(samples[0], False))
        few, many = (_seconds(work_of(x, True)) for x in samples)
        slope = max(1e-12, (many - few) / (samples[1].density - samples[0].density))
        found.append(max(0.0, samples[0].density + (dense - few) / slope))
    return Crossover(*found)


def _seconds(work: Callable[[], object], repeats: int = 3) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
