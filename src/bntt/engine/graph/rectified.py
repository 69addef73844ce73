"""The layers of an ANN: one step in which nothing spikes and nothing is carried over.

So each node is a few operations of autograd on images ``[B, C, H, W]``, whose channels lie last in memory: weights with
the engine's gradients; norm, rectifier and average pool by one kernel, ``cpu/rectify.inl``, or by PyTorch where there
are none. The modules are the readable twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.cpu.launch import rectify, rectify_reverse
from bntt.engine.graph.layer import Layer, Resolved
from bntt.engine.graph.node import Node, Size
from bntt.engine.graph.normalisation import as_given, by_batch, current_moments
from bntt.engine.graph.once import differentiable_once
from bntt.engine.graph.weightless import Fire, Mask, MaxPool, Sum
from bntt.engine.layer_spec import Affine, PoolSize
from bntt.engine.scan import pooled_shape
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE
from bntt.ops.norm import Moments
from bntt.ops.pooling import AllSteps, Window


@dataclass(frozen=True)
class RectifiedLayer(Layer):
    """A layer without neurons whose normalised current is rectified, and averaged over windows."""

    def size(self, inputs: Sequence[Spikes]) -> Size:
        """See :class:`~bntt.engine.graph.node.Node`."""
        return _pooled(super().size(inputs), self.window)


@dataclass(frozen=True)
class Rectify(Node):
    """A value rectified, and averaged over windows."""

    window: PoolSize

    def size(self, inputs: Sequence[Spikes]) -> Size:
        """See :class:`~bntt.engine.graph.node.Node`."""
        return _pooled(Size(Spikes(inputs[0].values), inputs[0].values.numel(), 0), self.window)


def _pooled(size: Size, window: PoolSize) -> Size:
    out = torch.empty(pooled_shape(size.out.values, window), dtype=torch.float32, device="meta")
    return size._replace(out=Spikes(out))


def why_not_rectified(nodes: Sequence[Node], compute: Compute, *, alone: bool) -> str:
    """Return why the nodes of a block that rectifies cannot run here; "" if they can.

    Args:
        alone: True if there is one step.

    >>> why_not_rectified([Rectify(window=(1, 1))], Compute(rectifiers="plain"), alone=True)
    "its neurons rectify, and rectifiers are 'plain'"
    """
    if compute.rectifiers == "plain":
        return "its neurons rectify, and rectifiers are 'plain'"
    if compute.backend != "auto" or compute.precision != "fp32":
        return "its neurons rectify, which the kernels do not support"
    if not alone or compute.reduce is not None:
        return "its neurons rectify, which is fused in networks of one step, trained by one process"
    for node in nodes:
        if isinstance(node, Fire) or (isinstance(node, Layer) and node.neuron is not None):
            return "some of its neurons spike and others rectify"
        if isinstance(node, Layer) and (node.sample_eps is not None or node.pooling not in (Window(0), AllSteps())):
            return "its neurons rectify, and its norm is no batch normalisation of one step"
    return ""


def run_rectified(nodes: Sequence[Node], x: Tensor, compute: Compute) -> tuple[Tensor, list[Moments | None]]:
    """Drive the nodes by one step.

    Args:
        x: ``[1, B, H, W, C]``, float32.

    Returns:
        The output of the last node, ``[1, B, H, W, C]``, and the batch's moments of each node that took them.
    """
    values, found = [x[0].permute(0, 3, 1, 2)], list[Moments | None]()
    furthest = max(-back for node in nodes for back in node.reads)
    for node in nodes:
        inputs, moments = [values[back] for back in node.reads], None
        if isinstance(node, Layer):
            out, moments = _layer(node, inputs[0], compute)
        else:
            out = _WEIGHTLESS[type(node)](node, *inputs)
        values = [*values, out][-furthest:]
        found.append(moments)
    return values[-1].permute(0, 2, 3, 1)[None], found


def normalise(layer: Layer, current: Tensor) -> tuple[Tensor, Moments | None]:
    """Normalise one step (Eq. 9) by PyTorch's batch normalisation; return the batch's moments too, if it took them.

    Args:
        current: ``[B, C, H, W]``.
    """
    affine = layer.gamma[0], None if layer.beta is None else layer.beta[0]
    if layer.mean is not None and layer.var is not None:
        return torch.batch_norm(current, *affine, layer.mean[0], layer.var[0], False, 0.0, layer.eps, False), None
    mean, var = torch.zeros_like(layer.gamma), torch.zeros_like(layer.gamma)
    # by a momentum of 1 running statistics become the batch's, with the unbiased variance
    y = torch.batch_norm(current, *affine, mean[0], var[0], True, 1.0, layer.eps, False)
    count = current.numel() // current.shape[1]
    return y, Moments(mean, var * ((count - 1) / count), (count,))


class _Rectified(torch.autograd.Function):
    """What follows the weights of a layer, by the kernel: ``[B, H, W, C]`` to ``[B, H', W', C]``."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, gamma: Tensor | None, beta: Tensor | None, how: _How) -> Tensor:
        ctx.save_for_backward(current)
        ctx.how = how
        return rectify(current, how.found.affine, how.window, how.floor)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor], grad_out: Tensor) -> tuple[Tensor | None, ...]:
        found, window, floor = ctx.how
        _, to_gamma, to_beta, *_ = ctx.needs_input_grad
        job = saved[0], found.affine, window, floor, grad_out.contiguous(), found.inverse
        out, sums = rectify_reverse(*job, batch=found.moments is not None)
        return out, sums[1] if to_gamma else None, sums[0] if to_beta else None, None


