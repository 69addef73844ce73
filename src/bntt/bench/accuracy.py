"""Time to reach an accuracy: the same network, weights, batches and optimiser in the library and in others.

Every training has its own process, ``python -m bntt.bench.accuracy '{"variant": ...}'``, one after another. It prints
a line of JSON for every validation, and ends at the target. A stopped benchmark continues: :func:`kept` reads the
trainings in its report.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from bntt.bench.cases import available, installed_peers, kernels_of, threads_of
from bntt.bench.rivals import PEERS, PerStepLoop
from bntt.bench.timing import answer, end, start, versions
from bntt.charts.records import Axis, Chart, Figure, Level, Line, Lines
from bntt.data import SampleLoader, Splits, split_validation, stratified
from bntt.data.catalog import open_dataset
from bntt.data.loader import PartLoader
from bntt.engine.compute import Compute
from bntt.models import vgg6, vgg9
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training.method import PAPER
from bntt.training.schedule import Rates

Forward = Callable[[Tensor, Tensor, int], Tensor]
"""Samples, their places in the set and the number of the pass to logits."""
BUILDERS = {"vgg6": vgg6, "vgg9": vgg9}


@dataclass(frozen=True)
class Race:
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

    def told(self) -> dict[str, Any]:
        """Return its fields for a report, as JSON values; without the folder, which is specific to one machine."""
        return {name: value for name, value in json.loads(json.dumps(asdict(self))).items() if name != "root"}

    def splits(self) -> Splits:
        """Open the dataset.

        Raises:
            DataError: if it is missing or damaged.
        """
        return open_dataset(self.dataset, Path(self.root) if self.root else None)[0]


RACES = (
    Race("Fashion-MNIST, VGG6 x0.5, T=8", "fashion-mnist", "vgg6", 0.5, 0.87, starts=3, epochs=3),
    Race("CIFAR-10, VGG9 x0.25, T=8", "cifar10", "vgg9", 0.25, 0.5, starts=1, augment=("crop", "flip"), every=200),
)


@dataclass(frozen=True)
class Point:
    """State of a training at a validation."""

    updates: int
    seconds: float
    """Time of the updates so far, without validation."""
    cpu_seconds: float
    """The process's CPU time in them."""
    accuracy: float


@dataclass(frozen=True)
class Training:
    """One start of one variant."""

    variant: str
    seed: int
    points: list[Point] = field(default_factory=list)

    def reached(self, target: float) -> Point | None:
        """Return the first validation at the target or above, None if no validation was."""
        return next((point for point in self.points if point.accuracy >= target), None)


def variants() -> list[str]:
    """List what can take part here: the library's ways, the loop over time, and the installed peers.

    >>> variants()[0]
    'fused'
    """
    return [name for name in ("fused", "bf16-grad", "reference", "loop", *installed_peers()) if name in available()]


def measure(
    race: Race,
    chosen: Sequence[str],
    starts: int,
    *,
    threads: int,
    done: Sequence[Training] = (),
    progress: Callable[[str], None] = lambda what: None,
) -> Iterator[Training]:
    """Train every variant from every seed, seed by seed, each in a separate process; yield each as it ends.

    Args:
        done: earlier trainings, which are not repeated.

    Raises:
        LostProcessError: if a process ends early, with the last line of its standard error.
    """
    before = {(training.variant, training.seed) for training in done}
    for seed in range(starts):
        for variant in (name for name in chosen if (name, seed) not in before):
            told = {"variant": variant, "seed": seed, "race": asdict(race)}
            worker = start("bntt.bench.accuracy", told, threads_of(variant, threads))
            training = Training(variant, seed)
            try:
                while said := answer(f"{race.name}: {variant}, seed {seed}", worker):
                    training.points.append(point := Point(**said))  # type: ignore[arg-type]
                    progress(f"{race.name}: {variant}, seed {seed}: {point.accuracy:.1%} in {point.seconds:,.0f} s")
            finally:
                end([worker])
            yield training


def report(races: Sequence[tuple[Race, list[Training]]], threads: int) -> dict[str, Any]:
    """Collect all trainings, ready for ``json``: with each variant's seconds to the target, and their mean."""
    cases = []
    for race, trainings in races:
        rows = {}
        for name in dict.fromkeys(training.variant for training in trainings):
            own = [training for training in trainings if training.variant == name]
            met = [point for training in own if (point := training.reached(race.target))]
            rows[name] = {
                "starts": len(own),
                "reached": len(met),
                "seconds": [point.seconds for point in met],
                "mean_seconds": statistics.mean(point.seconds for point in met) if met else None,
                "updates": [point.updates for point in met],
            }
        cases.append({"race": race.told(), "to_target": rows, "trainings": [asdict(one) for one in trainings]})
    return {"versions": versions(), "threads": threads, "cases": cases}


