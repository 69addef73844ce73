"""The normalisation of a layer over some steps: by the statistics that it was given, or by the batch's, which may be
the batch of all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bntt.engine.compute import KernelName, Reduce
from bntt.engine.layer import Layer, Resolved
from bntt.engine.measure import joined_moments
from bntt.engine.neuron import Affine
from bntt.engine.scan import moments
from bntt.ops.norm import Moments, moment_sums, moments_of_sums


def current_moments(current: Tensor, copy: Tensor | None = None, *, kernels: KernelName = "cpu") -> Moments:
    """Algorithm 1's statistics of a current ``[T, B, H, W, C]``; ``copy`` takes its values on the way.

    >>> current_moments(torch.zeros(1, 4, 2, 2, 8)).count
    (16,)
    """
    rows = current[0].numel() // current.shape[-1]
    return Moments(*moments(current, copy, kernels=kernels), (rows,) * len(current))


def of_all_processes(parts: Sequence[Moments], reduce: Reduce) -> Moments:
    """The statistics of consecutive steps over the batches of all processes, in one call.

    >>> zero = Moments(torch.zeros(1, 1), torch.ones(1, 1), (4,))
    >>> of_all_processes([zero], lambda sums: 3 * sums)
    Moments(mean=tensor([[0.]]), var=tensor([[1.]]), count=(12,))
    """
    own = joined_moments(parts)
    assert own is not None
    found = moments_of_sums(reduce(moment_sums(own)))
    return Moments(found.mean.to(own.mean), found.var.to(own.var), found.count)


def normalisation(layer: Layer, steps: slice, batch: Moments | None, by_events: tuple[bool, bool]) -> Resolved:
    """Eq. 9's normalisation of some steps.

    Args:
        batch: the moments of their currents; None: the layer's own.
    """
    if batch is not None:
        mean, var = batch.mean, batch.var
    else:
        assert layer.mean is not None
        assert layer.var is not None
        mean, var = layer.mean[steps].clone(), layer.var[steps]  # the running mean itself may move on
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[steps] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[steps]
    affine = Affine(mean.contiguous(), scale.contiguous(), shift.contiguous())
    return Resolved(affine, inverse.contiguous(), batch, by_events)
