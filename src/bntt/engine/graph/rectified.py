"""The layers of an ANN: one step in which nothing spikes and nothing is carried over.

So each node is a few operations of autograd on images ``[B, C, H, W]``, whose channels lie last in memory: weights with
the engine's gradients; norm, rectifier and average pool by one kernel, ``cpu/rectify.inl``. In the lower precisions
factors and products are bfloat16, and what lies between the weights of two layers is float32. The modules are the
readable twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.cpu.launch import rectify, rectify_reverse
from bntt.engine.graph.layer import Fire, Layer, Mask, MaxPool, Resolved, Sum, as_given, by_batch, current_moments
from bntt.engine.graph.node import Node, Size, differentiable_once
from bntt.engine.layer_spec import Affine, PoolSize, pooled_shape
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE
from bntt.ops.norm import Moments
from bntt.ops.pooling import AllSteps, Window


@dataclass(frozen=True)
class Rectify(Node):
    """A value rectified, and averaged over windows."""

    window: PoolSize

    def size(self, inputs: Sequence[Spikes]) -> Size:
        values = inputs[0].values
        out = torch.empty(pooled_shape(values, self.window), dtype=torch.float32, device="meta")
        return Size(Spikes(out), values.numel() + out.numel(), 0)


def why_not_rectified(nodes: Sequence[Node], compute: Compute, *, alone: bool) -> str:
    """Return why the nodes of a block that rectifies cannot run here; "" if they can."""
    if compute.rectifiers == "plain":
        return "its neurons rectify, and rectifiers are 'plain', not 'fused'"
    if compute.backend != "auto":
        return "its neurons rectify, which the kernels do not support"
    if not alone or compute.reduce is not None:
        return "its neurons rectify, which is fused in networks of one step, trained by one process"
    for node in nodes:
        if isinstance(node, Fire) or (isinstance(node, Layer) and node.neuron is not None):
            return "some of its neurons spike and others rectify"
        if isinstance(node, Layer) and (node.sample_eps is not None or node.pooling not in (Window(0), AllSteps())):
            return "its neurons rectify, and its norm is not batch normalisation of one step"
    return ""


def run_rectified(nodes: Sequence[Node], x: Tensor, compute: Compute) -> tuple[Tensor, list[Moments | None]]:
    """Drive the nodes by one step."""
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


class _Rectified(torch.autograd.Function):
    """What follows the weights of a layer, by the kernel: ``[B, H, W, C]`` to ``[B, H', W', C]``.

    ``how`` is the normalisation, the window, and the least value: 0, or -∞ where nothing is rectified.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, gamma: Tensor | None, beta: Tensor | None, *how: Any) -> Tensor:
        ctx.save_for_backward(current)
        ctx.how = found, window, floor = how
        return rectify(current, found.affine, window, floor)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor], grad_out: Tensor) -> tuple[Tensor | None, ...]:
        found, window, floor = ctx.how
        to_current, to_gamma, to_beta, *_ = ctx.needs_input_grad
        job = saved[0], found.affine, window, floor, grad_out.contiguous(), found.inverse
        batch, wants = found.moments is not None, (to_current, to_gamma or to_beta)
        of_current, sums = rectify_reverse(*job, batch=batch, wants=wants)
        of_beta, of_gamma = (None, None) if sums is None else sums
        return of_current, of_gamma if to_gamma else None, of_beta if to_beta else None, None, None, None


def _by_kernel(x: Tensor, layer: Layer | None, window: PoolSize, floor: float) -> tuple[Tensor, Moments | None]:
    """Normalise, rectify and average ``[B, H, W, C]``; None has no norm."""
    steps, event_driven, channels = slice(0, 1), (False, False), x.shape[-1]
    gamma, beta = (None, None) if layer is None else (layer.gamma, layer.beta)
    with torch.no_grad():
        if layer is None:
            affine = Affine.identity(1, channels, x.device)
            found = Resolved(affine, affine.scale, None, event_driven)
        elif layer.batch_statistics:  # with one step, pooled ones are that step's
            found = by_batch(replace(layer, pooling=Window(0)), steps, current_moments(x[None]), None, event_driven)
        else:
            found = as_given(layer, steps, event_driven)
        if beta is not None:  # which may change before the gradient is asked for
            found = replace(found, affine=replace(found.affine, shift=found.affine.shift.clone()))
    out: Tensor = _Rectified.apply(x, gamma, beta, found, window, floor)  # type: ignore[no-untyped-call]
    return out, found.moments


def _layer(layer: Layer, x: Tensor, compute: Compute) -> tuple[Tensor, Moments | None]:
    if layer.flatten:
        x = x.flatten(1)[:, :, None, None]
    values = x.permute(0, 2, 3, 1)[None]
    y: Tensor = _Weigh.apply(values, layer.weight, layer.bias, layer, compute)  # type: ignore[no-untyped-call]
    has_norm, rectifies, moments = layer.batch_statistics or layer.eps > 0, layer.rectifies, None
    if has_norm or rectifies:  # without a norm ε is 0
        how = (layer.window, 0.0) if rectifies else ((1, 1), -math.inf)
        y, moments = _by_kernel(y, layer if has_norm else None, *how)
    return y.permute(0, 3, 1, 2), moments


def _rectified(node: Rectify, x: Tensor) -> Tensor:
    return _by_kernel(x.permute(0, 2, 3, 1).contiguous(), None, node.window, 0.0)[0].permute(0, 3, 1, 2)


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
        synapse = Synapse(weight, bias, layer.geometry, compute.precision)
        x = x.reshape(-1).view(x.shape).to(synapse.forward_dtype)  # contiguous in the strides of one channel too
        ctx.save_for_backward(x, weight)
        ctx.synapse, ctx.compute, ctx.cancels = synapse, compute, layer.batch_statistics
        return synapse.forward(Spikes(x), events=False)[0].float()

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor, Tensor], grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = saved
        grad, synapse, (wants_input, wants_weight, wants_bias, *_) = grad_out[None], ctx.synapse, ctx.needs_input_grad
        grad = grad.contiguous()
        low, of_weight = grad.to(synapse.backward_dtype), torch.zeros_like(weight) if wants_weight else None
        if of_weight is not None:
            synapse.add_weight_grad(of_weight, Spikes(x), low, events=False)
        of_input = _input_grad(synapse, low, x.shape, ctx.compute).float() if wants_input else None
        of_bias = grad.sum((0, 1, 2, 3)) if wants_bias else None
        if of_bias is not None and ctx.cancels:  # a constant cancels in the batch's mean
            of_bias.zero_()
        return of_input, of_weight, of_bias, None, None


def _input_grad(synapse: Synapse, grad: Tensor, shape: torch.Size, compute: Compute) -> Tensor:
    _, _, height, width, channels = shape
    if not takes(synapse, shape, compute):
        return synapse.input_grad(grad, (height, width, channels))
    out = torch.empty(shape, dtype=torch.float32, device=grad.device)
    with WORKSPACE.lease() as lease:
        InputGrad(synapse, height, width, lease).into(grad, out)
    return out
