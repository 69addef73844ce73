"""Writing a run's bundles, and running them as a program without PyTorch would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, paired
from bntt.analysis.measurement import ArgumentError, Progress, Split, origin
from bntt.deploy import DeployError, Description, Runtime, export
from bntt.deploy.bundle import WEIGHT_TYPES
from bntt.deploy.description import Array
from bntt.nn.network.labelled_batch import samples
from bntt.runs.deployment import DeployedWay, DeploymentArguments, DeploymentResult
from bntt.runs.deployment.timed import timed
from bntt.runs.exported import describe_run
from bntt.runs.open_run import LoadedRun

Batch = tuple[Array, Array, Array]  # samples, their labels and their places in the split


def measure_bundles(opened: LoadedRun, arguments: DeploymentArguments, progress: Progress) -> DeploymentResult:
    """Measure a run's bundles on some images of a split, after the exit was chosen on validation."""
    try:
        made = describe_run(opened)
    except DeployError as error:
        raise ArgumentError(f"{opened.path}: {error}") from None
    shown = list(_batches(opened, arguments.split, arguments.images))
    kept = list(_batches(opened, "validation", arguments.images)) if thresholds(made) else []
    progress.expect(sum(len(labels) for _, labels, _ in (*kept, *shown, *shown, *shown)))
    with tempfile.TemporaryDirectory() as place:
        for weights in WEIGHT_TYPES:
            export(made, Path(place) / weights, "bundle", weights=weights)
        runtimes = {weights: Runtime(Path(place) / weights) for weights in WEIGHT_TYPES}
        sizes = {weights: (Path(place) / weights).stat().st_size for weights in WEIGHT_TYPES}
        classes, labels = _classes(runtimes["float32"], kept, opened.seed, progress)
        threshold, stop = chosen_exit(made, (classes == labels).mean(1) if kept else (), arguments.loss)
        told = {name: _classes(one, shown, opened.seed, progress)[0] for name, one in runtimes.items()}
        steps = list(dict.fromkeys((made.num_steps, stop)))
        np.save(Path(place) / "sample.npy", shown[0][0][:1])
        milliseconds = timed(Path(place), tuple(runtimes), steps, arguments.rounds)
    labels = np.concatenate([labels for _, labels, _ in shown])
    right, first = told["float32"][-1] == labels, ("float32", made.num_steps)
    itself: dict[str, Any] = {"difference": 0.0, "difference_95": (None, None)}
    return DeploymentResult(
        **origin(opened, arguments),
        images=len(labels),
        validation_images=sum(len(labels) for _, labels, _ in kept),
        backend=runtimes["float32"].backend,
        threshold=threshold,
        ways=[
            DeployedWay(
                weights=name,
                steps=after,
                accuracy=float((classes[after - 1] == labels).mean()),
                **(beside(classes[after - 1] == labels, right) if (name, after) != first else itself),
                agreement=float((classes[after - 1] == told["float32"][-1]).mean()),
                bytes=sizes[name],
                milliseconds=milliseconds[name, after],
            )
            for name, classes in told.items()
            for after in steps
        ],
    )


def beside(right: Array, first: Array) -> dict[str, Any]:
    """Compare right answers with those of the first way, on the same images."""
    found = paired(torch.from_numpy(right)[None], torch.from_numpy(first)[None])
    return {"difference": found.difference, "difference_95": found.interval}


def thresholds(made: Description) -> list[float]:
    """List every threshold at which the number of steps changes: the mean |γ| of all layers and steps, descending."""
    rows = [layer.gamma[slice(*layer.driven)] for layer in made.layers if layer.gamma is not None]
    return sorted({float(value) for row in rows for value in row.astype(np.float32)}, reverse=True)


def chosen_exit(made: Description, accuracy: Sequence[float] | Array, loss: float) -> tuple[float | None, int]:
    """Choose the highest threshold whose accuracy is within ``loss`` points of that after all steps, with its steps."""
    runtime = Runtime(made, backend="numpy")
    for threshold in thresholds(made) if len(accuracy) else ():
        steps = runtime.exit_step(threshold)
        if accuracy[steps - 1] >= accuracy[-1] - loss / 100 - 1e-12:
            return threshold, steps
    return None, made.num_steps


def _batches(opened: LoadedRun, split: Split, images: int) -> Iterator[Batch]:
    for inputs, labels, index in samples(opened.loader(split, images), 0):
        yield inputs.float().cpu().numpy(), labels.cpu().numpy(), index.cpu().numpy()


def _classes(runtime: Runtime, batches: Sequence[Batch], seed: int, progress: Progress) -> tuple[Array, Array]:
    """Return the class of every sample after each step, ``[T, N]``, and its label."""
    found, labels = [np.empty((runtime.num_steps, 0), np.int64)], [np.empty(0, np.int64)]
    for inputs, own, index in batches:
        found.append(runtime.trace(inputs, seed=seed, index=index, draw=FIRST_DRAW).argmax(2))
        labels.append(own)
        progress(len(own))
    return np.concatenate(found, 1), np.concatenate(labels)
