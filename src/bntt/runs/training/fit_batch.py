"""The largest batch whose training stays under a memory limit, found by trial updates in separate processes."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

from bntt.charts.section import plural
from bntt.engine.graph.stack import available_memory
from bntt.io.memory import forget_peak, keep_freed_memory
from bntt.nn.kinds import norm_facts_by_name
from bntt.runs.parts import LOADED, load_parts
from bntt.runs.recipe.build import build_model, input_shape
from bntt.runs.recipe.datasets import RecipeData, build_data
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.runs.training.epoch_log import is_out_of_memory
from bntt.runs.training.estimate import fastest_update, peak_memory, updates_an_epoch, validated_sample
from bntt.runs.training.initial import build_session
from bntt.training.processes import Processes

UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
NEAR = 0.02
"""The search ends when a batch larger by this share does not fit."""
GROWTH = 8
"""Largest factor from one measured batch to the next: the line through two points is trusted no further."""
PeakOf = Callable[[int], tuple[float, float]]
"""Measures a batch size: peak memory of its updates, and of the whole training; infinite if the process was killed."""


def bytes_of(text: str) -> float:
    """Read a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", text.strip().lower())
    if found is None or not float(found[1]):
        raise RecipeError(f"--fit-batch {text}: expected a number of bytes above 0, such as 8GiB or 500MB")
    return float(found[1]) * (1024.0 if found[3] else 1000.0) ** UNITS[found[2] or ""]


@dataclass(frozen=True)
class Proposal:
    """The largest batch that fits, and its measured peak memory."""

    batch_size: int
    peak_bytes: float
    settings: tuple[str, ...]
    """What to change in the recipe."""
    about_lr: str
    """The learning rate as it stays, and as it would be if scaled with the batch."""

    def text(self) -> str:
        """Format the proposal, ready to be pasted."""
        flags = " ".join(f"-s {setting}" for setting in self.settings)
        return f"{flags} (memory peaks at {_mib(self.peak_bytes)}); {self.about_lr}"


def propose_batch(recipe: Recipe, data: RecipeData, limit: float | None = None, device: str = "cpu") -> Proposal:
    """Propose the largest batch size whose training stays under a limit; nothing is written."""
    if not recipe.train.epochs:
        raise RecipeError("train.epochs: 0 trains nothing, there is no batch to fit")
    auto = recipe.compute.recompute == "auto"
    keeping = replace(recipe, compute=replace(recipe.compute, recompute="never")) if auto else recipe
    limit = available_memory(torch.device(device)) if limit is None else limit
    if limit == math.inf:
        raise RecipeError(
            "--fit-batch: this system does not say how much memory is free: give a limit, --fit-batch 8GiB"
        )
    smallest = 1
    if norm_facts_by_name(recipe.network.norm).batch_statistics:
        smallest = 2 + len(data.train) % 2  # of an odd number of samples, batches of 2 leave one of 1
    size, peak = largest_batch(
        lambda size: _peaks_apart(_with_batch(keeping, size), device), limit, smallest, len(data.train)
    )
    found = _with_batch(recipe, size)
    network = build_model(found, data, device).network
    settles = network.settled_compute(input_shape(found, data)).recompute
    never = ("compute.recompute=never",) if auto and settles != "never" else ()
    return Proposal(size, peak, (f"train.batch_size={size}", *never), _about_lr(recipe, found, data))


def largest_batch(peak_of: PeakOf, limit: float, smallest: int, most: int) -> tuple[int, float]:
    """Find the largest batch that fits, to within 2 %, along the line through the last two peaks."""
    size, (line_peak, peak) = smallest, peak_of(smallest)
    if peak > limit:
        raise MemoryError(
            f"--fit-batch: a batch of {smallest}, the smallest that this network takes, peaks at {_mib(peak)}, above "
            f"the limit of {_mib(limit)}: take fewer steps (network.num_steps), a smaller network (network.width), "
            f"compute.recompute=K, or a smaller evaluate.batch_size"
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


def _about_lr(before: Recipe, after: Recipe, data: RecipeData) -> str:
    rate, ratio = before.train.lr, after.train.batch_size / before.train.batch_size
    rule, scaled = (
        ("in proportion to the batch", ratio) if before.train.optimizer == "sgd" else ("by its root", ratio**0.5)
    )
    updates = [updates_an_epoch(each, data) for each in (after, before)]
    return (
        f"train.lr stays {rate:g}: an epoch has {plural(updates[0], 'update')} in place of {updates[1]:,}. Scaled "
        f"{rule} it would be -s train.lr={rate * scaled:.3g}, which was not tried here"
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB" if math.isfinite(size) else "more memory than there is"


def _peaks_apart(recipe: Recipe, device: str) -> tuple[float, float]:
    """Measure the memory peaks of a recipe in a fresh process, so that earlier work does not raise them."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    arguments = (theirs, [part.source for part in LOADED], recipe, device)
    process = spawn.Process(target=_measure, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        found: Any = ours.recv()
    except EOFError:  # it was killed
        found = MemoryError()
    finally:
        process.kill()
        process.join()
    if is_out_of_memory(found):
        return math.inf, math.inf
    if isinstance(found, Exception):
        raise found
    peaks: tuple[float, float] = found
    return peaks


def _measure(result: Connection, parts: list[str], recipe: Recipe, device: str) -> None:
    """Send two peaks, of two updates and of these with data and a validation batch; or the exception."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which kills this process
    try:
        load_parts(parts)
        keep_freed_memory()
        data = build_data(recipe)
        before = peak_memory(device)
        forget_peak()
        session = build_session(recipe, data, Processes(device), device)
        fastest_update(session, 1)
        updates = peak_memory(device)
        validated_sample(session, recipe, data, device)
        result.send((float(updates), float(max(before, peak_memory(device)))))
    except Exception as error:
        result.send(error)
