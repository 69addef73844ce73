"""Event-driven or dense: which way a layer runs on an input, by a crossover that is measured on the machine.

``torch.use_deterministic_algorithms(True)`` selects the fixed rule, and event-driven weight gradients wherever there
are some: unlike PyTorch's, their bits do not depend on the number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from bntt.engine.compute import Compute
from bntt.engine.cpu.library import use_variant
from bntt.engine.synapse import Spikes, Synapse

FIXED_DENSITY = 0.5
FIXED_WEIGHTS = 32 * 32
"""The fixed rule is event-driven below ``FIXED_DENSITY`` events per input, from this many pairs of channels on."""


@dataclass(frozen=True)
class Crossover:
    """Events per input below which the event-driven way is the faster one; 0 if it never is."""

    forward: float
    weight_grad: float


_MEASURED: dict[str, float] = {}


def remembered() -> dict[str, float]:
    """Return the crossovers measured in this process, so that another process can reuse them."""
    return dict(_MEASURED)


def remember(measured: Mapping[str, float]) -> None:
    """Adopt another process's measurements; a layer of the same shape and thread count is not measured again."""
    _MEASURED.update(measured)


def goes_by_events(synapse: Synapse, x: Spikes, compute: Compute) -> tuple[bool, bool]:
    """Decide if a layer's forward pass and its weight gradient go event-driven for this input, on a CPU."""
    below = limits(synapse, x, compute)
    return x.density < below.forward, x.density < below.weight_grad


def limits(synapse: Synapse, x: Spikes, compute: Compute) -> Crossover:
    """Return the densities below which a layer goes event-driven; only the input's shape and kind matter."""
    choice, deterministic = compute.events, torch.are_deterministic_algorithms_enabled()
    if compute.kernels != "cpu" or not x.counted or not synapse.has_event_way or choice == "never":
        return Crossover(0.0, 0.0)
    if choice == "fixed" or deterministic:
        large = synapse.weight.shape[0] * synapse.weight.shape[1] >= FIXED_WEIGHTS
        below = FIXED_DENSITY if large else 0.0
        return Crossover(below, math.inf if deterministic else 0.0 if synapse.linear else below)
    return crossover(synapse, x)


def crossover(synapse: Synapse, x: Spikes) -> Crossover:
    """Return a layer's crossover here, measured when a layer of its shape first runs with this number of threads."""
    place = tuple(x.values.shape[2:])
    key = (*place, *synapse.weight.shape, synapse.geometry, x.largest, torch.get_num_threads(), use_variant())
    found = []
    for way, dtype in (("forward", synapse.forward_dtype), ("weight_grad", synapse.backward_dtype)):
        name = repr((way, dtype, key))
        if name not in _MEASURED:
            _MEASURED[name] = _measure(synapse, place, x.largest, x.scale, backward=way == "weight_grad")
        found.append(_MEASURED[name])
    return Crossover(*found)


def _measure(synapse: Synapse, place: tuple[int, ...], largest: int, scale: float, *, backward: bool) -> float:
    """Time both ways on random counts of two densities; event-driven time is a straight line in the density."""
    down, across = synapse.geometry.out_size((place[0], place[1]), synapse.kernel)
    work = synapse.weight.numel() * down * across
    images = min(512, max(2 * torch.get_num_threads(), (1 << 28) // max(1, work)))
    generator, cpu = torch.Generator("cpu").manual_seed(0), torch.device("cpu")
    samples = []
    for density in (0.05, 0.4):
        drawn = torch.rand(images, 1, *place, generator=generator, dtype=torch.float32, device=cpu)
        counts = (drawn < density).to(torch.uint8)
        samples.append(Spikes(counts, scale, largest, float(counts.sum()) / counts.numel()))
    grad = synapse.forward(samples[0], events=False).to(synapse.backward_dtype)
    total = torch.zeros(synapse.weight.shape, dtype=torch.float32, device=cpu)

    def work_of(x: Spikes, events: bool) -> Callable[[], object]:
        if backward:
            return lambda: synapse.add_weight_grad(total, x, grad, events=events)
        return lambda: synapse.forward(x, events=events)

    dense = _seconds(work_of(samples[0], False))
    few, many = (_seconds(work_of(x, True)) for x in samples)
    slope = max(1e-12, (many - few) / (samples[1].density - samples[0].density))
    return max(0.0, samples[0].density + (dense - few) / slope)


def _seconds(work: Callable[[], object], repeats: int = 3) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
