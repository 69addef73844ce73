"""Who fires, when, and for which class (paper Fig. 1C and 5, Supp. D)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.accuracy.batches import passing
from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_labels
from bntt.analysis.activity.delays import delays
from bntt.analysis.activity.firing_rate import Activity
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, Samples, samples
from bntt.nn.network.measured import Measure, joined
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.network.trace import evaluating


@dataclass(frozen=True)
class ClassActivity:
    """Spikes of every layer and step, by channel and by class; by place where that was asked for."""

    total: Activity
    by_class: dict[str, Float[Tensor, "K T"]]
    """Of each layer, spikes of one image of the class at each step, mean over its images and the draws."""
    places: dict[str, Float[Tensor, "T C *space"]]
    """Of each layer, spikes of each neuron at each step, mean over images and draws; empty if not asked for."""


@torch.no_grad()
def class_activity(
    model: SpikingClassifier,
    batches: Loader,
    classes: int,
    *,
    places: bool = False,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> ClassActivity:
    """Count every spike in evaluation mode; the noise is that of :func:`~bntt.analysis.evaluate`. The model stays as
    it is.

    Args:
        classes: K.
        places: whether to count them for every neuron too.

    Raises:
        ValueError: if there are no samples, a label is no class, or draws is below 1.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> class_activity(model, loader, classes=10).by_class["fc1"].shape
    torch.Size([10, 2])
    """
    check_classifier(model, "class_activity() takes")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    device, steps = next(model.parameters()).device, model.encoder.num_steps
    spikes, by_class, where = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
    neurons, shown, measure = dict[str, int](), [0] * classes, Measure(spikes=True, places=places)
    with evaluating(model):
        for draw in range(draws):
            for inputs, label, index in _alike(samples(batches, 0), classes):
                noise = {"seed": seed, "index": index, "draw": FIRST_DRAW + draw}
                parts = [part.measured for part in passing(model, inputs.to(device), measure, noise)]
                for name, layer in joined(parts).items():
                    if layer.spikes is None:
                        continue
                    neurons[name] = layer.neurons
                    _add(spikes, name, layer.spikes)
                    by_class.setdefault(name, layer.spikes.new_zeros(classes, steps))[label] += layer.spikes.sum(1)
                    if layer.places is not None:
                        _add(where, name, layer.places)
                shown[label] += len(inputs)
                progress(len(inputs))
    presented = sum(shown)
    if not presented:
        raise ValueError("there are no samples to count spikes of")
    each = torch.tensor(shown).clamp(min=1)[:, None]
    return ClassActivity(
        Activity(presented, {name: counts.cpu() for name, counts in spikes.items()}, neurons),
        {name: counts.cpu() / each for name, counts in by_class.items()},
        {name: (counts / presented).cpu() for name, counts in where.items()},
    )


def _alike(stream: Iterable[Samples], classes: int) -> Iterator[tuple[Tensor, int, Tensor]]:
    """The same samples in batches of one class each, so that spikes by class cost no more than spikes."""
    waiting, size = [list[tuple[Tensor, Tensor]]() for _ in range(classes)], 0
    for inputs, labels, index in stream:
        check_labels(labels, classes)
        size = size or len(labels)
        for label in sorted(set(labels.tolist())):
            which = labels == label
            waiting[label].append((inputs[which], index[which]))
            if sum(len(part) for part, _ in waiting[label]) >= size:
                yield _joined(waiting[label], label)
                waiting[label].clear()
    yield from (_joined(parts, label) for label, parts in enumerate(waiting) if parts)


def _joined(parts: list[tuple[Tensor, Tensor]], label: int) -> tuple[Tensor, int, Tensor]:
    return torch.cat([inputs for inputs, _ in parts]), label, torch.cat([index for _, index in parts])


def _add(totals: dict[str, Tensor], name: str, counts: Tensor) -> None:
    totals[name] = totals[name] + counts if name in totals else counts


@dataclass(frozen=True)
class Channels:
    """Of one layer, how many of its channels do not vary, by step."""

    never: tuple[int, ...]
    """Channels of which no neuron fired for any image."""
    always: tuple[int, ...]
    """Channels of which every neuron fired for every image."""
    count: int
    """C."""


def channels(activity: Activity, layer: str) -> Channels:
    """Channels that never or always fired at each step.

    >>> counts = torch.tensor([[0.0, 4.0, 1.0], [0.0, 0.0, 4.0]])
    >>> channels(Activity(2, {"conv1": counts}, {"conv1": 6}), "conv1")
    Channels(never=(1, 2), always=(1, 1), count=3)
    """
    counts = activity.spikes[layer]
    most = activity.presentations * activity.neurons[layer] / counts.shape[1]
    return Channels(tuple((counts == 0).sum(1).tolist()), tuple((counts == most).sum(1).tolist()), counts.shape[1])


def peaks(activity: Activity, network: SpikingNetwork) -> dict[str, int | None]:
    """The step, from 0, in which each layer fires most, of those whose spikes reach the readout; None if none does.

    >>> from bntt.models import mlp
    >>> activity = Activity(1, {"fc1": torch.tensor([[1.0], [2.0], [0.0]])}, {"fc1": 4})
    >>> peaks(activity, mlp(hidden=(4,), num_steps=3))
    {'fc1': 1}
    """
    found: dict[str, int | None] = {}
    for name, delay in delays(network).items():
        if name in activity.spikes:
            steps = delay.heard(len(activity.spikes[name]))
            rate = activity.rate(name)[steps.start : steps.stop]
            found[name] = steps.start + int(rate.argmax()) if len(rate) and rate.any() else None
    return found
