"""Cost of a training, by a model or a few trial updates; and the largest batch that fits.

Other work on the machine makes updates slower, never faster. So the fastest of a few updates counts, by wall-clock time
or CPU time, whichever is shorter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context

import torch
from pydantic import ByteSize, TypeAdapter, ValidationError

from bntt.analysis.energy.operations import macs_of, plan_layers
from bntt.engine.graph.stack import available_memory
from bntt.io.memory import forget_peak, keep_freed_memory, resident
from bntt.nn import SpikingClassifier, SpikingNetwork
from bntt.nn.kinds import norm_facts_by_name
from bntt.runs import parts
from bntt.runs.recipe.build import RecipeData, build_data, build_model, facts_of, input_shape
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.runs.training.epoch_log import is_out_of_memory
from bntt.runs.training.start import build_session
from bntt.training.processes import Processes
from bntt.training.schedule import steps_in
from bntt.training.session import Session, StepRecord

UPDATE = 2.5
"""Passes that an update costs per sample: one forward, the rest backward to inputs and weights."""
MAC, NEURON, FIXED = 12e-12, 1.8e-9, 0.015
"""Seconds of a multiply-accumulate and of a neuron's step in a pass, and of the fixed part of an update, which a second
core does not shorten: from the kept runs of this project, on one core of an AMD EPYC."""
SLOWER = 2.5
"""Time of plain PyTorch, as a multiple of that of the fused kernels."""


def updates_an_epoch(recipe: Recipe, data: RecipeData) -> int:
    """Return the number of updates in an epoch."""
    return math.ceil(math.ceil(len(data.train) / recipe.train.batch_size) / recipe.train.accumulate)


def shares_of_steps(recipe: Recipe) -> list[float]:
    """Return the share of all time steps that each epoch of a training takes."""
    total = recipe.network.num_steps
    return [steps_in(recipe.train.grow, epoch, total) / total for epoch in range(recipe.train.epochs)]


def time_left(recipe: Recipe, data: RecipeData, update: float, sample: float | None = None) -> float:
    """Return the seconds of all updates and validations, and of the test at the end."""
    epochs, per_epoch, shares = recipe.train.epochs, updates_an_epoch(recipe, data), shares_of_steps(recipe)
    every = recipe.evaluate.every
    validated = sum(shares[epoch] for epoch in range(epochs) if (epoch + 1) % every == 0 or epoch + 1 == epochs)
    test = (recipe.evaluate.images or data.manifest.images["test"]) * facts_of(recipe).draws
    if sample is None:
        sample = update / (UPDATE * len(data.train) / per_epoch)
    return per_epoch * sum(shares) * update + (len(data.validation) * validated + test) * sample


def update_seconds(network: SpikingNetwork, shape: tuple[int, ...], samples: float, threads: int) -> float | None:
    """Estimate the seconds of an update of ``samples`` samples on the CPU; None if operations cannot be counted."""
    try:
        layers = plan_layers(network, shape[2:], None).values()
    except (TypeError, ValueError):
        return None
    macs, neurons = macs_of(layers), sum(math.prod(one.out) for one in layers)
    one_core = UPDATE * samples * shape[0] * (MAC * macs + NEURON * neurons)
    return (one_core / threads + FIXED) * (SLOWER if network.plan(shape).reason else 1.0)


MEASURED = 4
"""Number of updates that are timed, after one that warms up."""


class Clock:
    """Clock of laps, by wall-clock time or CPU time, whichever is shorter: one thread may share its core."""

    def __init__(self) -> None:
        self._at = time.perf_counter(), time.process_time()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        before, self._at = self._at, (time.perf_counter(), time.process_time())
        return min(now - then for now, then in zip(self._at, before, strict=True))


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a training."""

    updates: int
    """Number of updates in all epochs."""
    seconds: float | None
    """Time of all updates and validations, and of the test after them; None if only updates can show it."""
    peak_bytes: int = 0
    """Peak memory if it was measured: of the whole process on a CPU; on a GPU what PyTorch reserves."""

    def text(self) -> str:
        """Format the numbers in one line."""
        long = "the first of them will show how long it takes" if self.seconds is None else spoken(self.seconds)
        memory = f"; memory peaks at {_mib(self.peak_bytes)}" if self.peak_bytes else ""
        return f"{self.updates:,} updates, {long}{memory}"


def spoken(seconds: float) -> str:
    """Format an estimated time: "about 2.5 hours"."""
    if seconds < 0.05:
        return "less than 0.1 seconds"
    if seconds < 120:
        return f"about {seconds:.{int(seconds < 10)}f} seconds"
    size, unit = (60, "minutes") if seconds < 7200 else (3600, "hours")
    return f"about {seconds / size:,.{int(seconds < 100 * size)}f} {unit}"


def modelled(recipe: Recipe, data: RecipeData, model: SpikingClassifier, processes: int = 1) -> Estimate:
    """Estimate the time of a training from its recipe, model and data, for a number of processes."""
    (steps, batch, *sample), per_epoch = input_shape(recipe, data), updates_an_epoch(recipe, data)
    shape, each = (steps, math.ceil(batch / processes), *sample), len(data.train) / per_epoch / processes
    update = None
    if next(model.parameters()).device.type == "cpu":
        update = update_seconds(model.network, shape, each, torch.get_num_threads())
    return Estimate(recipe.train.epochs * per_epoch, None if update is None else time_left(recipe, data, update))


