"""The spikes of a network whose running statistics mean nothing yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Integer
from torch import Tensor, nn

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity.firing_rate import Activity
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import Measure, joined
from bntt.nn.network.spiking_network import STEPS_AT_ONCE
from bntt.nn.network.trace import evaluating
from bntt.nn.norms.held_statistics import hold_statistics
from bntt.nn.norms.temporal import TemporalNorm


@torch.no_grad()
def untrained_activity(
    model: SpikingClassifier,
    inputs: Tensor,
    *,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
    draw: int = FIRST_DRAW,
) -> Activity:
    """The spikes of one batch, normalised by its own statistics as in training; all else as in evaluation.

    A network that was never trained has running means of 0 and variances of 1, under which it does not do what it
    does when training begins. Nothing in the model changes: statistics, parameters, gradients and modes are as before.
    Norms of yours that are no :class:`~bntt.nn.TemporalNorm` stay in evaluation mode.

    Where the norms look ahead, all T steps are there at once; else ``STEPS_AT_ONCE`` of them. With ``Compute(reduce=)``
    every process makes the call, as in training.

    Args:
        inputs: two samples or more, as the encoder takes them.
        index, seed, draw: which noise, see :class:`~bntt.nn.SpikingClassifier`.

    Raises:
        ValueError: if a statistic would be taken over a single value.

    >>> import torch
    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(6), mlp(in_features=4, hidden=(8,), num_steps=6))
    >>> untrained_activity(model, torch.rand(3, 1, 2, 2)).spikes["fc1"].shape
    torch.Size([6, 8])
    """
    check_classifier(model, "untrained_activity() takes")
    total, norms = model.encoder.num_steps, _norms(model)
    at_once = total if any(norm.method.pooling.looks_ahead for norm in norms) else STEPS_AT_ONCE
    parts, state = [], None
    with _batch_statistics(model):
        for first in range(0, total, at_once):
            steps = min(at_once, total - first)
            _, state = model.advance(
                inputs, state, steps=steps, measure=Measure(spikes=True), seed=seed, index=index, draw=draw
            )
            parts.append(state.measured or {})
    found = joined(parts)
    spikes = {name: layer.spikes.cpu() for name, layer in found.items() if layer.spikes is not None}
    return Activity(len(inputs), spikes, {name: found[name].neurons for name in spikes})


@contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, but for the norms, whose running statistics stay what they are."""
    with evaluating(model), hold_statistics(model):
        for norm in _norms(model):
            norm.training = True
        yield


def _norms(model: nn.Module) -> list[TemporalNorm]:
    return [norm for norm in model.modules() if isinstance(norm, TemporalNorm)]
