"""Time to reach an accuracy: the same network, weights, batches and optimizer in the library and in other code.

Every training has its own process, one after another. It trains up to the next validation for every line that it gets.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from benchmarks.baselines import BASELINES
from benchmarks.cases import compute_of, threads_of
from benchmarks.workers import Worker, serve
from bntt import models
from bntt.data import SampleLoader, Splits, split_validation, stratified
from bntt.data.catalog import open_dataset
from bntt.data.loader import PartLoader
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training.method import PAPER
from bntt.training.schedule import Rates

Forward = Callable[[Tensor, Tensor, int], Tensor]
"""From samples, their indices in the set and the epoch to logits."""
VARIANTS = ("fused", "bf16-grad", "reference", *BASELINES)


@dataclass(frozen=True)
class TimeToAccuracy:
    """A network with BNTT, a dataset, and the accuracy on held-out images that ends a training."""

    name: str
    dataset: str
    network: str
    width: float
    target: float
    """Accuracy, from 0 to 1."""
    starts: int
    augment: tuple[str, ...] = ("flip",)
    num_steps: int = 8
    batch: int = 64
    epochs: int = 10
    """Length of the schedule: its first drop, after half of it, is what brings a training to its target."""
    validation: float = 0.1
    """Share of the training images that is held out."""
    held_out: int = 2000
    """Most images of a validation."""
    every: int = 100
    """Number of updates from one validation to the next."""
    root: str = ""
    """The dataset's folder; "" is its usual one."""

    def splits(self) -> Splits:
        """Open the dataset; a DataError says what is missing."""
        return open_dataset(self.dataset, Path(self.root) if self.root else None)[0]


TARGETS = (
    TimeToAccuracy("Fashion-MNIST, VGG6 x0.5, T=8", "fashion-mnist", "vgg6", 0.5, 0.87, starts=3, epochs=3),
    TimeToAccuracy("CIFAR-10, VGG9 x0.25, T=8", "cifar10", "vgg9", 0.25, 0.5, 1, augment=("crop", "flip"), every=200),
)


def time_training(setting: TimeToAccuracy, variant: str, seed: int, threads: int) -> dict[str, Any]:
    """Train a variant from a seed in a process of its own; return its validations, as a report has them."""
    title, told = (
        f"{setting.name}: {variant}, seed {seed}",
        {"variant": variant, "seed": seed, "setting": asdict(setting)},
    )
    with Worker(title, "time_to_accuracy", told, threads_of(variant, threads)) as worker:
        points = list(iter(lambda: worker.ask("next"), {}))
    return {"variant": variant, "seed": seed, "points": points}


def summary(setting: TimeToAccuracy, trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Collect the trainings of a setting, with each variant's seconds to the target, and their mean."""
    rows = {}
    for name in dict.fromkeys(one["variant"] for one in trainings):
        own = [one["points"] for one in trainings if one["variant"] == name]
        met = [points[-1] for points in own if points and points[-1]["accuracy"] >= setting.target]
        seconds = [point["seconds"] for point in met]
        rows[name] = {
            "starts": len(own),
            "reached": len(met),
            "seconds": seconds,
            "mean_seconds": statistics.mean(seconds) if met else None,
            "updates": [point["updates"] for point in met],
        }
    told = {name: value for name, value in asdict(setting).items() if name != "root"}  # a path of this machine
    return {"race": told, "to_target": rows, "trainings": list(trainings)}


def train(setting: TimeToAccuracy, variant: str, seed: int) -> Iterator[dict[str, Any]]:
    """Train from a seed, with plain cross entropy and ``torch.optim.SGD``, until the target or the last epoch.

    All variants have the same network with the weights of ``seed``, batches, augmentation, rates and decay. Each draws
    its input spikes in its own way: the library by sample, the others from torch's generator. Seconds are those of the
    updates so far, without validation.
    """
    published = setting.splits().train
    images, validation, _ = split_validation(published, round(setting.validation * len(published)), seed)
    mean, std = images.pixel_statistics()
    network = getattr(models, setting.network)(
        num_classes=len(images.classes),
        num_steps=setting.num_steps,
        width=setting.width,
        in_channels=images.images.shape[1],
        image_size=images.images.shape[-1],
        seed=seed,
    )
    model = SpikingClassifier(PoissonEncoder(setting.num_steps, mean=mean, std=std), network)
    module, forward = contender(variant, model, seed)
    loader = SampleLoader(images, setting.batch, shuffle=True, augment=setting.augment, seed=seed)
    held_out = PartLoader(validation, stratified(validation, min(setting.held_out, len(validation))), 250)
    optimizer = optim.SGD(module.parameters(), PAPER.lr, momentum=PAPER.momentum, weight_decay=PAPER.weight_decay)
    rates, last = Rates(PAPER, setting.epochs, len(loader)), setting.epochs * len(loader)
    torch.manual_seed(seed)
    done, seconds, cpu = 0, 0.0, 0.0
    for epoch in range(setting.epochs):
        for number, batch in enumerate(loader.epoch(epoch)):
            began, began_cpu = time.perf_counter(), time.process_time()
            module.train()
            rates.apply(optimizer, epoch, number)
            optimizer.zero_grad()
            loss = F.cross_entropy(forward(batch.inputs, batch.indices, epoch), batch.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            seconds, cpu = seconds + time.perf_counter() - began, cpu + time.process_time() - began_cpu
            done += 1
            if done % setting.every == 0 or done == last:
                accuracy = validate(module, forward, held_out)
                yield {"updates": done, "seconds": seconds, "cpu_seconds": cpu, "accuracy": accuracy}
                if accuracy >= setting.target:
                    return


def contender(variant: str, model: SpikingClassifier, seed: int) -> tuple[nn.Module, Forward]:
    """Return the module to train for a variant, with the model's weights, and the function that gives its logits."""
    if variant in BASELINES:
        module, encoder = BASELINES[variant](model.network), cast(PoissonEncoder, model.encoder)
        return module, lambda x, index, draw: module(encoder.normalized(x))
    model.network.compute = compute_of(variant, model.encoder.num_steps)
    return model, lambda x, index, draw: model(x, seed=seed, index=index, draw=draw)


@torch.no_grad()
def validate(module: nn.Module, forward: Forward, batches: PartLoader) -> float:
    """Return the accuracy on held-out images, in evaluation mode."""
    module.eval()
    right, count = 0, 0
    for batch in batches.epoch(0):
        right += int((forward(batch.inputs, batch.indices, 0).argmax(1) == batch.labels).sum())
        count += len(batch.labels)
    return right / count


def main(specification: str) -> None:
    """Train up to the next validation for every line; answer an empty object after the last."""
    told = json.loads(specification)
    setting = TimeToAccuracy(**told["setting"] | {"augment": tuple(told["setting"]["augment"])})
    points = train(setting, told["variant"], told["seed"])
    serve(lambda _: next(points, {}))


if __name__ == "__main__":
    main(sys.argv[1])
