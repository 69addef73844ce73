"""Measure the spikes and γ of one run, and how much γ and σ̄ change from step to step.

The paper's Section 3.3 assumes that they do not change at all (Eq. 13).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.accuracy.evaluation import Activity
from bntt.analysis.activity.health import health
from bntt.analysis.activity.measurement import ActivityArguments
from bntt.analysis.activity.result import ActivityResult, GammaHistogram, LayerActivity, LayerAtStep
from bntt.analysis.activity.spike_activity import class_activity
from bntt.analysis.exit.early_exit import deviations, gamma_profile, gamma_spread, stepwise_norms
from bntt.analysis.measurement import Opened, Progress, draws_of, origin
from bntt.nn.kinds import step_gamma
from bntt.nn.network.classifier import check_network
from bntt.nn.network.delays import delays
from bntt.nn.network.spiking_network import SpikingNetwork

QUANTILES = (0.1, 0.5, 0.9)


def measure_activity(opened: Opened, arguments: ActivityArguments, progress: Progress) -> ActivityResult:
    """Count the spikes of every image of a split, and read γ.

    Raises:
        ArgumentError: if more than one draw is requested and nothing is random.
    """
    draws = draws_of(opened.facts, arguments.draws)
    loader, network = opened.loader(arguments.split), opened.model.network
    progress.expect(draws * len(loader.places))
    counted = class_activity(
        opened.model,
        loader,
        len(opened.classes),
        places=arguments.places,
        seed=opened.seed,
        draws=draws,
        progress=progress,
    )
    total, gamma = counted.total, _gamma_columns(network)
    shown = loader.data.labels[loader.places].unique().tolist()  # of other classes no mean is known
    by_class = {
        layer: {opened.classes[label]: rows[label].tolist() for label in shown}
        for layer, rows in counted.by_class.items()
    }
    return ActivityResult(
        **origin(opened, arguments),
        images=len(loader.places),
        draws=draws,
        spikes_per_image=total.spikes_per_sample(),
        layers=_layers(total, network, by_class),
        steps=[row for layer in total.spikes for row in _over_steps(total, layer, gamma.get(layer, {}))],
        findings=health(total, network),
        places_npz=_as_npz(counted.places) if arguments.places else b"",
    )


def _layers(
    total: Activity, network: SpikingNetwork, by_class: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, LayerActivity]:
    profile, spread, most = gamma_profile(network), gamma_spread(network), peaks(total, network)
    gamma: dict[str, dict[str, Any]] = {
        layer: {
            "gamma_peak_step": _from_1(profile.peak(layer)),
            "gamma_histogram": GammaHistogram(edges=found.edges.tolist(), counts=found.counts.tolist()),
        }
        for layer, found in spread.items()
    }
    return {
        layer: LayerActivity(
            neurons=neurons,
            channels=total.spikes[layer].shape[1],
            spike_rate=total.spike_rate(layer),
            peak_step=_from_1(most.get(layer)),
            spikes_by_class=by_class[layer],
            **gamma.get(layer, {}),
        )
        for layer, neurons in total.neurons.items()
    }


def _from_1(step: int | None) -> int | None:
    return None if step is None else step + 1


def peaks(activity: Activity, network: SpikingNetwork) -> dict[str, int | None]:
    """Find the step, from 0, at which each layer fires most, among those that reach the readout; None if it never does.

    >>> from bntt.models import mlp
    >>> activity = Activity(1, {"fc1": torch.tensor([[1.0], [2.0], [0.0]])}, {"fc1": 4})
    >>> peaks(activity, mlp(hidden=(4,), num_steps=3))
    {'fc1': 1}
    """
    found: dict[str, int | None] = {}
    for name, delay in delays(network).items():
        if name in activity.spikes:
            steps = delay.reaching_readout(len(activity.spikes[name]))
            rate = activity.rate(name)[steps.start : steps.stop]
            found[name] = steps.start + int(rate.argmax()) if len(rate) and rate.any() else None
    return found


def _gamma_columns(network: SpikingNetwork) -> dict[str, dict[str, Sequence[Any]]]:
    """Tabulate γ over steps, for layers with a γ for each step; the last step has no change to a next one."""
    profile, spread = gamma_profile(network), gamma_spread(network)
    return {
        layer: {
            "gamma_magnitude": profile.magnitude[layer].tolist(),
            "gamma_signed": profile.signed[layer].tolist(),
            "gamma_largest": spread[layer].largest.tolist(),
            "gamma_driven": [t in profile.driven[layer] for t in range(len(profile.magnitude[layer]))],
            "deviation": profile.deviation[layer].tolist(),
            "gamma_change": [*changes.gamma.tolist(), None],
            "deviation_change": [*changes.deviation.tolist(), None],
            "leak_ratio": [*changes.ratio.tolist(), None],
        }
        for layer, changes in step_changes(network).items()
    }


def _over_steps(total: Activity, layer: str, gamma: Mapping[str, Sequence[Any]]) -> list[LayerAtStep]:
    counts = total.spikes[layer]
    every = total.presentations * total.neurons[layer] / counts.shape[1]
    columns = {
        "step": range(1, len(counts) + 1),
        "spikes_per_image": (counts.sum(1) / total.presentations).tolist(),
        "firing_rate": total.rate(layer).tolist(),
        "channels_never": (counts == 0).sum(1).tolist(),
        "channels_always": (counts == every).sum(1).tolist(),
        **gamma,
    }
    return [
        LayerAtStep(layer=layer, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
    ]


def _as_npz(places: Mapping[str, Tensor]) -> bytes:
    """Pack the spikes of every neuron at each step, an array ``[T, C, ...]`` for each layer."""
    written, arrays = io.BytesIO(), dict[str, Any]({layer: rows.float().numpy() for layer, rows in places.items()})
    np.savez_compressed(written, **arrays)
    return written.getvalue()


@dataclass(frozen=True)
class StepChanges:
    """Changes in one layer from each step to the next; NaN if γ of one of the two has no path to the readout."""

    gamma: Float[Tensor, " pairs"]
    """Mean over channels of |γ_{t+1} - γ_t|, divided by the mean of |γ_t|: 0 where the paper's assumption holds."""
    deviation: Float[Tensor, " pairs"]
    """The same for σ̄."""
    ratio: Float[Tensor, "pairs 3"]
    """a_t / a_{t+1} for a = γ/σ̄, which multiplies the leak of the equivalent neuron: 10 %, 50 % and 90 % quantile over
    channels; 1 where Eq. 15 is exact."""


