"""One layer of a fused run: what it is made of, its forward pass over some time steps, and its backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.engine.compute import Compute, KernelName
from bntt.engine.crossover import goes_by_events
from bntt.engine.neuron import Affine, Window
from bntt.engine.scan import moments, pooled_shape, scan, scan_reverse
from bntt.engine.synapse import Geometry, Spikes, Synapse
from bntt.engine.workspace import WORKSPACE
from bntt.ops.lif import Neuron
from bntt.ops.norm import Moments

CHUNK_BYTES = 16 << 20
"""Of a layer's current in one chunk of time steps: what a processor's last-level cache holds."""


@dataclass(frozen=True)
class Layer:
    """One layer of a run. ``gamma`` and ``beta`` are ``[T, C]``; the statistics are given, or None: the batch's."""

    geometry: Geometry
    flatten: bool
    """Whether the input is flattened to ``C·H·W`` features first."""
    window: Window
    neuron: Neuron
    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        return self.weight, self.bias, self.gamma, self.beta

    def enter(self, x: Spikes) -> Spikes:
        """The layer's input in the layout that it takes."""
        if not self.flatten:
            return x
        values = x.values.permute(0, 1, 4, 2, 3).flatten(2).contiguous()
        return Spikes(values[:, :, None, None, :], x.scale, x.largest, x.density)

    def leave(self, grad: Tensor, before: torch.Size) -> Tensor:
        """The gradient of :meth:`enter`, for an input that was ``before``."""
        if not self.flatten:
            return grad
        steps, batch, height, width, channels = before
        return grad.reshape(steps, batch, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()

    def current_shape(self, x: Spikes) -> tuple[int, ...]:
        """The shape of the synaptic current for an input that was entered."""
        kernel = (1, 1) if self.weight.ndim == 2 else (self.weight.shape[2], self.weight.shape[3])
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), kernel)
        return (*x.values.shape[:2], *size, self.weight.shape[0])

    def spikes(self, counts: Tensor, density: float) -> Spikes:
        """What the layer gives to the next."""
        area = self.window[0] * self.window[1]
        return Spikes(counts, 1 / area, area, density)


@dataclass(frozen=True)
class Resolved:
    """What the first forward pass over some steps finds out; a second one takes it as it is."""

    affine: Affine
    inverse: Tensor
    """1/√(σ² + ε), ``[T, C]``."""
    moments: Moments | None
    """The batch's, where they were taken."""
    by_events: tuple[bool, bool]
    """The forward pass and the weight gradient."""


@dataclass
class Saved:
    """What one layer of one forward pass leaves for the backward pass; its buffers go back to the workspace then."""

    source: Spikes
    before: torch.Size
    """The input's shape before the layer flattened it."""
    current: Tensor
    found: Resolved
    start: Tensor | None
    """The membrane before the first of these steps, ``[B, H, W, C]``; None is rest."""
    fired: Tensor
    """Spikes per step and channel, ``[T, C]``."""


@dataclass
class Gradients:
    """Of what a layer learns, of all steps together; None where there is nothing or it is not wanted."""

    weight: Tensor | None
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor | None

    @classmethod
    def zero(cls, layer: Layer, *, weight: bool) -> Gradients:
        return cls(
            layer.weight.new_zeros(layer.weight.shape) if weight else None,
            None if layer.bias is None else torch.zeros_like(layer.bias),
            layer.gamma.new_zeros(layer.gamma.shape),
            None if layer.beta is None else layer.beta.new_zeros(layer.beta.shape),
        )

    def __iter__(self) -> Iterator[Tensor | None]:
        return iter((self.weight, self.bias, self.gamma, self.beta))


def normalisation(
    layer: Layer, current: Tensor, first: int, copy: Tensor | None, kernels: KernelName = "cpu"
) -> tuple[Affine, Tensor, Moments | None]:
    """The normalisation of the steps from ``first`` on, 1/√(σ² + ε), and the batch's moments where they were taken."""
    found, last = None, first + len(current)
    if layer.mean is None or layer.var is None:
        mean, var = moments(current, copy, kernels=kernels)
        rows = current[0].numel() // current.shape[-1]
        found = Moments(mean, var, (rows,) * len(current))
    else:
        mean, var = layer.mean[first:last].clone(), layer.var[first:last]  # the running mean itself may move on
        if copy is not None:
            copy.copy_(current)
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[first:last] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[first:last]
    return Affine(mean.contiguous(), scale.contiguous(), shift.contiguous()), inverse.contiguous(), found


