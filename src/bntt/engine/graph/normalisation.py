"""The normalisation of a layer over some steps: by given statistics, or by the batch's.

The batch may be that of all processes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bntt.engine.compute import KernelName
from bntt.engine.graph.layer import Layer, Resolved
from bntt.engine.layer_spec import Affine
from bntt.engine.scan import moments
from bntt.ops.norm import Moments
from bntt.ops.pooling import Window


def current_moments(current: Tensor, copy: Tensor | None = None, *, kernels: KernelName = "cpu") -> Moments:
    """Return Algorithm 1's statistics of a current ``[T, B, H, W, C]``; ``copy`` receives its values on the way."""
    steps, *places, _ = current.shape
    return Moments(*moments(current, copy, kernels=kernels), (math.prod(places),) * steps)


def by_batch(layer: Layer, steps: slice, own: Moments, past: Moments | None, by_events: tuple[bool, bool]) -> Resolved:
    """Normalise some steps (Eq. 9) by the batch's statistics, pooled over time as the layer says."""
    if layer.pooling == Window(0):
        return _resolved(layer, steps, own.mean, own.var, own, by_events)
    pooled, carried = layer.pooling.extend(past, own)
    rows = len(own.count), own.mean.shape[1]
    found = _resolved(layer, steps, pooled.mean.expand(rows), pooled.var.expand(rows), pooled, by_events)
    return replace(found, own=own, past=past, carried=carried)


def as_given(layer: Layer, steps: slice, by_events: tuple[bool, bool]) -> Resolved:
    """Normalise some steps (Eq. 9) by the layer's given statistics."""
    assert layer.mean is not None
    assert layer.var is not None
    mean, var = layer.mean[steps].clone(), layer.var[steps]  # the running mean itself may move on
    return _resolved(layer, steps, mean, var, None, by_events)


def _resolved(
    layer: Layer, steps: slice, mean: Tensor, var: Tensor, moments: Moments | None, by_events: tuple[bool, bool]
) -> Resolved:
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[steps] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[steps]
    affine = Affine(mean.contiguous(), scale.contiguous(), shift.contiguous())
    return Resolved(affine, inverse.contiguous(), moments, by_events)


def towards_current(
    layer: Layer, found: Resolved, sums: Tensor, later: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Return what Eq. 10 subtracts from ``scale g`` to get dL/d(current): ``offset + slope (current - mean)``.

    For statistics of one step it is ``a (mean(g) + x̂ mean(g x̂))``. If statistics of several steps were pooled, a
    step's current gets gradients from all steps that it helped to normalise, by autograd through the pooling.

    Args:
        sums: over rows, of g and of g x̂, ``[2, T, C]``, float64; of all processes.
        later: dL/d(mean, variance) that the pooling keeps of these steps; None is 0.

    Returns:
        Offset and slope, ``[T, C]``; and dL/d(mean, variance) that the pooling kept of the steps before.
    """
    assert found.moments is not None
    scale, inverse = found.affine.scale, found.inverse
    if found.own is None:
        rows = found.moments.count[0]
        return (scale * (sums[0] / rows)).float(), (scale * inverse * (sums[1] / rows)).float(), None
    towards_mean, towards_var = -scale * sums[0], -0.5 * scale * inverse * sums[1]
    with torch.enable_grad():
        own, past = _leaves(found.own), None if found.past is None else _leaves(found.past)
        pooled, carried = layer.pooling.extend(past, own)
        pairs = [(pooled.mean.expand_as(scale), towards_mean), (pooled.var.expand_as(scale), towards_var)]
        if carried is not None and later is not None:
            pairs += [(carried.mean, later[0]), (carried.var, later[1])]
        leaves = [own.mean, own.var] + ([] if past is None else [past.mean, past.var])
        into = torch.autograd.grad([out for out, _ in pairs], leaves, [grad for _, grad in pairs])
    counts = torch.tensor(own.count, dtype=torch.float64, device=scale.device)[:, None]
    slope = -2 * into[1] / counts
    offset = slope * (found.affine.mean - own.mean.detach()) - into[0] / counts
    return offset.float(), slope.float(), None if past is None else (into[2], into[3])


def _leaves(moments: Moments) -> Moments:
    mean, var = (rows.detach().double().requires_grad_() for rows in (moments.mean, moments.var))
    return Moments(mean, var, moments.count)


def by_sample(current: Tensor, eps: float, out: Tensor) -> Tensor:
    """Normalise each sample and step, ``(x - μ) / √(σ² + ε)`` over channels and places: LayerNorm without its scale.

    >>> x = torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 1, 2)
    >>> by_sample(x, 0.0, x).flatten(), x.flatten()
    (tensor([1.]), tensor([-1.,  1.]))
    """
    normal, _, spread = torch.native_layer_norm(current.float(), current.shape[2:], None, None, eps)
    out.copy_(normal)
    return spread


def through_samples(grad: Tensor, normal: Tensor, spread: Tensor) -> None:
    """Write the gradient of :func:`by_sample` over that of its result: ``(g - mean(g) - x̂ mean(g x̂)) / σ``.

    >>> g, normal = torch.ones(1, 1, 1, 1, 2), torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 1, 2)
    >>> through_samples(g, normal, torch.ones(1, 1, 1, 1, 1))
    >>> g.flatten()
    tensor([0., 0.])
    """
    dims = (2, 3, 4)
    mean, product = grad.mean(dims, keepdim=True), (grad * normal).mean(dims, keepdim=True)
    grad.sub_(mean).addcmul_(normal, product, value=-1).mul_(spread)
