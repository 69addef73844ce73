"""What a trained run's neurons do and what its γ are: counted on a split, with the names that the numbers get."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from bntt.analysis import Finding, GammaProfile, gamma_profile, health
from bntt.analysis.activity.spike_activity import ClassActivity, channels, class_activity, peaks
from bntt.analysis.exit.gamma import GammaSpread, gamma_spread
from bntt.analysis.equivalence.similarity import StepSimilarity, step_similarity
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.datasets import Split


@dataclass(frozen=True)
class ActivityResult:
    """Spikes and γ of a run."""

    dataset: str
    split: Split
    classes: tuple[str, ...]
    images: int
    draws: int
    counted: ClassActivity
    peaks: dict[str, int | None]
    findings: tuple[Finding, ...]
    gamma: GammaProfile
    spread: dict[str, GammaSpread]
    likeness: dict[str, StepSimilarity]


def activity_run(
    loaded: LoadedRun,
    *,
    split: Split = "test",
    draws: int = 1,
    places: bool = False,
    progress: Callable[[int], None] = lambda images: None,
) -> ActivityResult:
    """Count the spikes of every image of a split, and read γ."""
    loader, network = loaded.loader(split), loaded.model.network
    counted = class_activity(
        loaded.model,
        loader,
        len(loaded.classes),
        places=places,
        seed=loaded.recipe.seed,
        draws=draws,
        progress=progress,
    )
    return ActivityResult(
        loaded.data.label,
        split,
        loaded.classes,
        len(loader.places),
        draws,
        counted,
        peaks(counted.total, network),
        health(counted.total, network),
        gamma_profile(network),
        gamma_spread(network),
        step_similarity(network),
    )


def activity_rows(result: ActivityResult) -> list[dict[str, object]]:
    """A row for every layer and step."""
    rows = list[dict[str, object]]()
    total = result.counted.total
    for layer, counts in total.spikes.items():
        constant, rate = channels(total, layer), total.rate(layer).tolist()
        each = (counts.sum(1) / total.presentations).tolist()
        for t in range(len(counts)):
            rows.append(
                {
                    "layer": layer,
                    "step": t + 1,
                    "spikes_per_image": each[t],
                    "firing_rate": rate[t],
                    "channels_never": constant.never[t],
                    "channels_always": constant.always[t],
                    **_gamma_of(result, layer, t),
                }
            )
    return rows


def _gamma_of(result: ActivityResult, layer: str, t: int) -> dict[str, object]:
    """What a row says of γ; None where the layer has none for each step, or no next one."""

    def at(rows: dict[str, Tensor]) -> float | None:
        return float(rows[layer][t]) if layer in rows else None

    profile, spread, alike = result.gamma, result.spread.get(layer), result.likeness.get(layer)
    following = alike is not None and t < len(alike.gamma)
    return {
        "gamma_magnitude": at(profile.magnitude),
        "gamma_signed": at(profile.signed),
        "gamma_largest": None if spread is None else float(spread.largest[t]),
        "gamma_driven": layer in profile.driven and t in profile.driven[layer],
        "deviation": at(profile.deviation),
        "gamma_change": _number(alike.gamma[t]) if alike is not None and following else None,
        "deviation_change": _number(alike.deviation[t]) if alike is not None and following else None,
        "leak_ratio": [_number(value) for value in alike.ratio[t]] if alike is not None and following else None,
    }


def _number(value: Tensor) -> float | None:
    return float(value) if math.isfinite(value) else None


def activity_json(result: ActivityResult) -> dict[str, object]:
    """The numbers of a result with their names."""
    total, profile = result.counted.total, result.gamma
    layers: dict[str, Any] = {}
    for layer, neurons in total.neurons.items():
        layers[layer] = {
            "neurons": neurons,
            "channels": total.spikes[layer].shape[1],
            "spike_rate": total.spike_rate(layer),
            "peak_step": _counted(result.peaks.get(layer)),
            "spikes_by_class": dict(zip(result.classes, result.counted.by_class[layer].tolist(), strict=True)),
        }
        if layer in profile.magnitude:
            spread = result.spread[layer]
            layers[layer] |= {
                "gamma_peak_step": _counted(profile.peak(layer)),
                "gamma_histogram": {"edges": spread.edges.tolist(), "counts": spread.counts.tolist()},
            }
    return {
        "dataset": result.dataset,
        "split": result.split,
        "images": result.images,
        "draws": result.draws,
        "spikes_per_image": total.spikes_per_sample(),
        "layers": layers,
        "steps": activity_rows(result),
        "findings": [{"layer": f.layer, "kind": f.kind, "share": f.share, "text": f.text} for f in result.findings],
    }


def _counted(step: int | None) -> int | None:
    """A step counted from 1."""
    return None if step is None else step + 1


def places_file(result: ActivityResult) -> bytes:
    """Spikes of every neuron at each step, an array ``[T, C, ...]`` for each layer, as ``.npz``."""
    held = io.BytesIO()
    arrays: dict[str, Any] = {name: rows.float().numpy() for name, rows in result.counted.places.items()}
    np.savez_compressed(held, **arrays)
    return held.getvalue()
