"""A model of what a training costs, from its recipe, its network and the size of its data: nothing is run.

A pass of a sample takes as long as the network's dense operations at the measured speed of one core; an update takes
:data:`UPDATE` passes of every sample of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

from bntt.analysis.energy.operations import macs_of, plan_layers
from bntt.nn import SpikingNetwork
from bntt.runs.recipe.build import facts_of
from bntt.runs.recipe.datasets import RecipeData
from bntt.runs.recipe.file import Recipe
from bntt.training.schedule import steps_in

UPDATE = 2.5
"""Passes that an update costs per sample: one forward, the rest backward to inputs and weights."""
MAC, NEURON, FIXED = 12e-12, 1.8e-9, 0.015
"""Seconds of a multiply-accumulate and of a neuron's step in a pass, and of the fixed part of an update, which a second
core does not shorten: from the kept runs of this project, on one core of an AMD EPYC."""
KEPT = 6.0
"""Bytes that an update keeps for a neuron's step: its current, its spike, and what moves between layers."""
LOADED = 150 << 20
"""Bytes of PyTorch that a process on the CPU loads with its first update."""
SLOWER, LARGER = 2.5, 8.0
"""Time and memory of plain PyTorch, as multiples of those of the fused kernels."""


def updates_an_epoch(recipe: Recipe, data: RecipeData) -> int:
    """Return the number of updates in an epoch."""
    return math.ceil(math.ceil(len(data.train) / recipe.train.batch_size) / recipe.train.accumulate)


def shares_of_steps(recipe: Recipe) -> list[float]:
    """Return the share of all time steps that each epoch of a training takes."""
    total = recipe.network.num_steps
    return [steps_in(recipe.train.grow, epoch, total) / total for epoch in range(recipe.train.epochs)]


def time_left(recipe: Recipe, data: RecipeData, update: float, done: int = 0, sample: float | None = None) -> float:
    """Return the seconds of all updates after the first ``done``, of their validations and of the test at the end."""
    epochs, per_epoch, shares = recipe.train.epochs, updates_an_epoch(recipe, data), shares_of_steps(recipe)
    first = min(done // per_epoch, epochs - 1)
    updates = per_epoch * sum(shares[first:]) - shares[first] * (done - per_epoch * first)
    every = recipe.evaluate.every
    validated = sum(shares[epoch] for epoch in range(first, epochs) if (epoch + 1) % every == 0 or epoch + 1 == epochs)
    test = (recipe.evaluate.images or data.manifest.images["test"]) * facts_of(recipe).draws
    if sample is None:
        sample = update / (UPDATE * len(data.train) / per_epoch)
    return updates * update + (len(data.validation) * validated + test) * sample


def update_seconds(network: SpikingNetwork, shape: tuple[int, ...], samples: float, threads: int) -> float | None:
    """Estimate the seconds of an update of ``samples`` samples on the CPU; None if operations cannot be counted."""
    found = _layers(network, shape)
    if found is None:
        return None
    macs, neurons = found
    one_core = UPDATE * samples * shape[0] * (MAC * macs + NEURON * neurons)
    return (one_core / threads + FIXED) * (1.0 if _is_fused(network, shape) else SLOWER)


def kept_bytes(network: SpikingNetwork, shape: tuple[int, ...]) -> float:
    """Estimate the bytes that an update of a batch keeps for its backward pass; 0 where neurons cannot be counted."""
    found, steps, fused = _layers(network, shape), shape[0], _is_fused(network, shape)
    span = network.compute.recompute if fused else "never"  # plain PyTorch keeps all steps
    each = KEPT if fused else KEPT * LARGER
    at_once = min(steps, span) + steps / span if isinstance(span, int) else steps
    return 0.0 if found is None else at_once * shape[1] * each * (found[1] + math.prod(shape[2:]))


def _layers(network: SpikingNetwork, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Count the multiply-accumulates and the neurons of a sample's step."""
    try:
        layers = plan_layers(network, shape[2:], None).values()
    except (TypeError, ValueError):
        return None
    return macs_of(layers), sum(math.prod(one.out) for one in layers)


def _is_fused(network: SpikingNetwork, shape: tuple[int, ...]) -> bool:
    return not network.plan(shape).reason


class Pace:
    """Time left of a training, from its epochs so far: another epoch of as many steps takes as long.

    >>> pace = Pace([0.25, 0.5, 1.0, 1.0])
    >>> pace.record(0, 100.0)
    >>> pace.left(0)
    1000.0
    >>> pace.record(1, 270.0)
    >>> pace.left(1), pace.left(2, 0.5)
    (620.0, 465.0)
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self.shares, self.ended = shares, 0.0
        self.took: dict[float, list[float]] = {}

    def record(self, epoch: int, seconds: float) -> None:
        """Note the end of an epoch, in seconds since the training began; a resumed one splits them in proportion."""
        share = self.shares[epoch]
        own = seconds - self.ended if self.took else seconds * share / sum(self.shares[: epoch + 1])
        self.took.setdefault(share, []).append(own)
        self.ended = seconds

    def left(self, epoch: int, rest: float = 0.0) -> float:
        """Return the seconds of the remaining share ``rest`` of an epoch, and of all epochs after it."""
        return rest * self._epoch(self.shares[epoch]) + sum(map(self._epoch, self.shares[epoch + 1 :]))

    def _epoch(self, share: float) -> float:
        known = {steps: mean(took) for steps, took in self.took.items()}
        most, *fewer = sorted(known, reverse=True)
        alike = known[most] * share / most
        if share in known or not fewer:
            return known.get(share, alike)
        slope = (known[most] - known[fewer[0]]) / (most - fewer[0])
        return min(max(known[most], known[most] + slope * (share - most)), alike)