class _How(NamedTuple):
    """How a current goes on."""

    found: Resolved
    window: PoolSize
    floor: float
    """0, or -∞ where nothing is rectified."""


def _by_kernel(x: Tensor, layer: Layer | None, window: PoolSize, floor: float) -> tuple[Tensor, Moments | None]:
    """Normalise, rectify and average ``[B, H, W, C]``; None has no norm."""
    steps, by_events, channels = slice(0, 1), (False, False), x.shape[-1]
    gamma, beta = (None, None) if layer is None else (layer.gamma, layer.beta)
    with torch.no_grad():
        if layer is None:
            found = Resolved(Affine.identity(1, channels, x.device), torch.ones(1, channels), None, by_events)
        elif layer.batch_statistics:  # pooled over the steps they are those of the one
            found = by_batch(replace(layer, pooling=Window(0)), steps, current_moments(x[None]), None, by_events)
        else:
            found = as_given(layer, steps, by_events)
    out: Tensor = _Rectified.apply(x, gamma, beta, _How(found, window, floor))  # type: ignore[no-untyped-call]
    return out, found.moments


def _has_kernel(x: Tensor) -> bool:
    """Return False on a GPU, where PyTorch's operations do the same."""
    return x.is_cpu


def _layer(layer: Layer, x: Tensor, compute: Compute) -> tuple[Tensor, Moments | None]:
    if layer.flatten:
        x = x.flatten(1)[:, :, None, None]
    values = x.permute(0, 2, 3, 1)[None]
    weighed: Tensor = _Weigh.apply(values, layer.weight, layer.bias, layer, compute)  # type: ignore[no-untyped-call]
    has_norm = layer.batch_statistics or layer.eps > 0  # without a norm ε is 0
    rectifies = isinstance(layer, RectifiedLayer)
    if _has_kernel(weighed) and (has_norm or rectifies):
        how = (layer.window, 0.0) if rectifies else ((1, 1), -math.inf)
        y, moments = _by_kernel(weighed, layer if has_norm else None, *how)
        return y.permute(0, 3, 1, 2), moments
    y, moments = weighed.permute(0, 3, 1, 2), None
    if has_norm:
        y, moments = normalise(layer, y)
    if rectifies:
        y = _average(y.relu_() if has_norm else y.relu(), layer.window)  # nobody else has a norm's result
    return y, moments


def _rectified(node: Rectify, x: Tensor) -> Tensor:
    if not _has_kernel(x):
        return _average(x.relu(), node.window)
    return _by_kernel(x.permute(0, 2, 3, 1).contiguous(), None, node.window, 0.0)[0].permute(0, 3, 1, 2)


def _average(x: Tensor, window: PoolSize) -> Tensor:
    return x if window == (1, 1) else F.avg_pool2d(x, window)


_WEIGHTLESS: dict[type, Callable[..., Tensor]] = {
    Rectify: _rectified,
    Sum: lambda node, one, other: one + other,
    MaxPool: lambda node, x: F.max_pool2d(x, node.window),
    Mask: lambda node, x: x * node.draw().permute(0, 3, 1, 2).to(x.dtype) / (1 - node.p),
}
"""What nodes without weights do with images."""


class _Weigh(torch.autograd.Function):
    """The weights of a layer on ``[1, B, H, W, Ci]``; the result is ``[B, H', W', Co]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, compute: Compute) -> Tensor:
        synapse, x = Synapse(weight, bias, layer.geometry), x.reshape(-1).view(x.shape)  # strides of one channel too
        ctx.save_for_backward(x, weight)
        ctx.synapse, ctx.compute, ctx.cancels = synapse, compute, layer.batch_statistics
        return synapse.forward(Spikes(x), events=False)[0]

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor, Tensor], grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = saved
        grad, synapse, (wants_input, wants_weight, wants_bias, *_) = grad_out[None], ctx.synapse, ctx.needs_input_grad
        grad, of_weight = grad.contiguous(), torch.zeros_like(weight) if wants_weight else None
        if of_weight is not None:
            synapse.add_weight_grad(of_weight, Spikes(x), grad, events=False)
        of_input = _input_grad(synapse, grad, x.shape, ctx.compute) if wants_input else None
        of_bias = grad.sum((0, 1, 2, 3)) if wants_bias else None
        if of_bias is not None and ctx.cancels:  # a constant does, in the batch's mean
            of_bias.zero_()
        return of_input, of_weight, of_bias, None, None


def _input_grad(synapse: Synapse, grad: Tensor, shape: torch.Size, compute: Compute) -> Tensor:
    _, _, height, width, channels = shape
    if not takes(synapse, shape, compute):
        return synapse.input_grad(grad, (height, width, channels))
    out = torch.empty(shape, dtype=torch.float32, device=grad.device)
    with WORKSPACE.lease() as lease:
        InputGrad.begin(synapse, height, width, lease).into(grad, out)
    return out