def step_changes(network: SpikingNetwork) -> dict[str, StepChanges]:
    """Return how γ and the running statistics change between neighbouring steps, for layers with a γ for each step.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> found = step_changes(mlp(hidden=(4,), num_steps=3))["fc1"]
    >>> found.gamma, found.ratio[0]
    (tensor([0., 0.]), tensor([1., 1., 1.]))
    """
    check_network(network, "step_changes")
    found, late = {}, delays(network)
    for name, norm in stepwise_norms(network).items():
        gamma, deviation = step_gamma(norm), deviations(norm)
        scale = gamma / deviation
        pairs = itertools.pairwise(scale)
        rows = [torch.nanquantile(now / after, torch.tensor(QUANTILES).to(scale)) for now, after in pairs]
        ratio = torch.stack(rows) if rows else scale.new_empty(0, len(QUANTILES))
        steps = late[name].driven(norm.num_steps)
        without = [t for t in range(norm.num_steps - 1) if t not in steps or t + 1 not in steps]
        changes = StepChanges(_changes(gamma), _changes(deviation), ratio)
        for values in (changes.gamma, changes.deviation, changes.ratio):
            values[without] = torch.nan
        found[name] = changes
    return found


def _changes(rows: Float[Tensor, "T C"]) -> Float[Tensor, " pairs"]:
    return (rows[1:] - rows[:-1]).abs().mean(1) / rows[:-1].abs().mean(1)
