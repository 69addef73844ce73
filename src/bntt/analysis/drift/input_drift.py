"""What enters the normalised layers, against the statistics that they hold for it (the paper's Figure 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from bntt.analysis.accuracy.batches import passing
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity.delays import delays
from bntt.engine.graph.recording import distribution
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.measured import Measure, joined
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.network.trace import evaluating
from bntt.nn.norms.temporal import TemporalNorm
from bntt.ops.norm import Moments, moment_sums, moments_of_sums

EDGES = tuple(tenths / 10 for tenths in range(-60, 61, 2))
"""Of a histogram of standardised inputs."""


@dataclass(frozen=True)
class LayerDrift:
    """A layer's input x_t, with mean μ_t and variance σ²_t over batch and space, against μ̄_t and σ̄²_t, which it holds.

    ε is added to both variances, as the layer does. The held variance is unbiased, the measured one is not, which of
    many values is the same.
    """

    moments: Moments
    """μ_t and σ²_t of each channel (float64)."""
    distance: Float64[Tensor, " T"]
    """Mean over channels of ``|μ_t - μ̄_t| / σ̄_t``: 1 is a whole deviation away."""
    divergence: Float64[Tensor, " T"]
    """Mean over channels of ``KL(N(μ_t, σ²_t) ‖ N(μ̄_t, σ̄²_t)) = ½ (r - 1 - ln r + (μ_t - μ̄_t)² / σ̄²_t)`` with
    ``r = σ²_t / σ̄²_t``, in nats; 0 where they agree."""
    ratio: Float64[Tensor, " T"]
    """Geometric mean over channels of ``σ_t / σ̄_t``."""
    if_shared: Float64[Tensor, " T"]
    """The distance, if the layer held for all steps what it holds for the driven ones on average: how much its input
    moves at all. It is the distance itself where one pair of statistics serves every step."""
    driven: range
    """The steps that are not silent by the firing rule, and reach the readout."""


@dataclass(frozen=True)
class LayerInputs:
    """How what enters a layer is distributed in every step, as ``(x_t - μ̄_t) / σ̄_t`` of each value."""

    layer: str
    edges: tuple[float, ...]
    counts: Int64[Tensor, "T bins"]
    """How many values are below the first edge, between each two, and from the last edge on."""

    @property
    def density(self) -> Float64[Tensor, "T widths"]:
        """Share of a step's values between each two edges, over their distance.

        >>> LayerInputs("fc1", (0.0, 0.5, 1.0), torch.tensor([[2, 1, 1, 0]])).density
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
        """
        widths = torch.tensor(self.edges, dtype=torch.float64).diff()
        return self.counts[:, 1:-1].double() / self.counts.sum(1, keepdim=True) / widths


def input_drift(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> dict[str, LayerDrift]:
    """What enters every layer whose norm holds statistics, in evaluation mode, over all samples.

    Means and variances of batches are combined exactly, whatever their sizes. The model is left as it was.

    Args:
        batches: as :func:`~bntt.analysis.evaluate` takes them.
        seed, draw: of the noise.
        progress: called with the number of samples of every batch done.

    Raises:
        ValueError: if no layer holds statistics, or there are no samples.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> input_drift(model, [(torch.ones(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))])["fc1"].distance.shape
    torch.Size([3])
    """
    check_classifier(model, "input_drift() takes")
    norms, sums = held_norms(model.network), dict[str, Tensor]()
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model):
        for inputs, labels, index in samples(batches, 0):
            noise = {"seed": seed, "index": index, "draw": draw}
            found = joined([part.measured for part in passing(model, inputs.to(device), Measure(moments=True), noise)])
            for name in norms:
                moments = found[name].moments
                assert moments is not None  # asked for, and the layer has a norm
                own = moment_sums(moments).cpu()
                sums[name] = sums[name] + own if name in sums else own
            progress(len(labels))
    if not sums:
        raise ValueError("there are no samples to measure")
    late = delays(model.network)
    return {
        name: compared(moments_of_sums(sums[name]), norm, late[name].driven(norm.num_steps))
        for name, norm in norms.items()
    }


def compared(found: Moments, norm: TemporalNorm, driven: range) -> LayerDrift:
    """The moments of what entered a layer, a row for each step, beside what its norm holds.

    >>> from bntt.nn import BNTT
    >>> came = Moments(torch.tensor([[2.0], [0.0]]).double(), torch.ones(2, 1).double(), (8, 8))
    >>> compared(came, BNTT(1, num_steps=2, eps=1e-9), range(2)).distance.round(decimals=3)
    tensor([2., 0.], dtype=torch.float64)
    """
    mean, var = norm.running_mean.detach().double().cpu(), norm.running_var.detach().double().cpu()
    at = slice(driven.start, driven.stop) if driven and len(mean) > 1 else slice(None)
    usual = mean[at].mean(0)
    usual_var = (var[at] + (mean[at] - usual).square()).mean(0) + norm.eps
    var = var + norm.eps
    apart, ratio = (found.mean - mean) / var.sqrt(), (found.var + norm.eps) / var
    return LayerDrift(
        found,
        distance=apart.abs().mean(1),
        divergence=((ratio - 1 - ratio.log() + apart.square()) / 2).mean(1),
        ratio=(ratio.log() / 2).mean(1).exp(),
        if_shared=((found.mean - usual).abs() / usual_var.sqrt()).mean(1),
        driven=driven,
    )


def layer_inputs(
    model: SpikingClassifier,
    batches: Loader,
    layer: str,
    *,
    edges: Sequence[float] = EDGES,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> LayerInputs:
    """The distribution of what enters one layer, in evaluation mode, in units of what it holds.

    A copy of the model is measured, the layer's block in plain PyTorch and one step after another.

    Args:
        batches, seed, draw, progress: as :func:`drift`'s.
        edges: of the histogram, two or more that ascend.

    Raises:
        ValueError: if there is no such layer, or it holds no statistics; or there are no samples.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> found = layer_inputs(model, [(torch.ones(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))], "fc1")
    >>> found.counts.sum(1)
    tensor([40, 40, 40])
    """
    check_classifier(model, "layer_inputs() takes")
    if layer not in (names := held_norms(model.network)):
        raise ValueError(f"there is no layer {layer!r} that holds statistics: choose one of {', '.join(names)}")
    wanted = tuple(Measure(current=edges).current)
    model = copy.deepcopy(model).eval()
    model.network.compute = replace(model.network.compute, backend="auto")
    device, rows, total = next(model.parameters()).device, list[Tensor](), None
    norm = held_norms(model.network)[layer]

    def count(module: nn.Module, args: tuple[Any, ...]) -> None:
        for x in args[0]:
            row = len(rows) if len(norm.running_mean) > 1 else 0
            shape = (-1, *[1] * (x.ndim - 2))
            mean, inverse = norm.running_mean[row].reshape(shape), (norm.running_var[row] + norm.eps).rsqrt()
            rows.append(distribution([(x - mean) * inverse.reshape(shape)], wanted)[0].cpu())

    norm.register_forward_pre_hook(count)
    with torch.no_grad():
        for inputs, labels, index in samples(batches, 0):
            rows.clear()
            for _ in passing(model, inputs.to(device), Measure(), {"seed": seed, "index": index, "draw": draw}):
                pass
            counts = torch.cat(rows)
            total = counts if total is None else total + counts
            progress(len(labels))
    if total is None:
        raise ValueError("there are no samples to measure")
    return LayerInputs(layer, wanted, total)


def held_norms(network: SpikingNetwork) -> dict[str, TemporalNorm]:
    """The norms that hold running statistics, by layer.

    Raises:
        ValueError: if there is none.

    >>> from bntt.models import mlp
    >>> list(held_norms(mlp(hidden=(4,), norm="bn")))
    ['fc1']
    """
    norms = {name: layer.norm for name, layer in network.layers.items()}
    held = {name: norm for name, norm in norms.items() if isinstance(norm, TemporalNorm)}
    if not held:
        kinds = ", ".join(sorted({type(norm).__name__ for norm in norms.values() if norm is not None}))
        raise ValueError(
            f"no layer of this network holds statistics to drift from (its norms: {kinds or 'none'}): "
            f"measure one with bntt, bn or another norm with running statistics"
        )
    return held