def kept(found: Mapping[str, Any], race: Race) -> list[Training]:
    """Return the trainings of a race that a report has; none if it has no such race."""
    return [
        Training(one["variant"], one["seed"], [Point(**point) for point in one["points"]])
        for case in found["cases"]
        if case["race"] == race.told()
        for one in case["trainings"]
    ]


def figure(found: Mapping[str, Any]) -> Figure:
    """Draw accuracy on held-out images against minutes of training, one line per start."""
    charts: list[Chart] = []
    for case in found["cases"]:
        race = case["race"]
        lines = [
            Line(
                f"{one['variant']}, seed {one['seed']}",
                [point["seconds"] / 60 for point in one["points"]],
                [point["accuracy"] for point in one["points"]],
                one["variant"],
            )
            for one in case["trainings"]
        ]
        target = Level(race["target"], f"{race['target']:.0%}")
        lowest = min((value for line in lines for value in line.y if value is not None), default=0.0)
        accuracy = Axis("accuracy on held-out images", percent=True, low=math.floor(10 * lowest) / 10)
        charts.append(Lines(race["name"], Axis("minutes of training", low=0), accuracy, lines, levels=[target]))
    return Figure(f"{found['threads']} threads", charts, columns=1)


def train(race: Race, variant: str, seed: int) -> Iterator[Point]:
    """Train one start, with plain cross entropy and ``torch.optim.SGD``, until the target or the last epoch.

    All variants have the same network with the weights of ``seed``, batches, augmentation, rates and decay. Each draws
    its input spikes in its own way: the library by sample, the others from torch's generator.

    Raises:
        DataError: if the dataset is missing.
    """
    published = race.splits().train
    images, validation, _ = split_validation(published, round(race.validation * len(published)), seed)
    mean, std = images.pixel_statistics()
    shape = images.images.shape
    network = BUILDERS[race.network](
        num_classes=len(images.classes),
        num_steps=race.num_steps,
        width=race.width,
        in_channels=shape[1],
        image_size=shape[-1],
        seed=seed,
    )
    module, forward = contender(
        variant, SpikingClassifier(PoissonEncoder(race.num_steps, mean=mean, std=std), network), seed
    )
    loader = SampleLoader(images, race.batch, shuffle=True, augment=race.augment, seed=seed)
    held_out = PartLoader(validation, stratified(validation, min(race.held_out, len(validation))), 250)
    optimizer = optim.SGD(module.parameters(), PAPER.lr, momentum=PAPER.momentum, weight_decay=PAPER.weight_decay)
    rates, last = Rates(PAPER, race.epochs, len(loader)), race.epochs * len(loader)
    torch.manual_seed(seed)
    done, seconds, cpu = 0, 0.0, 0.0
    for epoch in range(race.epochs):
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
            if done % race.every == 0 or done == last:
                yield (point := Point(done, seconds, cpu, validate(module, forward, held_out)))
                if point.accuracy >= race.target:
                    return


def contender(variant: str, model: SpikingClassifier, seed: int) -> tuple[nn.Module, Forward]:
    """Return the module to train for a variant, with the model's weights, and the function that gives its logits.

    Raises:
        KeyError: for an unknown variant.
    """
    if variant in ("fused", "bf16-grad", "reference"):
        backend = "reference" if variant == "reference" else kernels_of("cpu")
        model.network.compute = Compute(backend=backend, precision="bf16-grad" if variant == "bf16-grad" else "fp32")
        return model, lambda x, index, draw: model(x, seed=seed, index=index, draw=draw)
    module = PerStepLoop(model.network) if variant == "loop" else PEERS[variant](model.network)
    encoder: Any = model.encoder
    return module, lambda x, index, draw: module(encoder.normalized(x))


def validate(module: nn.Module, forward: Forward, batches: PartLoader) -> float:
    """Return the accuracy on held-out images, in evaluation mode."""
    module.eval()
    right, count = 0, 0
    with torch.no_grad():
        for batch in batches.epoch(0):
            right += int((forward(batch.inputs, batch.indices, 0).argmax(1) == batch.labels).sum())
            count += len(batch.labels)
    return right / count


def main(specification: str) -> int:
    """Train as specified; write a line for every validation, and an empty object at the end."""
    told = json.loads(specification)
    race = Race(**told["race"] | {"augment": tuple(told["race"]["augment"])})
    for point in train(race, told["variant"], told["seed"]):
        sys.stdout.write(json.dumps(asdict(point)) + "\n")
        sys.stdout.flush()
    sys.stdout.write("{}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