def forward(
    layer: Layer,
    synapse: Synapse,
    compute: Compute,
    x: Spikes,
    first: int,
    start: Tensor | None = None,
    known: Resolved | None = None,
) -> tuple[Spikes, Saved, Tensor]:
    """The steps from ``first`` on, chunk by chunk: spikes, what the backward pass needs, and the membrane at the end.

    Args:
        x: the input before it is flattened.
        start: the membrane before these steps; it is left as it is. None is rest.
        known: what an earlier pass over the same steps found.
    """
    source, device = layer.enter(x), x.values.device
    current = WORKSPACE.take(*layer.current_shape(source), dtype=synapse.forward_dtype, device=device)
    membrane = WORKSPACE.take(*current.shape[1:], device=device)
    membrane = membrane.zero_() if start is None else membrane.copy_(start)
    counts = WORKSPACE.take(*pooled_shape(current, layer.window), dtype=torch.uint8, device=device)
    by_events = goes_by_events(synapse, source, compute) if known is None else known.by_events
    size = chunk_steps(compute, current, source.values)
    parts, fired = [], []
    for begin in range(0, len(current), size):
        end = min(len(current), begin + size)
        out = current[begin:end]
        given = synapse.forward(source.steps(begin, end), events=by_events[0], out=out)
        copy = None if given.data_ptr() == out.data_ptr() else out
        if known is None:
            affine, inverse, batch = normalisation(layer, given, first + begin, copy, compute.kernels)
            parts.append(Resolved(affine, inverse, batch, by_events))
        else:
            affine = known.affine.steps(begin, end)
            if copy is not None:
                copy.copy_(given)
        fired.append(
            scan(given, affine, layer.neuron, layer.window, counts[begin:end], membrane, kernels=compute.kernels)
        )
    found = joined(parts) if known is None else known
    all_fired = torch.cat(fired)
    done = Saved(source, x.values.shape, current, found, start, all_fired)
    return layer.spikes(counts, density(compute, all_fired, counts)), done, membrane


def joined(parts: Sequence[Resolved]) -> Resolved:
    """What was found of consecutive steps, as of one run of them."""
    if len(parts) == 1:
        return parts[0]
    affine = Affine(*(torch.cat([getattr(p.affine, name) for p in parts]) for name in ("mean", "scale", "shift")))
    batches = [part.moments for part in parts if part.moments is not None]
    moments = None
    if batches:
        count = tuple(n for batch in batches for n in batch.count)
        moments = Moments(torch.cat([b.mean for b in batches]), torch.cat([b.var for b in batches]), count)
    return Resolved(affine, torch.cat([part.inverse for part in parts]), moments, parts[0].by_events)


def backward(
    layer: Layer,
    synapse: Synapse,
    compute: Compute,
    done: Saved,
    grad: Tensor,
    grad_scale: float,
    learned: Gradients,
    first: int,
    *,
    carry: Tensor | None,
    keep: bool,
    wants_input: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradient of the steps from ``first`` on towards the layer's input, before it was flattened.

    Args:
        grad: dL/d(mean spikes of every window) / ``grad_scale``, see :func:`~bntt.engine.scan.scan_reverse`.
        learned: the gradients of what the layer learns; these steps' part is added.
        carry: dL/d(membrane after these steps); it becomes the one before them. None: nothing follows or precedes.
        keep: leave the saved current as it is, for another backward pass; else the gradients are written over it.

    Returns:
        The input's gradient, and the buffer that it lies in.
    """
    found, batch_statistics = done.found, layer.mean is None
    grad_current = torch.empty_like(done.current) if keep else done.current
    sum_grad, sum_product = scan_reverse(
        done.current,
        found.affine,
        found.inverse,
        layer.neuron,
        layer.window,
        grad,
        grad_scale,
        grad_current,
        batch_statistics=batch_statistics,
        membrane=done.start,
        carry=carry,
        kernels=compute.kernels,
    )
    last = first + len(sum_grad)
    learned.gamma[first:last] = sum_product
    if learned.beta is not None:
        learned.beta[first:last] = sum_grad
    if learned.bias is not None and not batch_statistics:  # a constant before batch statistics changes nothing
        learned.bias += (found.affine.scale * sum_grad).sum(0)
    input_grad, held = _synapse_backward(synapse, compute, done, grad_current, learned.weight, wants_input=wants_input)
    return None if input_grad is None else layer.leave(input_grad, done.before), held


def _synapse_backward(
    synapse: Synapse,
    compute: Compute,
    done: Saved,
    grad_current: Tensor,
    weight_grad: Tensor | None,
    *,
    wants_input: bool,
) -> tuple[Tensor | None, Tensor]:
    """Weight gradient into ``weight_grad``; the input's over ``grad_current`` where it has room, and where it lies."""
    source, events = done.source.values, done.found.by_events[1]
    size = chunk_steps(compute, grad_current, source)
    input_grad, held = None, grad_current
    if wants_input:
        if source.numel() > grad_current.numel():
            held = WORKSPACE.take(source.numel(), dtype=grad_current.dtype, device=source.device)
        input_grad = held.flatten()[: source.numel()].view(source.shape)
    for first in range(0, len(source), size):
        last = min(len(source), first + size)
        part = grad_current[first:last]
        low = part.to(synapse.backward_dtype)
        if weight_grad is not None:
            given = part if events else low
            synapse.add_weight_grad(weight_grad, done.source.steps(first, last), given, events=events)
        if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
            shape = (source.shape[2], source.shape[3], source.shape[4])
            input_grad[first:last].copy_(synapse.input_grad(low, shape))
    if held is not grad_current:
        WORKSPACE.give(grad_current)
    return input_grad, held


def chunk_steps(compute: Compute, *values: Tensor) -> int:
    """How many steps of the largest are worked on at a time: on a GPU all."""
    if compute.kernels != "cpu":
        return len(values[0])
    return max(1, CHUNK_BYTES // (4 * max(one[0].numel() for one in values)))


def density(compute: Compute, fired: Tensor, counts: Tensor) -> float:
    """Events per place. A GPU is not asked: it would have to be waited for, and a graph cannot answer."""
    return float(fired.sum()) / max(1, counts.numel()) if compute.kernels == "cpu" else 1.0
