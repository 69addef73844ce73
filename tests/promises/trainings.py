"""Trainings that are watched: R2, R7, R9, R10, N6."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bntt.data import SampleLoader
from bntt.data.samples import ImageSet
from bntt.io.checkpoint import read_checkpoint
from bntt.models import vgg9
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.runs.directory import Checkpoints, new_run_directory
from bntt.runs.recipe.build import RecipeData, build_model, training_loader
from bntt.runs.recipe.file import Recipe, load_recipe
from bntt.runs.training.train import train_run
from bntt.training import Method, NonFiniteError, Session, StepRecord
from tests.faults.user import SMALL, bntt
from tests.promises.promise import Measured, Promise, adder
from tests.runs import tiny
from tests.training.test_fit import build, data

PROMISES: list[Promise] = []
promise = adder(PROMISES)


def digest(tensors: dict[str, Tensor]) -> str:
    """Of names and bytes."""
    whole = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        whole.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()


def session_of(recipe: Recipe, parts: RecipeData) -> Session:
    """The training of a run, without its validations and files."""
    model, loader = build_model(recipe, parts), training_loader(recipe, parts)
    return Session(model, loader, epochs=recipe.train.epochs, method=recipe.train, seed=recipe.seed)


@promise(
    "R2", "evaluation does not disturb training", "evaluated every epoch, every fifth and never: identical parameters"
)
def evaluated() -> Measured:
    """Weights, statistics and the optimiser's state after six epochs."""
    recipe = tiny.recipe(train={"epochs": 6})
    parts, found = tiny.parts(recipe), set()
    with tempfile.TemporaryDirectory() as folder:
        for every in (1, 5):
            run, _ = tiny.trained(tiny.edited(recipe, evaluate={"every": every}), parts, Path(folder))
            found.add(digest(dict(run.checkpoints.latest().checkpoint.tensors)))
    never = session_of(recipe, parts)
    list(never.records())
    found.add(digest(never.state()[0]))
    return Measured(f"{len(found)} SHA-256 of three trainings", len(found) == 1)


Spoil = Callable[[Session, float], None]


def sites() -> dict[str, Spoil]:
    """Every tensor that an update reads, every gradient, the loss and the rate."""
    one = _begun()
    found: dict[str, Spoil] = {}
    for name, _ in one.model.named_parameters():
        found[f"parameter {name}"] = lambda s, bad, name=name: _fill(s.model.get_parameter(name), bad)  # type: ignore[misc]
        found[f"the gradient of {name}"] = lambda s, bad, name=name: _spoil_gradient(s, name, bad)  # type: ignore[misc]
        found[f"momentum_buffer of {name}"] = lambda s, bad, name=name: _fill(  # type: ignore[misc]
            s.optimizer.state[s.model.get_parameter(name)]["momentum_buffer"], bad
        )
    for name, value in one.model.named_buffers():
        if value.is_floating_point() and "running" in name:
            found[f"buffer {name}"] = lambda s, bad, name=name: _fill(s.model.get_buffer(name), bad)  # type: ignore[misc]
    found["the loss"] = _spoil_loss
    return found


def _begun() -> Session:
    """A training after its first update."""
    one = Session(build(), SampleLoader(data(), 10, shuffle=True), epochs=3, method=Method(lr=0.1), seed=3)
    next(one.records())
    return one


def _fill(value: Tensor, bad: float) -> None:
    value.data.flatten()[0] = bad


def _spoil_gradient(one: Session, name: str, bad: float) -> None:
    one.model.get_parameter(name).register_hook(lambda grad: grad.clone().index_fill_(0, torch.tensor([0]), bad))


def _spoil_loss(one: Session, bad: float) -> None:
    one.model.network.readout.register_forward_hook(lambda module, given, made: (made[0] * bad, made[1]))


@promise(
    "R7",
    "never step on non-finite numbers",
    "NaN and infinities in input, loss, each weight, gamma, running mean and variance, gradient, momentum, rate: 100 % "
    "stopped before the update, the site named, exit 6, the last checkpoint finite",
)
def not_finite() -> Measured:
    """One number of every tensor is spoilt, in a training of its own each time."""
    stopped = named = blind = tried = 0
    missed = list[str]()
    for name, spoil in sites().items():
        for bad in (float("nan"), float("inf"), float("-inf")):
            tried += 1
            said = _stop(spoil, bad)
            stopped, named = stopped + bool(said), named + (name in said or name == "the loss")
            blind += bool(said) and np.isfinite(float(said.split()[3]))
            missed += [] if said else [f"{bad} in {name}"]
    inputs, rates = _refused(_begin_with), _refused(lambda bad: Method(lr=bad))
    code, finite = _of_a_command()
    said = (
        f"{stopped} of {tried} in {len(sites())} tensors stopped before the update, {named} named; a look at the loss "
    )
    said += f"alone would have seen {tried - blind}; {inputs} of 3 inputs and {rates} of 3 rates refused; "
    said += f"exit {code}, the last checkpoint {'finite' if finite else 'NOT finite'}"
    well = stopped == tried == named and inputs == rates == 3 and code == 6 and finite
    return Measured(said + (f"; missed: {missed[0]}" if missed else ""), well)


def _stop(spoil: Spoil, bad: float) -> str:
    """What the training says, if it stops and has changed nothing."""
    one = _begun()
    spoil(one, bad)
    before = {name: value.clone() for name, value in one.state()[0].items()}
    done = one.position.updates
    try:
        next(one.records())
    except NonFiniteError as error:
        after = one.state()[0]
        same = all(torch.equal(value.nan_to_num(7), after[name].nan_to_num(7)) for name, value in before.items())
        return str(error) if same and one.position.updates == done else ""
    return ""


