"""Steps whose input is the same for all training samples, and the effect of a sample that differs there.

Border pixels of MNIST shown pixel by pixel never vary: the first layer's current has no variance at such a step, its
running variance sinks to 0, and a normalisation at that step multiplies any later deviation by up to γ / √ε, which is
100 γ with ε = 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bntt.analysis.accuracy.measurement import Surprise, UnvaryingInput
from bntt.nn.encoders.encoder import Encoder
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_answers
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.measured import Measure, evaluating
from bntt.nn.network.spiking_network import SpikingNetwork


@dataclass(frozen=True)
class Unvarying:
    """Steps at which a network's input is the same for all samples, and that input; returned by :func:`unvarying`."""

    samples: int
    """Number of samples examined."""
    steps: Bool[Tensor, " T"]
    """True at steps where nothing in the input varies."""
    usual: Float[Tensor, "T *shape"]
    """The input of the first sample, shared by all samples at those steps."""

    @property
    def which(self) -> tuple[int, ...]:
        """The unvarying steps, from 0."""
        return tuple(self.steps.nonzero().flatten().tolist())


def unvarying(encoder: Encoder, batches: Loader) -> Unvarying:
    """Return the steps at which the encoder gives the same input for all samples of a loader, in its draw 0.

    Args:
        encoder: the encoder.
        batches: the training samples.

    Raises:
        ValueError: if there are no samples.

    >>> from bntt.nn import SequenceEncoder
    >>> x = torch.tensor([[0.0, 0.2, 0.0], [0.0, 0.7, 0.0]]).unsqueeze(2)
    >>> unvarying(SequenceEncoder(3), [(x, [0, 1])]).which
    (0, 2)
    """
    usual, same, count = None, torch.ones(()), 0
    for inputs, _, index in samples(batches, 0):
        drive = _driven(encoder, inputs, index)
        usual = drive[:, 0].clone() if usual is None else usual
        same, count = same * (drive == usual[:, None]).flatten(1).all(1), count + len(inputs)
    if usual is None:
        raise ValueError("there are no samples whose input could vary")
    return Unvarying(count, same.bool(), usual)


def surprises(model: SpikingClassifier, still: Unvarying, batches: Loader) -> UnvaryingInput:
    """Return the number of samples that differ at a step that never varied, and the effect of the first of them.

    The model runs in evaluation mode.

    Args:
        model: the classifier.
        still: the steps that never varied in training, from :func:`unvarying`.
        batches: the samples to examine.

    >>> from bntt.models import mlp
    >>> from bntt.nn import SequenceEncoder
    >>> model = SpikingClassifier(SequenceEncoder(3), mlp(hidden=(4,), num_steps=3))
    >>> x = torch.tensor([[0.0, 0.2, 0.0], [0.0, 0.7, 0.0]]).unsqueeze(2)
    >>> found = surprises(model, unvarying(model.encoder, [(x, [0, 1])]), [(x + torch.eye(3)[2, :, None], [0, 1])])
    >>> found.differ, found.first.step, round(found.first.gain, 1)
    (2, 2, 1.0)
    """
    check_answers(model, "surprises() takes")
    count, differ, first = 0, 0, None
    for inputs, _, index in samples(batches, 0):
        drive = _driven(model.encoder, inputs, index)
        usual, steps = still.usual.to(drive.device), still.steps.to(drive.device)
        other = (drive != usual[:, None]).flatten(2).any(2) & steps[:, None]
        if first is None and bool(other.any()):
            row = int(other.any(0).nonzero()[0])
            first = _surprise(model.network, drive[:, row], usual, int(other[:, row].nonzero()[0]), int(index[row]))
        count, differ = count + len(inputs), differ + int(other.any(0).sum())
    return UnvaryingInput(steps=still.which, training_samples=still.samples, samples=count, differ=differ, first=first)


def _driven(encoder: Encoder, inputs: Tensor, index: Tensor) -> Float[Tensor, "T B *shape"]:
    """Encode samples on the device of the encoder's pixel statistics; a loader's samples can be on the CPU."""
    own = next(encoder.buffers(), inputs) if isinstance(encoder, nn.Module) else inputs
    return encoder(inputs.to(own.device), index=index)


def _surprise(
    network: SpikingNetwork, drive: Float[Tensor, "T *shape"], usual: Float[Tensor, "T *shape"], step: int, index: int
) -> Surprise:
    twin = drive.clone()
    twin[step] = usual[step]
    name, layer = next(iter(network.layers.items()))
    current, spikes, answer = list[float](), list[float](), list[int]()
    with evaluating(network), torch.no_grad():
        for one in (drive, twin):
            logits, state = network.advance(one[:, None], measure=Measure(spikes=True, current=(-1.0, 1.0)))
            measured = state.measured or {}
            driven = measured[name].current
            current.append(float("nan") if driven is None else float(driven.maximum[step]))
            spikes.append(sum(float(part.spikes.sum()) for part in measured.values() if part.spikes is not None))
            answer.append(int(logits[-1, 0].argmax()))
    norm: Any = layer.norm
    gain = float(norm.gains(slice(step, step + 1)).max()) if norm_facts(norm).running_statistics else None
    found = {"current": current, "spikes": spikes, "answer": answer}
    return Surprise.model_validate({"index": index, "step": step, "gain": gain, **found})
