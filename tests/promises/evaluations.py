"""What is measured of a trained network, and on which images: T2, T3, T4."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from bntt.analysis import evaluate
from bntt.data import ImageSet, SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests.faults.user import SMALL, bntt
from tests.promises.promise import Measured, Promise, adder
from tests.runs import tiny

PROMISES: list[Promise] = []
promise = adder(PROMISES)


class Counted(ImageSet):
    """A split that counts who asks it for anything."""

    asked = 0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            Counted.asked += 1
        return super().__getattribute__(name)


@promise(
    "T2",
    "the test set is touched once",
    "0 accesses during training; selection by the last or the best validated epoch; the gap between the best test "
    "accuracy and the reported one printed for our own runs",
)
def touched() -> Measured:
    """A training whose test split counts, and then the command, whose evaluation is a file of its own."""
    recipe = tiny.recipe(train={"epochs": 3})
    parts = tiny.parts(recipe)
    counted = Counted(parts.test.images, parts.test.labels, parts.test.classes)
    Counted.asked = 0
    with tempfile.TemporaryDirectory() as folder:
        run, epochs = tiny.trained(recipe, dataclasses.replace(parts, test=counted), Path(folder))
        during = Counted.asked
        next(SampleLoader(counted, 20).epoch(0))
        counts = Counted.asked > during
        best = [epoch.epoch for epoch in epochs if epoch.best][-1]
        highest = max(epochs, key=lambda epoch: epoch.validation_accuracy or 0.0).epoch
        printed = _gap_is_printed(run.metrics)
    said = f"{during} accesses in a training of {len(epochs)} epochs; the epoch that is kept has the "
    said += f"{'highest' if best == highest else 'NOT THE HIGHEST'} validation accuracy; "
    said += (
        f"the gap is {'' if printed else 'not '}printed, for {'' if printed else 'no '}epoch is tested but the kept one"
    )
    return Measured(said, during == 0 and counts and best == highest and printed)


def _gap_is_printed(metrics: Path) -> bool:
    """Whether the rows of epochs tell anything of the test images."""
    return any("test" in key for line in metrics.read_text(encoding="utf-8").splitlines() for key in json.loads(line))


COUNT, BATCH = 23, 9


@promise(
    "T3",
    "all examples are counted",
    "N not divisible by B: all N evaluated, by the exact mean, which differs from that of batches",
)
def counted() -> Measured:
    """23 images in batches of every size; a plain loader's last batch is smaller."""
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1)
    model = SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net).eval()
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (COUNT, 1, 4, 4), generator=generator, dtype=torch.uint8)
    data = ImageSet(pixels, torch.arange(COUNT) % 3, ("a", "b", "c"))
    sizes = [evaluate(model, SampleLoader(data, batch), draws=1).accuracy.samples for batch in range(1, COUNT + 2)]
    pairs = [(pixels[i : i + BATCH].float() / 255, data.labels[i : i + BATCH]) for i in range(0, COUNT, BATCH)]
    plain = evaluate(model, pairs, draws=1)
    right = plain.right[0].double()
    exact, means = plain.accuracy.correct[0][-1] / COUNT, [float(part.mean()) for part in right.split(BATCH)]
    batches = sum(means) / len(means)
    whole = set(sizes) == {COUNT} and plain.accuracy.samples == COUNT
    said = f"{min(sizes)} to {max(sizes)} of {COUNT} images evaluated in batches of 1 to {COUNT + 1}; exact mean "
    said += f"{exact:.4f}, mean of the batches {batches:.4f}"
    return Measured(said, whole and exact == float(right.mean()) and exact != batches)


@promise(
    "T4",
    "the exit's threshold is not tuned on test images",
    "the test split is refused (exit 2); exit and accuracy are published for the whole grid of thresholds",
)
def exits() -> Measured:
    """``bntt exit`` of a small run, asked to choose on either split."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "demo"
        bntt("train", "demo", *SMALL, "-s", "evaluate.draws=1", "-s", "network.num_steps=4", "--root", folder)
        refused = bntt("exit", str(run), "--choose-on", "test")
        none = not (run / "exit.json").exists()
        allowed = bntt("exit", str(run), "--draws", "1")
        grid = json.loads((run / "exit.json").read_text(encoding="utf-8"))["grid"]
    said = (
        f"on test: {refused.partition(':')[0]}; on validation: {allowed}; a grid of {len(grid)} thresholds, each with "
    )
    said += f"{', '.join(sorted(grid[0]))}"
    return Measured(said, refused.startswith("exit 2") and none and allowed == "exit 0" and len(grid) > 1)
