"""When a network may stop: at one step for all samples, read from γ (paper Section 3.4), or when each is certain."""

from __future__ import annotations

import math
import warnings
from typing import Literal, get_args

import numpy as np

from bntt.deploy.description import Description
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array

Criterion = Literal["confidence", "margin", "entropy"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


def exit_step(made: Description, threshold: float) -> int:
    """Find the number of steps to run, 1 to T: up to the last step at which a layer's mean |γ| reaches a threshold.

    Steps whose γ has no path from the input to the readout do not count. If no mean reaches it, the result is 1, with a
    warning.
    """
    if not (threshold >= 0 and math.isfinite(threshold)):
        raise DeployError(f"an exit threshold must be 0 or above, in units of γ, got {threshold}")
    rows = [(layer.gamma, layer.driven) for layer in made.layers if layer.gamma is not None]
    driven = [(gamma, steps) for gamma, steps in rows if steps[0] < steps[1]]
    if not driven:
        raise DeployError("no layer has a γ for each step that reaches the readout, from which an exit is read")
    reached = [
        steps[0] + int(found[-1])
        for gamma, steps in driven
        if len(found := np.flatnonzero(gamma[steps[0] : steps[1]].astype(np.float32) >= np.float32(threshold)))
    ]
    if not reached:
        warnings.warn(
            f"no mean |γ| reaches the exit threshold {threshold:g} at any step: stopping after 1; take a lower one",
            stacklevel=3,
        )
    return max(reached, default=0) + 1


def certainty(logits: Array, criterion: Criterion) -> Array:
    """Compute the certainty of each sample, from 0 to 1, with p the softmax of its logits ``[B, K]``.

    ``confidence``: the largest p. ``margin``: the largest p minus the second. ``entropy``: 1 + Σ p ln p / ln K.
    """
    if criterion not in CRITERIA:
        raise DeployError(f"unknown criterion {criterion!r}: choose one of {', '.join(CRITERIA)}")
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(logs)
    ordered = np.sort(p, 1)
    sure: Array = ordered[:, -1]
    if p.shape[1] > 1 and criterion == "entropy":
        sure = np.clip(1 + (p * logs).sum(1) / math.log(p.shape[1]), 0, 1)  # rounding
    elif p.shape[1] > 1 and criterion == "margin":
        sure = sure - ordered[:, -2]
    return sure
