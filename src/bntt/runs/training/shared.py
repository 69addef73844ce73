"""A run by several processes: refuse what they cannot share, and add up what each of them measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bntt.analysis import Accuracy, Activity, Evaluation
from bntt.engine.kernels import BackendError, find_backend
from bntt.io.errors import DataError
from bntt.runs.recipe.datasets import RecipeData
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.training.processes import Processes


def check_shareable(recipe: Recipe, data: RecipeData, processes: Processes, *, resuming: bool) -> None:
    """Refuse, in every process alike, what several processes cannot do together."""
    count = processes.count
    if count == 1:
        return
    if recipe.convert.ann and (recipe.train.epochs == 0 or not resuming):
        raise RecipeError(
            f"convert.ann: thresholds are balanced by one process, not by {count}: begin the run with one, "
            f"and continue its training with more by --resume"
        )
    whole, wanted = len(data.train), recipe.train.batch_size
    if (smallest := whole // math.ceil(whole / wanted)) < count:
        raise RecipeError(
            f"train.batch_size: {wanted} makes batches of {smallest} out of {whole:,} samples, fewer than there are "
            f"processes, {count}: each of them needs a sample of every batch"
        )
    test = recipe.evaluate.images or len(data.test)
    for name, samples in (("validation", len(data.validation)), ("test", test)):
        size = math.ceil(samples / math.ceil(samples / recipe.evaluate.batch_size))
        if size < count:
            raise RecipeError(
                f"evaluate.batch_size: the {samples:,} {name} samples in batches of {size} leave one of {count} "
                f"processes without any: take larger batches, or fewer processes"
            )
    found = _sums(data)
    if (first := processes.decided(lambda: _sums(data))) != found:
        raise DataError(
            f"process {processes.rank} found other data than process 0: {found} in place of {first}; "
            f"bring the same files to both"
        )
    if recipe.compute.backend == "auto" and processes.device == "cpu":  # plain and fused layers sum different tables
        ours = find_backend("cpu").available
        if processes.decided(lambda: ours) != ours:
            raise BackendError(
                f"process {processes.rank} {'has' if ours else 'lacks'} the compiled kernels, process 0 "
                f"{'lacks' if ours else 'has'} them: install bntt alike for both, or set compute.backend=reference"
            )


def _sums(data: RecipeData) -> dict[str, Any]:
    return {**data.manifest.sha256, **data.facts()["samples"]}


def combine_evaluations(own: Evaluation, batches: int, processes: Processes) -> Evaluation:
    """Combine the evaluations of all processes, each sample counted once and in order; the same in each process."""
    if processes.count == 1:
        return own
    correct = processes.total(torch.tensor(own.accuracy.correct))
    samples = int(processes.total(torch.tensor([own.accuracy.samples])))
    parts = torch.arange(samples).tensor_split(batches)
    places = torch.cat([part.tensor_split(processes.count)[processes.rank] for part in parts])
    right = torch.zeros(len(correct), samples, dtype=torch.int64)
    right[:, places] = own.right.long()
    accuracy = Accuracy(samples, tuple(map(tuple, correct.tolist())))
    summed = processes.total(torch.tensor([own.loss * own.activity.presentations], dtype=torch.float64))
    activity = combine_activities(own.activity, processes)
    return Evaluation(accuracy, activity, processes.total(right).bool(), float(summed) / activity.presentations)


def combine_activities(own: Activity, processes: Processes) -> Activity:
    """Add up the spikes of all processes."""
    if processes.count == 1:
        return own
    presentations = int(processes.total(torch.tensor([own.presentations])))
    spikes: dict[str, Tensor] = {name: processes.total(counts.clone()) for name, counts in own.spikes.items()}
    return Activity(presentations, spikes, own.neurons)


def progress_of_all(progress: Callable[[int], None], total: int, processes: Processes) -> Callable[[int], None]:
    """Scale progress of this process to all processes, assuming they are equally far.

    >>> told, two = [], type("Two", (Processes,), {"count": 2})()
    >>> advance = progress_of_all(told.append, 5, two)
    >>> advance(2), advance(1), told
    (None, None, [4, 1])
    """
    told = 0

    def advance(samples: int) -> None:
        nonlocal told
        more = min(samples * processes.count, total - told)
        told += more
        progress(more)

    return advance
