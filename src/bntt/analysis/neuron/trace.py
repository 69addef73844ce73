"""One neuron through time: its membrane, its spikes, and the surrogate gradient of each step (the paper's Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.neuron import NeuronAtStep, SurrogateCurve
from bntt.nn.call import evaluating
from bntt.nn.network.classifier import SpikingClassifier, check_answers
from bntt.nn.network.measured import Measure
from bntt.ops.lif import Neuron, fire_before, soft_reset

POINTS = 201
"""Number of points on the surrogate's curve."""


@dataclass(frozen=True)
class NeuronTrace:
    """Trace of a neuron while it saw one sample; returned by :func:`neuron_trace`."""

    layer: str
    """Name of the layer."""
    place: tuple[int, ...]
    """Channel, row and column; in a fully connected layer only the channel."""
    neuron: Neuron
    """Its leak, threshold and rules."""
    membrane: Float[Tensor, " T"]
    """u after each step, including the reset."""
    spikes: Bool[Tensor, " T"]
    """True at the steps at which it fired."""

    @property
    def potential(self) -> Float[Tensor, " T"]:
        """The potential that decided each step's spike: m before the reset; with ``fire_before`` the previous u.

        With ``fire_after`` it is NaN at a spike whose reset is not soft, since that reset erases it.
        """
        if self.neuron.rule is fire_before:
            return torch.cat([torch.zeros_like(self.membrane[:1]), self.membrane[:-1]])
        taken = self.neuron.threshold if self.neuron.reset is soft_reset else torch.nan
        return torch.where(self.spikes, self.membrane + taken, self.membrane)

    @property
    def gradient(self) -> Float[Tensor, " T"]:
        """The surrogate's do/du at each step; NaN where the potential is."""
        slope: Tensor = self.neuron.surrogate(self.potential / self.neuron.threshold - 1)
        return torch.where(self.potential.isnan(), torch.nan, slope)

    @property
    def steps(self) -> list[NeuronAtStep]:
        """The record of every step."""
        rows = zip(*(x.tolist() for x in (self.potential, self.spikes, self.membrane, self.gradient)), strict=True)
        names = ("step", "potential", "spike", "membrane", "surrogate_gradient")
        return [NeuronAtStep(**dict(zip(names, (t, *row), strict=True))) for t, row in enumerate(rows, 1)]

    @property
    def surrogate(self) -> SurrogateCurve:
        """The surrogate gradient over the range of the neuron's potentials, at least from -0.5 θ to 2.5 θ."""
        threshold, known = self.neuron.threshold, self.potential[~self.potential.isnan()].tolist()
        potential = torch.linspace(min([-0.5 * threshold, *known]), max([2.5 * threshold, *known]), POINTS)
        gradient = self.neuron.surrogate(potential / threshold - 1)
        return SurrogateCurve(potential=potential.tolist(), gradient=gradient.tolist())


@torch.no_grad()
def neuron_trace(
    model: SpikingClassifier,
    inputs: Tensor,
    layer: str,
    place: Sequence[int] | None = None,
    *,
    index: int = 0,
    seed: int = 0,
    draw: int = FIRST_DRAW,
) -> NeuronTrace:
    """Return the trace of one neuron through all steps, in evaluation mode; the model is left unchanged.

    Args:
        model: the classifier.
        inputs: one sample, ``[1, ...]``, as the encoder takes it.
        layer: name of the neuron's layer.
        place: place of the neuron; by default the first whose spike count is nearest to half of the steps.
        index, seed, draw: identify the noise; ``index`` is the sample's place in its dataset.

    Raises:
        ValueError: if there is no such layer or neuron, its neurons are not :class:`~bntt.nn.LIF`, or there is not
            one sample.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(5), mlp(in_features=4, hidden=(8,), num_steps=5))
    >>> neuron_trace(model, torch.ones(1, 1, 2, 2), "fc1", (3,)).membrane.shape
    torch.Size([5])
    """
    check_answers(model, "neuron_trace() takes")
    if len(inputs) != 1:
        raise ValueError(f"a neuron is followed while it sees one sample, got {len(inputs)}")
    spiking = {name: part.lif for name, part in model.network.layers.items() if part.lif is not None}
    if layer not in spiking:
        raise ValueError(f"there are no neurons in a layer {layer!r}: choose one of {', '.join(spiking)}")
    if not isinstance(neuron := getattr(spiking[layer], "neuron", None), Neuron):
        kind = type(spiking[layer]).__name__
        raise ValueError(f"the neurons of {layer!r} are {kind}, which has no single threshold to show")
    steps, at = model.encoder.num_steps, torch.tensor([index])

    def measured(measure: Measure) -> Any:
        _, state = model.advance(inputs, steps=steps, measure=measure, seed=seed, index=at, draw=draw)
        return (state.measured or {})[layer]

    with evaluating(model):
        if place is None:
            places = measured(Measure(places=True)).places
            off = (places.sum(0) - len(places) / 2).abs()
            place = [int(axis) for axis in torch.unravel_index(off.argmin(), off.shape)]
        place = tuple(place)
        one = measured(Measure(places=True, membrane=(layer, place)))
    spikes = one.places.movedim(0, -1)[place]
    return NeuronTrace(layer, place, neuron, one.membrane[:, 0].cpu(), (spikes > 0).cpu())
