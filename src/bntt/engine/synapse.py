"""Weight layers on spikes: convolutions and fully connected layers whose input is a count of spikes for every place.

There are two ways, with the same sums: dense (PyTorch's, on the counts as floats) and event-driven
(``cpu/events.inl``: only the weights of active inputs are added, so the cost falls with the firing rate). Which one is
faster depends on the activity, and is measured. Passes without gradients keep packed weights from step to step: packing
them again would be most of the cost of one step of one sample.
"""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.serialization import add_safe_globals

from bntt.engine.compute import Compute, Precision
from bntt.engine.cpu.library import LIBRARY, Events, call, packed_size, use_variant
from bntt.engine.private import has_tiles
from bntt.engine.workspace import WORKSPACE

LARGEST_MAP = 64
"""Places of the output up to which this way is the faster one."""
BLOCK_BYTES = 1 << 25
"""The most memory that the rows of a block of images take, unless one image alone takes more."""


def columns_pay(map_size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], groups: int) -> bool:
    """Return True if a convolution's weight gradient in bfloat16 is computed here: by its shape, never measured."""
    plain = stride == (1, 1) and dilation == (1, 1) and groups == 1
    return plain and math.prod(map_size) <= LARGEST_MAP and has_tiles()


def add_by_columns(total: Tensor, x: Tensor, grad_out: Tensor, padding: tuple[int, int]) -> None:
    """Add dL/dW of a convolution that :func:`columns_pay` takes to ``total``, each block's sum rounded to x's type."""
    outputs, inputs, *kernel = total.shape
    images, height, width, _ = x.shape
    window, (down, across) = (*kernel, inputs), padding
    places = grad_out.shape[1:3]
    block = min(images, max(1, BLOCK_BYTES // (x.element_size() * math.prod(places) * math.prod(window))))
    with WORKSPACE.lease() as lease:
        padded = lease.take(block, height + 2 * down, width + 2 * across, inputs, dtype=x.dtype).zero_()
        rows = lease.take(block, *places, *window, dtype=x.dtype)
        for part, grad in zip(torch.split(x, block), torch.split(grad_out, block), strict=True):
            padded[: len(part), down : down + height, across : across + width] = part
            windows = padded[: len(part)].unfold(1, kernel[0], 1).unfold(2, kernel[1], 1).permute(0, 1, 2, 4, 5, 3)
            found = grad.flatten(0, 2).t() @ rows[: len(part)].copy_(windows).view(-1, math.prod(window))
            total.add_(found.view(outputs, *window).permute(0, 3, 1, 2))


@dataclass(frozen=True)
class Geometry:
    """The shape of a weight layer, without its weights. A fully connected layer is a 1x1 convolution of 1x1 images."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def out_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of the output."""
        down, across = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        return down, across


@dataclass(frozen=True)
class Spikes:
    """The input of a layer: counts (uint8) worth ``scale`` each, signed spikes (int8) or real numbers (float32)."""

    values: Tensor
    """``[T, B, H, W, C]``; counts are contiguous."""
    scale: float = 1.0
    largest: int = 1
    """The largest possible count."""
    density: float = 1.0
    """Mean count: events per place."""

    @property
    def counted(self) -> bool:
        return self.values.dtype == torch.uint8

    def steps(self, first: int, last: int) -> Spikes:
        return Spikes(self.values[first:last], self.scale, self.largest, self.density)

    def floats(self) -> Tensor:
        """Return the values as contiguous floats."""
        if self.values.is_floating_point():
            return self.values.float().contiguous()
        return self.floats_into(torch.empty(self.values.shape, dtype=torch.float32, device=self.values.device))

    @contextmanager
    def as_floats(self, dtype: torch.dtype = torch.float32) -> Iterator[Tensor]:
        """Yield the same, in a buffer that is given back afterwards."""
        if self.values.dtype == dtype:
            yield self.values.contiguous()
            return
        with WORKSPACE.lease() as lease:
            yield self.floats_into(lease.take(*self.values.shape, dtype=dtype, device=self.values.device))

    def count_over_time(self) -> Tensor:
        """Return the counts summed over all steps, float32, ``[B, H, W, C]``."""
        groups = [part.sum(0, dtype=torch.uint8) for part in torch.split(self.values, max(1, 255 // self.largest))]
        return torch.stack(groups).sum(0, dtype=torch.float32)

    def floats_into(self, out: Tensor) -> Tensor:
        """Write the values as floats into ``out``."""
        if LIBRARY is not None and self.counted and out.dtype == torch.float32 and out.device.type == "cpu":
            size, threads = self.values.numel(), torch.get_num_threads()
            values, floats = (self.values, torch.uint8, size), (out, torch.float32, size)
            call("bntt_unpack", values, floats, size, self.scale, threads)
            return out
        out.copy_(self.values)
        return out if self.scale == 1 else out.mul_(self.scale)


class Synapse:
    """The weights of one layer during one forward or backward pass, in whatever layouts the pass turns out to need."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, precision: Precision = "fp32") -> None:
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach().contiguous()
        self.geometry = geometry
        self.forward_dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.backward_dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._dense: dict[torch.dtype, Tensor] = {}
        self._packed: dict[tuple[float, int], Tensor] = {}

    @property
    def linear(self) -> bool:
        return self.weight.ndim == 2

    @property
    def kernel(self) -> tuple[int, int]:
        return (1, 1) if self.linear else (self.weight.shape[2], self.weight.shape[3])

    @property
    def has_event_way(self) -> bool:
        """True if forward and weight gradient have an event-driven way, for any stride, padding and kernel height."""
        return self.geometry.dilation == (1, 1) and self.geometry.groups == 1 and self.kernel[1] <= 16

    def forward(self, x: Spikes, *, events: bool, out: Tensor | None = None) -> Tensor:
        """Return ``[T, B, H', W', Co]`` of :attr:`forward_dtype`, contiguous."""
        if events:
            return self._event_forward(x, out)
        with x.as_floats(self.forward_dtype) as floats:
            return self._linear(floats, out) if self.linear else self._convolution(floats)

    def _linear(self, floats: Tensor, out: Tensor | None) -> Tensor:
        flat = None if out is None else out.flatten(0, 3)
        product = torch.mm(floats.flatten(0, 3), self._weight(floats.dtype).t(), out=flat)
        if self.bias is not None:
            product.add_(self.bias)
        return product.reshape(*floats.shape[:2], 1, 1, -1)

    def _convolution(self, floats: Tensor) -> Tensor:
        images, g = self._as_images(floats), self.geometry
        bias = None if self.bias is None else self.bias.to(images.dtype)
        y = F.conv2d(images, self._weight(images.dtype), bias, g.stride, g.padding, g.dilation, g.groups)
        return y.permute(0, 2, 3, 1).reshape(*floats.shape[:2], *y.shape[2:], -1).contiguous().to(floats.dtype)

    def add_weight_grad(self, total: Tensor, x: Spikes, grad_out: Tensor, *, events: bool) -> None:
        """Add dL/dW of some steps to ``total``."""
        if events:
            job = self._job(x)
            job.give(grad_out=(grad_out.float(), torch.float32, self._out_size(x)))
            job.give(grad_weight=(total, torch.float32, self._weights(x)))
            call("bntt_events_weight_grad", job)
            return
        with x.as_floats(grad_out.dtype) as floats:
            if not self.linear:
                self._add_conv_weight_grad(total, floats, grad_out)
            elif grad_out.dtype == total.dtype:
                total.addmm_(grad_out.flatten(0, 3).t(), floats.flatten(0, 3))
            else:
                total.add_(grad_out.flatten(0, 3).t() @ floats.flatten(0, 3))

    def _add_conv_weight_grad(self, total: Tensor, floats: Tensor, grad_out: Tensor) -> None:
        g, low = self.geometry, grad_out.dtype == torch.bfloat16 and grad_out.device.type == "cpu"
        if low and columns_pay((grad_out.shape[2], grad_out.shape[3]), g.stride, g.dilation, g.groups):
            add_by_columns(total, floats.flatten(0, 1), grad_out.flatten(0, 1), g.padding)
        else:
            total.add_(self._conv_backward(grad_out, floats, of="weight"))

    def input_grad(self, grad_out: Tensor, in_shape: tuple[int, int, int]) -> Tensor:
        """Return dL/dx of some steps, ``[T, B, H, W, Ci]``, contiguous, as ``grad_out``; ``in_shape`` is (H, W, Ci)."""
        if self.linear:
            weight = self._weight(grad_out.dtype)
            return (grad_out.flatten(0, 3) @ weight).reshape(*grad_out.shape[:2], *in_shape)
        stand_in = grad_out.new_zeros(1).expand(*grad_out.shape[:2], *in_shape)  # only its shape is looked at
        grad = self._conv_backward(grad_out, stand_in, of="input")
        return grad.permute(0, 2, 3, 1).contiguous().view(*grad_out.shape[:2], *in_shape)

    def _conv_backward(self, grad_out: Tensor, x: Tensor, *, of: Literal["input", "weight"]) -> Tensor:
        g, grad, images = self.geometry, self._as_images(grad_out), self._as_images(x)
        weight, mask = self._weight(grad.dtype), [of == "input", of == "weight", False]
        grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            grad, images, weight, None, g.stride, g.padding, g.dilation, False, [0, 0], g.groups, mask
        )
        return grads[0 if of == "input" else 1].to(grad_out.dtype)

    def _as_images(self, values: Tensor) -> Tensor:
        """Return ``[T·B, C, H, W]`` with channels last in memory; if the layer strides, channels first and in float32.

        oneDNN 3.12 computes some strided convolutions wrongly, or crashes, in bfloat16 or with channels last.
        """
        images = values.flatten(0, 1).permute(0, 3, 1, 2)
        if self.geometry.stride == (1, 1):
            return images
        return images.float().reshape(-1).view(images.shape)  # contiguous() would leave the strides of a single channel

    def _weight(self, dtype: torch.dtype) -> Tensor:
        """Return the weights in the layout of the dense ways."""
        if dtype not in self._dense:
            weight, strided = self.weight.to(dtype), self.geometry.stride != (1, 1)
            if strided:  # as the images: a kernel of 1x1 is contiguous either way, and oneDNN looks at its strides
                self._dense[dtype] = weight.reshape(-1).view(weight.shape)
            else:
                last = torch.contiguous_format if self.linear else torch.channels_last
                self._dense[dtype] = weight.contiguous(memory_format=last)
        return self._dense[dtype]

    def _event_forward(self, x: Spikes, out: Tensor | None) -> Tensor:
        shape = self._out_shape(x)
        out = torch.empty(shape, dtype=self.forward_dtype, device=x.values.device) if out is None else out
        with WORKSPACE.lease() as lease:
            sums = out if out.dtype == torch.float32 else lease.take(*shape)
            call("bntt_events_forward", self.events(x, sums))
            return out if sums is out else out.copy_(sums)

    def events(self, x: Spikes, out: Tensor) -> Events:
        """Return the job of the event-driven way into ``out``, float32; it can be repeated for other counts in x."""
        job, packed = self._job(x), self._packed_for(x)
        job.give(weight=(packed, torch.float32, packed.numel()))
        job.give(bias=(self.bias, torch.float32, self.weight.shape[0]))
        job.give(out=(out, torch.float32, self._out_size(x)))
        return job

    def _packed_for(self, x: Spikes) -> Tensor:
        """Return the weights packed for the event-driven kernels; other threads see them only when complete."""
        key = (x.scale, x.values.shape[-1])
        packed = self._packed.get(key)
        if packed is None:
            job, weight = self._job(x), (self.weight.contiguous(), torch.float32, self._weights(x))
            packed = torch.empty(packed_size(job), dtype=torch.float32, device=x.values.device)
            call("bntt_pack", job, weight, (packed, torch.float32, packed.numel()))
            self._packed[key] = packed
        return packed

    def _weights(self, x: Spikes) -> int:
        """Return the number of weights that a kernel expects, by the channels of its input."""
        return self.weight.shape[0] * x.values.shape[-1] * self.kernel[0] * self.kernel[1]

    def _out_shape(self, x: Spikes) -> tuple[int, ...]:
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), self.kernel)
        return (*x.values.shape[:2], *size, self.weight.shape[0])

    def _out_size(self, x: Spikes) -> int:
        return math.prod(self._out_shape(x))

    def _job(self, x: Spikes) -> Events:
        return Events.over(
            x.values.shape,
            self.kernel,
            self.geometry.padding,
            self.geometry.stride,
            counts=(x.values, torch.uint8, x.values.numel()),
            out_channels=self.weight.shape[0],
            largest_count=x.largest,
            scale=x.scale,
            threads=torch.get_num_threads(),
        )


FIXED_DENSITY = 0.5
FIXED_WEIGHTS = 32 * 32
"""The fixed rule is event-driven below ``FIXED_DENSITY`` events per input, from this many pairs of channels on."""


Crossover = tuple[float, float]
"""Events per input below which the event-driven way is faster, forward and for the weight gradient; 0: it never is."""


_MEASURED: dict[str, float] = {}


def remembered() -> dict[str, float]:
    """Return the crossovers measured in this process, so that another process can reuse them."""
    return dict(_MEASURED)


def remember(measured: Mapping[str, float]) -> None:
    """Adopt another process's measurements; a layer of the same shape and thread count is not measured again."""
    _MEASURED.update(measured)


def goes_by_events(synapse: Synapse, x: Spikes, compute: Compute) -> tuple[bool, bool]:
    """Decide if a layer's forward pass and its weight gradient go event-driven for this input, on a CPU."""
    below = limits(synapse, x, compute)
    return x.density < below[0], x.density < below[1]


def limits(synapse: Synapse, x: Spikes, compute: Compute) -> Crossover:
    """Return the densities below which a layer goes event-driven; only the input's shape and kind matter."""
    choice, deterministic = compute.events, torch.are_deterministic_algorithms_enabled()
    if compute.kernels != "cpu" or not x.counted or not synapse.has_event_way or choice == "never":
        return 0.0, 0.0
    if choice == "fixed" or deterministic:
        large = synapse.weight.shape[0] * synapse.weight.shape[1] >= FIXED_WEIGHTS
        below = FIXED_DENSITY if large else 0.0
        return below, math.inf if deterministic else 0.0 if synapse.linear else below
    return crossover(synapse, x)


def crossover(synapse: Synapse, x: Spikes) -> Crossover:
    """Return a layer's crossover here, measured when a layer of its shape first runs with this number of threads."""
    place = tuple(x.values.shape[2:])
    key = (*place, *synapse.weight.shape, synapse.geometry, x.largest, torch.get_num_threads(), use_variant())
    found = list[float]()
    for way, dtype in (("forward", synapse.forward_dtype), ("weight_grad", synapse.backward_dtype)):
        name = repr((way, dtype, key))
        if name not in _MEASURED:
            _MEASURED[name] = _measure(synapse, place, x.largest, x.scale, backward=way == "weight_grad")
        found.append(_MEASURED[name])
    forward, weight_grad = found
    return forward, weight_grad


def _measure(synapse: Synapse, place: tuple[int, ...], largest: int, scale: float, *, backward: bool) -> float:
    """Time both ways on random counts of two densities; event-driven time is a straight line in the density."""
    down, across = synapse.geometry.out_size((place[0], place[1]), synapse.kernel)
    work = synapse.weight.numel() * down * across
    images = min(512, max(2 * torch.get_num_threads(), (1 << 28) // max(1, work)))
    generator, cpu = torch.Generator("cpu").manual_seed(0), torch.device("cpu")
    samples = []
    for density in (0.05, 0.4):
        drawn = torch.rand(images, 1, *place, generator=generator, dtype=torch.float32, device=cpu)
        counts = (drawn < density).to(torch.uint8)
        samples.append(Spikes(counts, scale, largest, float(counts.sum()) / counts.numel()))
    grad = synapse.forward(samples[0], events=False).to(synapse.backward_dtype)
    total = torch.zeros(synapse.weight.shape, dtype=torch.float32, device=cpu)

    def work_of(x: Spikes, events: bool) -> Callable[[], object]:
        if backward:
            return lambda: synapse.add_weight_grad(total, x, grad, events=events)
        return lambda: synapse.forward(x, events=events)

    dense = _seconds(work_of(samples[0], False))
    few, many = (_seconds(work_of(x, True)) for x in samples)
    slope = max(1e-12, (many - few) / (samples[1].density - samples[0].density))
    return max(0.0, samples[0].density + (dense - few) / slope)


def _seconds(work: Callable[[], object]) -> float:
    work()
    return min(timeit.repeat(work, repeat=3, number=1))


_changes = 0
"""Number of times that weights may have changed unseen by their version counters."""


def weights_changed() -> None:
    """Report that weights were changed where PyTorch does not see it: through ``.data``, NumPy or a pointer.

    :meth:`~bntt.nn.SpikingNetwork.advance` keeps weights and tables in the kernels' layout with the state. They are
    packed again when a parameter or buffer is replaced or changed in place, or after any optimizer's step; only a write
    that bypasses PyTorch's version counters must be reported. Without the report, a sequence under way continues with a
    mixture: what was packed before the write has the old values, what is packed later (such as the form for sparse
    spikes) the new ones. The next sequence from rest compares values, and needs no report.

    >>> import bntt, torch
    >>> net, x = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=4).eval(), torch.ones(2, 1, 4)
    >>> _, state = net.advance(x)
    >>> next(net.parameters()).data.mul_(2.0).shape
    torch.Size([8, 4])
    >>> bntt.weights_changed()
    >>> logits, state = net.advance(x, state)
    """
    global _changes
    _changes += 1


def changes_told() -> int:
    """Return how often :func:`weights_changed` was called, by optimizers too."""
    return _changes


register_optimizer_step_post_hook(lambda *_: weights_changed())  # fused optimizers move no version counter


BIASES = 4
"""Number of biases kept per weight: layers that share it have their own, and a replaced one is dropped."""


class Prepared:
    """A cache of synapses by their weight and bias, each valid as long as neither is changed or replaced."""

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """Start empty when copied or read from a file."""
        return Prepared, ()

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], tuple[Tensor, Tensor | None, tuple[object, ...], Synapse]] = {}
        """Weight and bias, held so that no other tensor gets their ids, their version, and the synapse."""

    def synapse(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, precision: Precision) -> Synapse:
        """Return the weights of one layer, as they are now."""
        if not (_has_versions(weight) and (bias is None or _has_versions(bias))):
            return Synapse(weight, bias, geometry, precision)
        key, version = (id(weight), id(bias)), (_changes, *version_of(weight), *version_of(bias), geometry, precision)
        held = self._held.get(key)
        if held is None or held[2] != version:
            held = weight, bias, version, Synapse(weight, bias, geometry, precision)
            same = [other for other in self._held if other[0] == key[0] and other != key]
            stale = {*same[: max(0, len(same) - BIASES + 1)], key}
            self._held = {k: one for k, one in self._held.items() if k not in stale} | {key: held}
        return held[3]


add_safe_globals([Prepared])  # it is read as an empty one, with the state that carries it


def _has_versions(tensor: Tensor) -> bool:
    """Return True for a module's parameter; others live for one pass, and inference mode counts no versions."""
    return isinstance(tensor, nn.Parameter) and not tensor.is_inference()


def version_of(tensor: Tensor | None) -> tuple[Any, ...]:
    """Return a key that changes when a plain tensor's values change, or the memory that they lie in."""
    if tensor is None:
        return ()
    place = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.is_neg()
    return (tensor._version, *place)  # noqa: SLF001
