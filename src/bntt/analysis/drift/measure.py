"""The drift of one run, made into its record."""

from __future__ import annotations

from bntt.analysis.drift.input_drift import LayerDrift, LayerInputs, held_norms, input_drift, layer_inputs
from bntt.analysis.drift.measurement import DriftArguments
from bntt.analysis.drift.result import Distribution, DriftResult, LayerOverSteps
from bntt.analysis.measurement import ArgumentError, Opened, Progress


def measure_drift(opened: Opened, asked: DriftArguments, progress: Progress) -> DriftResult:
    """Measure the drift of a run on every image of a split, and the distribution in one layer on some.

    Raises:
        ArgumentError: if no layer holds statistics, or there is no such layer.
    """
    layer = _layer(opened, asked.layer)
    every, some = opened.loader(asked.split), opened.loader(asked.split, asked.images)
    progress.expect(len(every.places) + len(some.places))
    found = input_drift(opened.model, every, seed=opened.seed, progress=progress)
    inputs = layer_inputs(opened.model, some, layer, seed=opened.seed, progress=progress)
    return DriftResult(
        arguments=asked,
        dataset=opened.dataset,
        split=asked.split,
        epoch=opened.epoch,
        norm=opened.facts.norm,
        images=len(every.places),
        layers={name: _over_steps(one) for name, one in found.items()},
        distribution=_distribution(inputs, len(some.places)),
    )


def _layer(opened: Opened, layer: str | None) -> str:
    try:
        names = list(held_norms(opened.model.network))
    except ValueError as error:
        raise ArgumentError(f"{opened.path}: {error}") from None
    if layer is None:
        return names[(len(names) - 1) // 2]
    if layer not in names:
        raise ArgumentError(f"--layer {layer}: choose one of {', '.join(names)}")
    return layer


def _over_steps(one: LayerDrift) -> LayerOverSteps:
    return LayerOverSteps(
        driven=(one.driven.start + 1, one.driven.stop),
        distance=one.distance.tolist(),
        distance_if_shared=one.if_shared.tolist(),
        divergence_nats=one.divergence.tolist(),
        deviation_ratio=one.ratio.tolist(),
    )


def _distribution(inputs: LayerInputs, images: int) -> Distribution:
    return Distribution(layer=inputs.layer, images=images, edges=inputs.edges, counts=inputs.counts.tolist())
