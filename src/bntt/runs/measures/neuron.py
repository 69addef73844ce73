"""One neuron of a trained run, followed while it sees one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bntt.analysis.neuron.trajectory import NeuronTrace, neuron_of, neuron_trace
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError


@dataclass(frozen=True)
class NeuronResult:
    """What :func:`neuron_run` followed."""

    dataset: str
    split: str
    image: int
    label: str
    trace: NeuronTrace


def neuron_run(
    loaded: LoadedRun,
    *,
    layer: str | None = None,
    place: Sequence[int] = (),
    image: int = 0,
    split: Split = "test",
) -> NeuronResult:
    """Follow a neuron of a run's network through one image of a split.

    Args:
        layer: the first that spikes by default.
        place: channel, row and column, or the channel alone; () is the first that fires in about half of the steps.
        image: its number in the split, from 0.

    Raises:
        RecipeError: if there is no such layer, neuron or image.
    """
    images, device = loaded.data.of(split), next(loaded.model.parameters()).device
    if not 0 <= image < len(images):
        raise RecipeError(f"--image {image}: the {split} images have the numbers 0 to {len(images) - 1}")
    spiking = [name for name, part in loaded.model.network.layers.items() if part.lif is not None]
    pixels = images.batch(torch.tensor([image])).to(device)
    try:
        chosen = layer or spiking[0]
        neuron_of(loaded.model.network, chosen)
        trace = neuron_trace(loaded.model, pixels, chosen, tuple(place) or None, index=image, seed=loaded.recipe.seed)
    except ValueError as error:
        raise RecipeError(f"--layer, --place: {error}") from None
    label = loaded.classes[int(images.labels[image])]
    return NeuronResult(loaded.data.label, split, image, label, trace)


def neuron_rows(result: NeuronResult) -> list[dict[str, object]]:
    """A row for each step, numbered from 1; what a reset erased is None."""
    trace = result.trace
    columns = (trace.potential, trace.membrane, trace.gradient)
    potential, membrane, gradient = ([None if v != v else v for v in part.tolist()] for part in columns)
    return [
        {
            "step": t + 1,
            "potential": potential[t],
            "spike": bool(trace.spikes[t]),
            "membrane": membrane[t],
            "surrogate_gradient": gradient[t],
        }
        for t in range(len(trace.spikes))
    ]


def neuron_json(result: NeuronResult) -> dict[str, object]:
    """The numbers with their names, ready for ``json``."""
    return {
        "dataset": result.dataset,
        "split": result.split,
        "image": result.image,
        "label": result.label,
        "layer": result.trace.layer,
        "place": list(result.trace.place),
        "threshold": result.trace.neuron.threshold,
        "steps": neuron_rows(result),
    }
