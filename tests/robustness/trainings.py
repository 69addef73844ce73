"""Trainings that are watched: R9, R10."""

from __future__ import annotations

import dataclasses
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bntt.data import SampleLoader
from bntt.data.samples import ImageSet
from bntt.models import vgg9
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.runs.directory import Checkpoints, new_run_directory
from bntt.runs.recipe.file import load_recipe
from bntt.runs.training.train import train_run
from bntt.training import Session, StepRecord
from tests.robustness.promise import Measured, promise
from tests.runs import tiny


@promise("R9", "a checkpoint takes <= 1 % of an epoch; VGG9, T = 25: 48 MB +- 10 %")
def costs() -> Measured:
    """VGG9 of CIFAR-10: a file written five times; an epoch of 45,000 images by the time that 32 take."""
    net = vgg9(num_classes=10, num_steps=25, leak=0.95)
    classifier = SpikingClassifier(PoissonEncoder(25, mean=[0.5] * 3, std=[0.25] * 3), net)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(64) % 10, tuple("0123456789"))
    one = Session(classifier, SampleLoader(images, 32), epochs=1, method=load_recipe("cifar10").train)
    records, seconds = one.records(), list[float]()
    next(records)
    began = time.perf_counter()
    next(records)
    epoch = (time.perf_counter() - began) / 32 * 45_000
    with tempfile.TemporaryDirectory() as folder:
        for updates in range(5):
            began = time.perf_counter()
            path = Checkpoints(Path(folder)).write(updates, *one.state(), last=2)
            seconds.append(time.perf_counter() - began)
        size = path.stat().st_size / 1e6
    save = statistics.median(seconds)
    said = f"{size:.1f} MB, {save:.2f} s (median of 5, with fsync and reading again), "
    said += f"{100 * save / epoch:.3f} % of an epoch of {epoch:,.0f} s on one thread"
    return Measured(said, save <= 0.01 * epoch and abs(size - 48) <= 4.8)


@promise("R10", "2,000 updates: <= 1 MB more memory in 1,000 updates, no more open files")
def leaks() -> Measured:
    """A run with a validation and a checkpoint every 50 updates; the slope is the least squares' from update 500 on."""
    recipe = tiny.recipe(train={"epochs": 40, "batch_size": 20})
    parts = tiny.parts(recipe)
    images, labels = parts.train.images.repeat(17, 1, 1, 1)[:1000], parts.train.labels.repeat(17)[:1000]
    whole = dataclasses.replace(parts, train=ImageSet(images, labels, parts.train.classes))
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(recipe, whole, new_run_directory("long", Path(folder)))
        seen = [_resources() for told in run if isinstance(told, StepRecord)]
    memory, files = np.array(seen[500:]).T
    slope = np.polyfit(np.arange(len(memory)), memory, 1)[0] * 1000 / 1e6
    said = f"{len(seen):,} updates: {slope:+.2f} MB in 1,000 updates, {min(files)} to {max(files)} open files"
    return Measured(said, len(seen) >= 2000 and slope <= 1 and min(files) == max(files))


def _resources() -> tuple[int, int]:
    """Bytes of resident memory, open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))
