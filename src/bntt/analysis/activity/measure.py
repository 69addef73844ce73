"""The spikes and the γ of one run, made into its record."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from bntt.analysis.activity.firing_rate import Activity
from bntt.analysis.activity.health import health
from bntt.analysis.activity.measurement import ActivityArguments
from bntt.analysis.activity.result import ActivityResult, GammaHistogram, LayerActivity, LayerAtStep, LayerFinding
from bntt.analysis.activity.spike_activity import channels, class_activity, peaks
from bntt.analysis.activity.step_changes import step_changes
from bntt.analysis.exit.gamma import gamma_profile, gamma_spread
from bntt.analysis.measurement import Opened, Progress, draws_of
from bntt.nn.network.spiking_network import SpikingNetwork


def measure_activity(opened: Opened, asked: ActivityArguments, progress: Progress) -> ActivityResult:
    """Count the spikes of every image of a split, and read γ.

    Raises:
        ArgumentError: if more than one draw is asked for where nothing is drawn.
    """
    draws = draws_of(opened.facts, asked.draws)
    loader, network, seed = opened.loader(asked.split), opened.model.network, opened.seed
    progress.expect(draws * len(loader.places))
    counted = class_activity(
        opened.model,
        loader,
        len(opened.classes),
        places=asked.places,
        seed=seed,
        draws=draws,
        progress=progress,
    )
    total, gamma = counted.total, _gamma_columns(network)
    by_class = {
        layer: dict(zip(opened.classes, rows.tolist(), strict=True)) for layer, rows in counted.by_class.items()
    }
    return ActivityResult(
        arguments=asked,
        dataset=opened.dataset,
        split=asked.split,
        epoch=opened.epoch,
        images=len(loader.places),
        draws=draws,
        spikes_per_image=total.spikes_per_sample(),
        layers=_layers(total, network, by_class),
        steps=[row for layer in total.spikes for row in _over_steps(total, layer, gamma.get(layer, {}))],
        findings=[LayerFinding(layer=f.layer, kind=f.kind, share=f.share, text=f.text) for f in health(total, network)],
        places_npz=_as_npz(counted.places) if asked.places else b"",
    )


def _layers(
    total: Activity, network: SpikingNetwork, by_class: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, LayerActivity]:
    profile, spread, most = gamma_profile(network), gamma_spread(network), peaks(total, network)
    return {
        layer: LayerActivity(
            neurons=neurons,
            channels=total.spikes[layer].shape[1],
            spike_rate=total.spike_rate(layer),
            peak_step=_from_1(most.get(layer)),
            spikes_by_class=by_class[layer],
            gamma_peak_step=_from_1(profile.peak(layer)) if layer in spread else None,
            gamma_histogram=GammaHistogram(edges=spread[layer].edges.tolist(), counts=spread[layer].counts.tolist())
            if layer in spread
            else None,
        )
        for layer, neurons in total.neurons.items()
    }


def _from_1(step: int | None) -> int | None:
    return None if step is None else step + 1


def _gamma_columns(network: SpikingNetwork) -> dict[str, dict[str, Sequence[Any]]]:
    """For each layer that has a γ for each step, its values over steps; the last step has no change to a next one."""
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
    constant, counts = channels(total, layer), total.spikes[layer]
    columns = {
        "step": range(1, len(counts) + 1),
        "spikes_per_image": (counts.sum(1) / total.presentations).tolist(),
        "firing_rate": total.rate(layer).tolist(),
        "channels_never": constant.never,
        "channels_always": constant.always,
        **gamma,
    }
    return [
        LayerAtStep(layer=layer, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
    ]


def _as_npz(places: Mapping[str, Tensor]) -> bytes:
    """Spikes of every neuron at each step, an array ``[T, C, ...]`` for each layer."""
    written, arrays = io.BytesIO(), dict[str, Any]({layer: rows.float().numpy() for layer, rows in places.items()})
    np.savez_compressed(written, **arrays)
    return written.getvalue()
