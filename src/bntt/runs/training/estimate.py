"""Cost estimate of a training before it begins, from a few updates that are made, measured and discarded."""

from __future__ import annotations

import itertools
import math
import resource
import sys
import time
from dataclasses import dataclass

import torch

from bntt.runs.recipe.datasets import Parts
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.runs.training.initial import session_of
from bntt.training.processes import Processes
from bntt.training.records import StepRecord

MEASURED = 4
"""Number of updates made; the first one, a warm-up, is not timed."""


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a training."""

    updates: int
    """Number of updates in all epochs."""
    seconds: float
    """Time of all updates and validations."""
    peak_bytes: int
    """Peak memory: on a CPU of the whole process, PyTorch and data included; on a GPU of PyTorch's tensors."""
    checkpoint_bytes: int
    """Size of a training checkpoint; the best epoch's weights are smaller."""

    def text(self) -> str:
        """Format the numbers in one line.

        >>> Estimate(1200, 90.0, 3 << 28, 5 << 20).text()
        '1,200 updates, about 1.5 minutes; memory peaks at 768 MiB; checkpoints of 5.0 MiB'
        """
        return (
            f"{self.updates:,} updates, about {self.seconds / 60:,.1f} minutes; memory peaks at "
            f"{self.peak_bytes / 2**20:,.0f} MiB; checkpoints of {self.checkpoint_bytes / 2**20:.1f} MiB"
        )


def estimate_training(recipe: Recipe, data: Parts, device: str = "cpu") -> Estimate:
    """Make a few updates of a recipe's training and one batch of its validation, and write nothing.

    Raises:
        RecipeError: if network, data or options do not fit, or nothing is trained.

    >>> from bntt.runs.recipe.datasets import build_data
    >>> from bntt.runs.recipe.file import load_recipe
    >>> recipe = load_recipe("demo", ["network.width=0.125", "network.num_steps=2", "train.epochs=3"])
    >>> estimate_training(recipe, build_data(recipe)).updates
    300
    """
    if not recipe.train.epochs:
        raise RecipeError("train.epochs: 0 trains nothing, there is nothing to estimate")
    session = session_of(recipe, data, Processes(device), device)
    steps, times = (record for record in session.records() if isinstance(record, StepRecord)), [time.perf_counter()]
    for record in itertools.islice(steps, MEASURED):
        _ = record.loss  # a number: the update is done
        times.append(time.perf_counter())
    update = (times[-1] - times[min(1, len(times) - 2)]) / max(1, len(times) - 2)
    size, held_out = recipe.evaluate.batch_size, data.validation
    images = held_out.batch(torch.arange(min(size, len(held_out)))).to(device)
    with torch.no_grad():
        float(session.model.eval()(images, seed=recipe.seed).sum())
    validation = (time.perf_counter() - times[-1]) * math.ceil(len(held_out) / size)
    epochs, batches = recipe.train.epochs, math.ceil(len(data.train) / recipe.train.batch_size)
    updates = epochs * math.ceil(batches / recipe.train.accumulate)
    tensors, _ = session.state()
    return Estimate(
        updates,
        updates * update + math.ceil(epochs / recipe.evaluate.every) * validation,
        _peak(device),
        sum(value.nbytes for value in tensors.values()),
    )


def _peak(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