def estimate_training(recipe: Recipe, data: RecipeData, device: str = "cpu") -> Estimate:
    """Estimate a training by making a few of its updates and validating one batch; write nothing."""
    if not recipe.train.epochs:
        raise RecipeError("train.epochs: 0 trains nothing, there is nothing to estimate")
    session = build_session(recipe, data, Processes(device), device)
    update, sample = fastest_update(session, MEASURED), validated_sample(session, recipe, data, device)
    seconds = time_left(recipe, data, update, sample=sample)
    return Estimate(recipe.train.epochs * updates_an_epoch(recipe, data), seconds, peak_memory(device))


def fastest_update(session: Session, count: int) -> float:
    """Make an update of all steps to warm up, and ``count`` more; return the seconds of the fastest."""
    session.position.epoch = sum(epochs for _, epochs in session.method.grow)  # the first that takes all steps
    updates, clock = (record for record in session.records() if isinstance(record, StepRecord)), Clock()
    times = [clock.lap() for _ in islice(updates, 1 + count)]
    return min(times[1:], default=times[0])


def validated_sample(session: Session, recipe: Recipe, data: RecipeData, device: str) -> float:
    """Validate one batch twice, the first time to warm up; return the seconds per sample of the faster."""
    index = torch.arange(min(recipe.evaluate.batch_size, len(data.validation)))
    images, clock, times = data.validation.batch(index).to(device), Clock(), []
    for _ in range(2):
        session.model.trace(images, seed=recipe.seed)
        times.append(clock.lap())
    return min(times) / len(index)


def peak_memory(device: str) -> int:
    """Return the most bytes that this process has used so far; on a GPU, the most that PyTorch has reserved."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resident("VmHWM")


NEAR = 0.02
"""The search ends when a batch larger by this share does not fit."""
GROWTH = 8
"""Largest factor from one measured batch to the next: the line through two points is trusted no further."""
PeakOf = Callable[[int], tuple[float, float]]
"""Measures a batch size: peak memory of its updates, and of the whole training; infinite if the process was killed."""


def bytes_of(text: str) -> int:
    """Read a number of bytes."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size = ByteSize(0)
    if not size:
        raise RecipeError(f"--fit-batch {text}: expected a number of bytes above 0, such as 8GiB or 500MB")
    return size


def propose_batch(recipe: Recipe, data: RecipeData, limit: float | None = None, device: str = "cpu") -> str:
    """Describe the largest batch whose training stays under a limit, as flags to paste; nothing is written."""
    if not recipe.train.epochs:
        raise RecipeError("train.epochs: 0 trains nothing, there is no batch to fit")
    auto = recipe.compute.recompute == "auto"
    keeping = replace(recipe, compute=replace(recipe.compute, recompute="never")) if auto else recipe
    limit = available_memory(torch.device(device)) if limit is None else limit
    if limit == math.inf:
        raise RecipeError("--fit-batch: this system does not say how much memory is free: give a limit")
    smallest = 1
    if norm_facts_by_name(recipe.network.norm).batch_statistics:
        smallest = 2 + len(data.train) % 2  # of an odd number of samples, batches of 2 leave one of 1
    size, peak = largest_batch(
        lambda size: _peaks_apart(_with_batch(keeping, size), device), limit, smallest, len(data.train)
    )
    found = _with_batch(recipe, size)
    network = build_model(found, data, device).network
    settles = network.settled_compute(input_shape(found, data)).recompute
    never = " -s compute.recompute=never" if auto and settles != "never" else ""
    return f"-s train.batch_size={size}{never} (memory peaks at {_mib(peak)}); train.lr stays {recipe.train.lr:g}"


def largest_batch(peak_of: PeakOf, limit: float, smallest: int, most: int) -> tuple[int, float]:
    """Find the largest batch that fits, to within 2 %, along the line through the last two peaks."""
    size, (line_peak, peak) = smallest, peak_of(smallest)
    if peak > limit:
        raise MemoryError(
            f"--fit-batch: a batch of {smallest}, the smallest that this network takes, peaks at {_mib(peak)}, above "
            f"the limit of {_mib(limit)}: take fewer steps, a smaller network.width or compute.recompute=K"
        )
    each, too_large, most_step = 0.0, most + 1, (GROWTH - 1) * size
    while (left := too_large - 1 - size) > NEAR * size:
        room = int((limit - line_peak) / each) if each else left
        if room < max(1, NEAR * size):
            break
        step = min(left, room, max(1, most_step))
        updates, whole = peak_of(size + step)
        if math.isfinite(updates):
            each = max(0.0, updates - line_peak) / step
        if whole > limit:
            too_large, most_step = size + step, step - 1 if limit < updates < math.inf else step // 2
        else:
            size, line_peak, peak = size + step, updates, whole
            most_step = (GROWTH - 1) * size
    return size, peak


def _with_batch(recipe: Recipe, size: int) -> Recipe:
    return replace(recipe, train=replace(recipe.train, batch_size=size))


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB" if math.isfinite(size) else "more memory than there is"


def _peaks_apart(recipe: Recipe, device: str) -> tuple[float, float]:
    """Measure the memory peaks of a recipe in a fresh process, so that earlier work does not raise them."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, [part.source for part in parts.LOADED], recipe, device).result()
        except Exception as error:
            if not isinstance(error, BrokenProcessPool) and not is_out_of_memory(error):  # broken: it was killed
                raise
            return math.inf, math.inf


def _measure(own_parts: list[str], recipe: Recipe, device: str) -> tuple[float, float]:
    """Return two peaks, of two updates and of these with data and a validation batch."""
    parts.load_parts(own_parts)
    keep_freed_memory()
    data = build_data(recipe)
    before = peak_memory(device)
    forget_peak()
    session = build_session(recipe, data, Processes(device), device)
    fastest_update(session, 1)
    updates = peak_memory(device)
    validated_sample(session, recipe, data, device)
    return float(updates), float(max(before, peak_memory(device)))
