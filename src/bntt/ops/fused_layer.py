"""One layer of a fused run: what it is made of, its normalisation, and its backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.ops.event_conv import Geometry, Spikes, Synapse
from bntt.ops.norm import Moments
from bntt.ops.norm_lif import Affine, Neuron, Window, moments, scan_reverse
from bntt.ops.workspace import WORKSPACE


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

    def spikes(self, counts: Tensor, fired: Tensor) -> Spikes:
        """What the layer gives to the next."""
        area = self.window[0] * self.window[1]
        return Spikes(counts, 1 / area, area, float(fired.sum()) / max(1, counts.numel()))


@dataclass
class Pass:
    """What one layer of one forward pass leaves for the backward pass; its buffers go back to the workspace then."""

    source: Spikes
    before: torch.Size
    """The input's shape before the layer flattened it."""
    current: Tensor
    affine: Affine
    inverse: Tensor
    by_events: bool
    """The weight gradient."""


def normalisation(
    layer: Layer, current: Tensor, first: int, last: int, copy: Tensor | None
) -> tuple[Affine, Tensor, Moments | None]:
    """The normalisation of steps first..last-1, 1/√(σ² + ε), and the batch's moments where they were taken."""
    found = None
    if layer.mean is None or layer.var is None:
        mean, var = moments(current, copy)
        rows = current[0].numel() // current.shape[-1]
        found = Moments(mean, var, (rows,) * (last - first))
    else:
        mean, var = layer.mean[first:last], layer.var[first:last]
        if copy is not None:
            copy.copy_(current)
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[first:last] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[first:last]
    return Affine(mean.contiguous(), scale.contiguous(), shift.contiguous()), inverse.contiguous(), found


def backward(
    layer: Layer, done: Pass, grad: Tensor, grad_scale: float, *, keep: bool, wants: tuple[bool, bool], chunk: int
) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
    """The gradient of one layer towards its input, before it was flattened, and towards what it learns.

    Args:
        grad: dL/d(mean spikes of every window) / ``grad_scale``, see :func:`~bntt.ops.norm_lif.scan_reverse`.
        keep: leave the saved current as it is, for another backward pass; else the gradients are written over it.
        wants: the gradient of the weight, and of the input.
        chunk: bytes of current that are worked on at a time.
    """
    batch_statistics = layer.mean is None
    grad_current = torch.empty_like(done.current) if keep else done.current
    sum_grad, sum_product = scan_reverse(
        done.current,
        done.affine,
        done.inverse,
        layer.neuron,
        layer.window,
        grad,
        grad_scale,
        grad_current,
        batch_statistics=batch_statistics,
    )
    synapse = Synapse(layer.weight, layer.bias, layer.geometry)
    weight_grad = torch.zeros(layer.weight.shape) if wants[0] else None
    input_grad = _synapse_backward(synapse, done, grad_current, weight_grad, chunk, wants_input=wants[1])
    bias_grad = None
    if layer.bias is not None:  # a constant in front of batch statistics changes nothing
        bias_grad = torch.zeros_like(layer.bias)
        if not batch_statistics:
            bias_grad += (done.affine.scale * sum_grad).sum(0)
    beta_grad = None if layer.beta is None else sum_grad.float()
    if input_grad is not None:
        input_grad = layer.leave(input_grad, done.before)
    return input_grad, (weight_grad, bias_grad, sum_product.float(), beta_grad)


def _synapse_backward(
    synapse: Synapse, done: Pass, grad_current: Tensor, weight_grad: Tensor | None, chunk: int, *, wants_input: bool
) -> Tensor | None:
    """Weight gradient into ``weight_grad``; the input's gradient over ``grad_current`` where it has room for it."""
    source = done.source.values
    steps, step_size = len(source), max(grad_current[0].numel(), source[0].numel())
    size = max(1, chunk // (4 * step_size))
    input_grad = None
    if wants_input:
        fits = source.numel() <= grad_current.numel()
        flat = grad_current.flatten()[: source.numel()] if fits else WORKSPACE.take(source.numel())
        input_grad = flat.view(source.shape)
    for first in range(0, steps, size):
        last = min(steps, first + size)
        part = grad_current[first:last]
        if weight_grad is not None:
            synapse.add_weight_grad(weight_grad, done.source.steps(first, last), part, events=done.by_events)
        if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
            shape = (source.shape[2], source.shape[3], source.shape[4])
            input_grad[first:last].copy_(synapse.input_grad(part, shape))
    return input_grad