def _refused(take: Callable[[float], object]) -> int:
    """How many of three numbers that are not finite are refused."""
    refused = 0
    for bad in (float("nan"), float("inf"), float("-inf")):
        try:
            take(bad)
        except ValueError:
            refused += 1
    return refused


def _begin_with(pixel: float) -> None:
    image = torch.full((4, 1, 4, 4), 0.5)
    image[0, 0, 0, 0] = pixel
    next(Session(build(), [(image, torch.tensor([0, 1, 2, 0]))], epochs=1).records())


def _of_a_command() -> tuple[int, bool]:
    """A training whose rate is so high that nothing stays finite, saved after every update."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["-s", "train.lr=1e30", "-s", "checkpoint.every_steps=1", "--root", folder]
        said = bntt("train", "demo", *SMALL, *options)
        paths = Checkpoints(Path(folder) / "demo" / "checkpoints").paths()
        finite = all(value.isfinite().all() for path in paths for value in read_checkpoint(path).tensors.values())
    return int(said.split()[1].rstrip(":")), bool(finite)


SAVES = 5


@promise(
    "R9",
    "checkpoint cost is small",
    "<= 1 % of an epoch's time at defaults; a file of VGG9, T = 25: 48 MB +- 10 %",
)
def costs() -> Measured:
    """VGG9 of CIFAR-10: a file written five times; an epoch of 45,000 images by the time that 32 take."""
    recipe = load_recipe("cifar10")
    net = vgg9(num_classes=10, num_steps=25, leak=0.95)
    model = SpikingClassifier(PoissonEncoder(25, mean=[0.5] * 3, std=[0.25] * 3), net)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(64) % 10, tuple("0123456789"))
    one = Session(model, SampleLoader(images, 32), epochs=1, method=recipe.train)
    records = one.records()
    next(records)
    began = time.perf_counter()
    next(records)
    epoch = (time.perf_counter() - began) / 32 * 45_000
    tensors, facts = one.state()
    seconds = list[float]()
    with tempfile.TemporaryDirectory() as folder:
        for updates in range(SAVES):
            began = time.perf_counter()
            path = Checkpoints(Path(folder)).write(updates, tensors, facts, last=2)
            seconds.append(time.perf_counter() - began)
        size = path.stat().st_size / 1e6
    save = statistics.median(seconds)
    said = f"VGG9, T = 25: {size:.1f} MB, {save:.2f} s (median of {SAVES}, with fsync and reading again), "
    said += f"{100 * save / epoch:.3f} % of an epoch of {epoch:,.0f} s on one thread"
    return Measured(said, save <= 0.01 * epoch and abs(size - 48) <= 4.8)


UPDATES, WARM = 2000, 500


@promise(
    "R10",
    "long runs do not leak",
    "2,000 tiny updates: memory grows by <= 1 MB in 1,000 updates after the warm-up; the number of open files is "
    "constant",
)
def leaks() -> Measured:
    """A run with a validation and a checkpoint every 50 updates; the slope is the least squares' from update 500 on."""
    recipe = tiny.recipe(train={"epochs": UPDATES // 50, "batch_size": 20})
    parts = tiny.parts(recipe)
    images = parts.train.images.repeat(17, 1, 1, 1)[:1000]
    labels = parts.train.labels.repeat(17)[:1000]
    whole = dataclasses.replace(parts, train=ImageSet(images, labels, parts.train.classes))
    with tempfile.TemporaryDirectory() as folder:
        seen = np.array(list(_watched(recipe, whole, Path(folder))))
    late = seen[seen[:, 0] >= WARM]
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] * 1000 / 1e6
    files = sorted({int(count) for count in late[:, 2]})
    said = f"{len(seen):,} updates: {slope:+.2f} MB in 1,000 updates, {' to '.join(map(str, files))} open files"
    return Measured(said, len(seen) >= UPDATES and slope <= 1 and len(files) == 1)


def _watched(recipe: Recipe, parts: RecipeData, folder: Path) -> Iterator[tuple[int, int, int]]:
    """Updates done, bytes of resident memory, open files: after every update."""
    done = 0
    for told in train_run(recipe, parts, new_run_directory("long", folder)):
        if isinstance(told, StepRecord):
            done += 1
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            yield done, pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))


STEPS = 50


@promise(
    "N6",
    "same seed, same run",
    "2 runs of 50 updates on 1 and on 2 threads: equal hashes for a number of threads; on a GPU 100 equal losses",
)
def same_seed() -> Measured:
    """SHA-256 of weights, statistics, momentum and every loss."""
    recipe = tiny.recipe(train={"epochs": 17, "batch_size": 20})
    parts, before, found = tiny.parts(recipe), torch.get_num_threads(), dict[int, set[str]]()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[threads] = {_fifty(recipe, parts) for _ in range(2)}
    torch.set_num_threads(before)
    equal = sum(len(hashes) == 1 for hashes in found.values())
    across = len(set.union(*found.values()))
    said = f"{equal} of {len(found)} numbers of threads give the same hash twice ({across} hashes in all); "
    return Measured(f"{said}GPU not run", equal == len(found))


def _fifty(recipe: Recipe, parts: RecipeData) -> str:
    one = session_of(recipe, parts)
    losses = [record.loss for record, _ in zip(one.records(), range(STEPS), strict=False)]
    return digest({**one.state()[0], "losses": torch.tensor(losses, dtype=torch.float64)})
