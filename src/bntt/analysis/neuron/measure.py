"""One neuron of a run over one image, made into its record."""

from __future__ import annotations

import torch

from bntt.analysis.measurement import ArgumentError, Opened, Progress
from bntt.analysis.neuron.measurement import NeuronArguments
from bntt.analysis.neuron.result import NeuronAtStep, NeuronResult, SurrogateCurve
from bntt.analysis.neuron.trajectory import NeuronTrace, neuron_of, neuron_trace

POINTS = 201
"""Of the surrogate's curve."""


def measure_neuron(opened: Opened, asked: NeuronArguments, progress: Progress) -> NeuronResult:
    """Follow one neuron through one image of a split.

    Raises:
        ArgumentError: if there is no such layer, neuron or image.
    """
    images, model = opened.samples(asked.split), opened.model
    if asked.image >= len(images):
        raise ArgumentError(f"--image {asked.image}: the {asked.split} images have the numbers 0 to {len(images) - 1}")
    pixels = images.batch(torch.tensor([asked.image])).to(next(model.parameters()).device)
    layer = asked.layer or next(name for name, part in model.network.layers.items() if part.lif is not None)
    try:
        neuron_of(model.network, layer)
        trace = neuron_trace(model, pixels, layer, asked.place or None, index=asked.image, seed=opened.seed)
    except ValueError as error:
        raise ArgumentError(f"--layer, --place: {error}") from None
    return NeuronResult(
        arguments=asked,
        dataset=opened.dataset,
        split=asked.split,
        epoch=opened.epoch,
        image=asked.image,
        label=opened.classes[int(images.labels[asked.image])],
        layer=layer,
        place=trace.place,
        threshold=trace.neuron.threshold,
        steps=steps_of(trace),
        surrogate=surrogate_of(trace),
    )


def steps_of(trace: NeuronTrace) -> list[NeuronAtStep]:
    """What a neuron did at every step."""
    columns = (trace.potential, trace.spikes, trace.membrane, trace.gradient)
    return [
        NeuronAtStep(step=step, potential=potential, spike=spike, membrane=membrane, surrogate_gradient=gradient)
        for step, (potential, spike, membrane, gradient) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), 1
        )
    ]


def surrogate_of(trace: NeuronTrace) -> SurrogateCurve:
    """The surrogate gradient over all potentials of a neuron, and a little around the threshold at least."""
    threshold, known = trace.neuron.threshold, trace.potential[~trace.potential.isnan()].tolist()
    potential = torch.linspace(min([-0.5 * threshold, *known]), max([2.5 * threshold, *known]), POINTS)
    gradient = trace.neuron.surrogate(potential / threshold - 1)
    return SurrogateCurve(potential=potential.tolist(), gradient=gradient.tolist())
