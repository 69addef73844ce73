"""Inputs of the normalised layers, compared with the layers' running statistics (the paper's Figure 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, add_to, advance_batch, presented
from bntt.analysis.drift import LayerDrift, LayerInputs
from bntt.engine.graph.recording import distribution
from bntt.nn.call import evaluating
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.delays import delays
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Measure, joined
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.ops.norm import Moments, moment_sums, moments_of_sums

EDGES = tuple(tenths / 10 for tenths in range(-60, 61, 2))
"""Edges of a histogram of standardised inputs."""


def input_drift(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> dict[str, LayerDrift]:
    """Return how far every layer's input is from its running statistics, in evaluation mode, over all samples.

    Means and variances of batches are combined exactly, whatever their sizes.

    Args:
        model: the classifier; left unchanged.
        batches: as :func:`~bntt.analysis.evaluate` takes them.
        seed, draw: identify the noise.
        progress: called after every batch, with its number of samples.

    Raises:
        ValueError: if no layer has running statistics, or there are no samples.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> input_drift(model, [(torch.ones(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))])["fc1"].driven
    (1, 3)
    """
    check_classifier(model, "input_drift() takes")
    norms, late = held_norms(model.network), delays(model.network)
    found = input_moments(model, batches, seed, draw, progress)
    return {name: layer_drift(found[name], norm, late[name].driven(norm.num_steps)) for name, norm in norms.items()}


def input_moments(
    model: SpikingClassifier,
    batches: Loader,
    seed: int = 0,
    draw: int = FIRST_DRAW,
    progress: Callable[[int], None] = lambda samples: None,
) -> dict[str, Moments]:
    """Return mean and variance (float64) of the normalised layers' inputs at each step and channel."""
    norms, sums = held_norms(model.network), dict[str, Tensor]()
    with torch.no_grad(), evaluating(model):
        for _, inputs, _, noise in presented(model, batches, "measure", seed, 1, progress, draw=draw):
            steps = advance_batch(model, inputs, Measure(moments=True), noise)
            found = joined([found for _, found, _ in steps])
            for name in norms:
                moments = found[name].moments
                assert moments is not None  # asked for, and the layer has a norm
                add_to(sums, name, moment_sums(moments).cpu())
    return {name: moments_of_sums(rows) for name, rows in sums.items()}


def layer_drift(found: Moments, norm: Any, driven: range) -> LayerDrift:
    """Compare the moments of a layer's input, a row for each step, with its norm's running statistics."""
    mean, var = norm.running_mean.detach().double().cpu(), norm.running_var.detach().double().cpu()
    at = slice(driven.start, driven.stop) if driven and len(mean) > 1 else slice(None)
    usual = mean[at].mean(0)
    usual_var = (var[at] + (mean[at] - usual).square()).mean(0) + norm.eps
    return LayerDrift(
        driven=(driven.start + 1, driven.stop),
        distance=((found.mean - mean).abs() / (var + norm.eps).sqrt()).mean(1).tolist(),
        distance_if_shared=((found.mean - usual).abs() / usual_var.sqrt()).mean(1).tolist(),
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
    """Return the distribution of one layer's input, in evaluation mode, in units of its running statistics.

    A copy of the model is measured, with the layer's block in plain PyTorch and run step by step.

    Args:
        model: the classifier; a copy is measured.
        batches, seed, draw, progress: as :func:`input_drift`'s.
        layer: name of the layer.
        edges: of the histogram, two or more in ascending order.

    Raises:
        ValueError: if there is no such layer, it has no running statistics or shares its norm with another layer, or
            there are no samples.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> found = layer_inputs(model, [(torch.ones(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))], "fc1")
    >>> [sum(row) for row in found.counts]
    [40.0, 40.0, 40.0]
    """
    check_classifier(model, "layer_inputs() takes")
    if layer not in (names := held_norms(model.network)):
        raise ValueError(f"there is no layer {layer!r} that holds statistics: choose one of {', '.join(names)}")
    if same := [other for other in names if names[other] is names[layer] and other != layer]:
        raise ValueError(f"layer {layer!r} shares its norm with {same[0]!r}: their inputs cannot be told apart")
    wanted, model = tuple(Measure(current=edges).current), copy.deepcopy(model).eval()
    model.network.compute = replace(model.network.compute, backend="auto", precision="fp32")
    rows, total, images, norm = list[Tensor](), dict[str, Tensor](), 0, held_norms(model.network)[layer]

    def count(module: nn.Module, args: tuple[Any, ...]) -> None:
        for x in args[0]:
            row = len(rows) if len(norm.running_mean) > 1 else 0
            shape = (-1, *[1] * (x.ndim - 2))
            mean, inverse = norm.running_mean[row].reshape(shape), (norm.running_var[row] + norm.eps).rsqrt()
            rows.append(distribution([(x - mean) * inverse.reshape(shape)], wanted).histogram.cpu())

    norm.register_forward_pre_hook(count)
    with torch.no_grad():
        for _, inputs, _, noise in presented(model, batches, "measure", seed, 1, progress, draw=draw):
            rows.clear()
            for _ in advance_batch(model, inputs, Measure(), noise):
                pass
            add_to(total, layer, torch.cat(rows))
            images += len(inputs)
    return LayerInputs(layer=layer, images=images, edges=wanted, counts=total[layer].tolist())


def held_norms(network: SpikingNetwork) -> dict[str, Any]:
    """Find the norms that have running statistics, by layer."""
    norms = {name: layer.norm for name, layer in network.layers.items()}
    held = {name: norm for name, norm in norms.items() if norm_facts(norm).running_statistics}
    if not held:
        kinds = ", ".join(sorted({type(norm).__name__ for norm in norms.values() if norm is not None}))
        raise ValueError(f"no layer of this network holds running statistics (its norms: {kinds or 'none'})")
    return held
