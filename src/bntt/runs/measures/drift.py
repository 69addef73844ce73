"""A trained run's drift: what enters its normalised layers, against what they hold for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bntt.analysis.drift.input_drift import LayerDrift, LayerInputs, drift, held_norms, layer_inputs
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError


@dataclass(frozen=True)
class DriftResult:
    """What :func:`drift_run` measured."""

    dataset: str
    split: str
    epoch: int
    norm: str
    images: int
    """That the numbers are of."""
    layers: Mapping[str, LayerDrift]
    """By layer, in order."""
    inputs: LayerInputs
    """The distribution in one layer."""
    inputs_images: int
    """That it is of."""


def drift_run(
    loaded: LoadedRun,
    *,
    layer: str | None = None,
    split: Split = "validation",
    images: int = 500,
    progress: Callable[[int], None] = lambda images: None,
) -> DriftResult:
    """Measure the drift of a run on every image of a split, and the distribution in one layer on some.

    Args:
        layer: whose distribution; by default the middle one of those that are normalised.
        images: for the distribution, at most, as many of each class as the split has.
        progress: called with numbers of images done, of ``images_in_all``.

    Raises:
        RecipeError: if no layer holds statistics, there is no such layer, or images is below 1.
    """
    if images < 1:
        raise RecipeError(f"--images must be 1 or more, got {images}")
    chosen = _layer(loaded, layer)
    seed, every, some = loaded.recipe.seed, loaded.loader(split), loaded.loader(split, images)
    found = drift(loaded.model, every, seed=seed, progress=progress)
    inputs = layer_inputs(loaded.model, some, chosen, seed=seed, progress=progress)
    norm = loaded.recipe.network.norm
    return DriftResult(loaded.data.label, split, loaded.epoch, norm, len(every.places), found, inputs, len(some.places))


def images_in_all(loaded: LoadedRun, split: Split, images: int) -> int:
    """How many images :func:`drift_run` goes through."""
    return sum(len(loaded.loader(split, count).places) for count in (0, images))


def _layer(loaded: LoadedRun, layer: str | None) -> str:
    try:
        names = list(held_norms(loaded.model.network))
    except ValueError as error:
        raise RecipeError(f"{loaded.path}: {error}") from None
    if layer is None:
        return names[(len(names) - 1) // 2]
    if layer not in names:
        raise RecipeError(f"--layer {layer}: choose one of {', '.join(names)}")
    return layer


def drift_rows(result: DriftResult) -> list[dict[str, object]]:
    """A row for each layer and step, numbered from 1."""
    return [
        {
            "layer": name,
            "step": t + 1,
            "driven": t in layer.driven,
            "distance": float(layer.distance[t]),
            "distance_if_shared": float(layer.if_shared[t]),
            "divergence_nats": float(layer.divergence[t]),
            "deviation_ratio": float(layer.ratio[t]),
        }
        for name, layer in result.layers.items()
        for t in range(len(layer.distance))
    ]


def drift_json(result: DriftResult) -> dict[str, object]:
    """The numbers with their names, ready for ``json``."""
    inputs = result.inputs
    return {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "norm": result.norm,
        "images": result.images,
        "layers": {
            name: {
                "driven": [layer.driven.start + 1, layer.driven.stop],
                "distance": layer.distance.tolist(),
                "distance_if_shared": layer.if_shared.tolist(),
                "divergence_nats": layer.divergence.tolist(),
                "deviation_ratio": layer.ratio.tolist(),
            }
            for name, layer in result.layers.items()
        },
        "distribution": {
            "layer": inputs.layer,
            "images": result.inputs_images,
            "edges": list(inputs.edges),
            "counts": inputs.counts.tolist(),
        },
    }
