"""Run one batch through a model a few steps at a time: measure, and drop samples that are finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.nn.blocks.stage import SpikingLayer
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.measured import Measure, Measured, watching
from bntt.nn.network.spiking_network import STEPS_AT_ONCE

ExitRule = Callable[[Tensor], Tensor]
"""Logits ``[B, K]`` of the remaining samples → mask of those that leave, ``[B]``."""


class BatchSteps(NamedTuple):
    """Results of some steps, for the samples that are still in the batch."""

    logits: Float[Tensor, "S there K"]
    measured: Measured
    there: Int[Tensor, " there"]
    """Indices of these samples in the batch."""


def advance_batch(
    model: SpikingClassifier,
    inputs: Tensor,
    measure: Measure,
    noise: Mapping[str, Any],
    *,
    leaves: ExitRule | None = None,
    unlisted: Mapping[str, SpikingLayer] = {},
) -> Iterator[BatchSteps]:
    """Advance a batch from rest to its last step, in the model's current mode; end early once all samples have left.

    A fused network takes as many steps at once as a pass without gradients; any other network takes one. If samples
    can leave, every network takes one.

    Args:
        noise: seed, index and draw, as :meth:`~bntt.nn.SpikingClassifier.advance` takes them.
        leaves: called after every step to choose the samples that leave; by default none do.
        unlisted: weights to measure that the network does not list as a layer.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3)).eval()
    >>> first = lambda logits: torch.arange(len(logits)) == 0
    >>> [len(part.there) for part in advance_batch(model, torch.ones(2, 1, 2, 2), Measure(), {}, leaves=first)]
    [2, 1]
    """
    total, state = model.encoder.num_steps, None
    at_once, there = 1, torch.arange(len(inputs), device=inputs.device)
    if leaves is None:
        shape = model.encoder(inputs, steps=range(1), **noise).shape[1:]
        at_once = 1 if model.network.plan((total, *shape)).reason else STEPS_AT_ONCE
    while (done := 0 if state is None else state.steps) < total and len(there):
        steps = min(at_once, total - done)
        with watching(unlisted, torch.empty(steps, len(inputs), device="meta"), measure) as found:
            logits, state = model.advance(
                inputs, state, steps=steps, measure=measure, **(noise if state is None else {})
            )
        yield BatchSteps(logits, (state.measured or {}) | found, there)
        if leaves is not None and bool((gone := leaves(logits[-1])).any()):
            inputs, state, there = inputs[~gone], state.rows(~gone), there[~gone]
