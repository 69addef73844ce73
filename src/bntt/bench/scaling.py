"""One model of an update's time, fitted on this machine and checked on cases that the fit did not use.

``seconds = fixed + (mac · MACs + neuron · neuron steps) / (1 + gain · (threads - 1))``: dense work, traffic between
layers, the fixed cost of an update, and the gain of each further thread. MACs are those of B samples in T steps, once
forward and twice backward; neuron steps count their values at the neurons. P processes of one thread take B/P samples
each: the work of all is divided by ``1 + share · (P - 1)``, and ``byte · gradient bytes`` is added for the exchange.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from socket import socket
from typing import Any

import torch

from bntt.analysis.energy.plan import macs_of, plan_layers
from bntt.bench.cases import Case, network
from bntt.bench.timing import Worker, answer, end, start, tell
from bntt.charts.records import Axis, Entry, Figure, Forest

PASSES = 3.0
"""Times that an update makes a layer's multiply-accumulates: forward, and backward to inputs and to weights."""


@dataclass(frozen=True)
class Point:
    """A case, with the threads that it is given, or the processes of one thread that share its batch."""

    case: Case
    threads: int
    processes: int = 1

    @property
    def name(self) -> str:
        """Name of the point, by what differs between points."""
        case, s = self.case, "" if self.threads == 1 else "s"
        many = f"{self.threads} thread{s}" if self.processes == 1 else f"{self.processes} processes"
        return f"VGG9 x{case.width:g}, T={case.num_steps}, B={case.batch}, {many}"


def _point(width: float, num_steps: int, batch: int, threads: int, processes: int = 1) -> Point:
    return Point(Case("scaling", num_steps=num_steps, batch=batch, width=width), threads, processes)


FITTED = [
    _point(0.25, 4, 16, 1),
    _point(0.25, 25, 16, 1),
    _point(0.25, 25, 64, 1),
    _point(0.5, 4, 16, 1),
    _point(0.5, 25, 16, 1),
    _point(1.0, 4, 16, 1),
    _point(1.0, 8, 16, 1),
    _point(0.25, 25, 16, 2),
    _point(0.5, 25, 16, 2),
    _point(1.0, 8, 16, 2),
    _point(0.25, 25, 16, 1, 2),
    _point(0.5, 8, 64, 1, 2),
    _point(1.0, 4, 16, 1, 2),
]
UNSEEN = [_point(0.5, 8, 64, 1), _point(0.75, 16, 16, 2), _point(1.0, 25, 16, 2), _point(0.5, 25, 16, 1, 2)]


@dataclass(frozen=True)
class Work:
    """What an update has to do."""

    macs: float
    neuron_steps: float
    gradient_bytes: float = 0.0

    @classmethod
    def of(cls, case: Case) -> Work:
        """Count an update's multiply-accumulates and neuron steps."""
        net = network(replace(case, num_steps=1, batch=2))
        layers = plan_layers(net, (3, 32, 32), None).values()
        times = case.num_steps * case.batch
        gradients = 4.0 * sum(one.numel() for one in net.parameters())
        return cls(
            PASSES * times * macs_of(layers), float(times * sum(math.prod(one.out) for one in layers)), gradients
        )


@dataclass(frozen=True)
class Model:
    """The fitted numbers."""

    mac: float
    """Seconds of a multiply-accumulate on one thread."""
    neuron: float
    """Seconds of a neuron's step on one thread, all that moves for it included."""
    fixed: float
    """Seconds of an update without either."""
    gain: float
    """What every further thread adds, in threads: 1 is ideal."""
    share: float = 1.0
    """What every further process of one thread adds, in processes."""
    byte: float = 0.0
    """Seconds that processes take to exchange a byte of gradients."""

    def alone(self, work: Work) -> float:
        """Predict the seconds of one thread, without the fixed cost of an update."""
        return self.mac * work.macs + self.neuron * work.neuron_steps

    def seconds(self, work: Work, threads: int, processes: int = 1) -> float:
        """Predict an update's seconds; several processes have a thread each.

        >>> model = Model(mac=1e-9, neuron=0.0, fixed=0.5, gain=1.0, share=1.0, byte=2.5e-6)
        >>> model.seconds(Work(1e9, 0.0, 1e5), threads=2), model.seconds(Work(1e9, 0.0, 1e5), threads=1, processes=2)
        (1.0, 1.25)
        """
        if processes == 1:
            return self.fixed + self.alone(work) / (1 + self.gain * (threads - 1))
        return self.fixed + self.alone(work) / (1 + self.share * (processes - 1)) + self.byte * work.gradient_bytes


def fit(rows: Sequence[tuple[Work, int, int, float]]) -> Model:
    """Fit the model to work, threads, processes and measured seconds, by least squares of relative errors.

    No number is negative.

    Args:
        rows: some with one thread, some with more, some with two processes.

    >>> true = Model(2e-11, 3e-9, 0.01, 0.8, 0.9, 1e-9)
    >>> works = [Work(1e9, 1e6, 1e6), Work(4e9, 1e6, 9e6), Work(2e9, 9e6, 4e6)]
    >>> given = [(1, 1), (2, 1), (1, 2)]
    >>> found = fit([(work, n, many, true.seconds(work, n, many)) for work in works for n, many in given])
    >>> [f"{value:.2g}" for value in vars(found).values()]
    ['2e-11', '3e-09', '0.01', '0.8', '0.9', '1e-09']
    """
    alone = [(work, seconds) for work, threads, many, seconds in rows if threads == many == 1]
    relative = torch.tensor([[w.macs / s, w.neuron_steps / s, 1 / s] for w, s in alone], dtype=torch.float64)
    mac, neuron, fixed = _nonnegative(relative)
    one = Model(mac, neuron, fixed, 1.0)
    gains = [
        (one.alone(work) / max(seconds - fixed, 1e-9) - 1) / (threads - 1)
        for work, threads, _, seconds in rows
        if threads > 1
    ]
    one = replace(one, gain=max(0.0, sum(gains) / len(gains)) if gains else 1.0)
    pairs = [(work, max(seconds - fixed, 1e-9)) for work, _, many, seconds in rows if many == 2]
    if len(pairs) < 2:
        return one
    part, byte = _nonnegative(torch.tensor([[one.alone(w) / s, w.gradient_bytes / s] for w, s in pairs]).double())
    return replace(one, share=max(0.0, 1 / max(part, 1e-9) - 1), byte=byte)


def _nonnegative(columns: torch.Tensor) -> list[float]:
    """Solve ``columns @ x = 1`` by least squares over x without negative parts: the best of all subsets."""
    count, least, scale = columns.shape[1], math.inf, columns.norm(dim=0)
    best = [0.0] * count
    for chosen in (list(some) for n in range(1, count + 1) for some in combinations(range(count), n)):
        part = (columns / scale)[:, chosen]
        ones = torch.ones(len(part), 1, dtype=part.dtype)
        found = torch.linalg.lstsq(part, ones, driver="gelsd").solution
        error = float((part @ found - ones).square().sum())
        if float(found.min()) >= 0 and error < least:
            least, best = error, [0.0] * count
            for place, value in zip(chosen, found.flatten().tolist(), strict=True):
                best[place] = value / float(scale[place])
    return best


def measure(
    points: Sequence[Point], *, rounds: int, progress: Callable[[str], None] = lambda what: None
) -> Iterator[tuple[Point, float]]:
    """Yield every point with the least seconds of its update, each in separate processes.

    Raises:
        LostProcessError: if a process ends early, with the last line of its standard error.
    """
    for number, point in enumerate(points, 1):
        progress(f"{point.name} ({number} of {len(points)})")
        case = replace(point.case, batch=point.case.batch // point.processes)
        settings = {"OMP_NUM_THREADS": str(point.threads), "OMP_WAIT_POLICY": "PASSIVE"}
        workers = list[Worker]()
        try:
            for joined in _places(point.processes):
                asked = {"variant": "fused", "case": asdict(case)}
                workers.append(start("bntt.bench.worker", asked, settings | joined))
            for worker in workers:
                answer(point.name, worker)
            seconds = min(_together(point.name, workers) for _ in range(rounds + 1))
        finally:
            end(workers)
        yield point, seconds


def _places(processes: int) -> list[dict[str, str]]:
    """Return the variables that torchrun would set for each process; none for a single one."""
    if processes == 1:
        return [{}]
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def _together(name: str, workers: Sequence[Worker]) -> float:
    """Return the seconds of a step that all make at the same time: those of the slowest."""
    for worker in workers:
        tell(worker, "step")
    return max(answer(name, worker)["seconds"] for worker in workers)


MACHINES = {
    "64 cores": "every core gives to dense work what the second gave here, and 16 of them to neurons (memory)",
    "8 nodes of 64 cores": "an eighth of the batch each, and the gradients twice over a link of 10 Gbit/s",
    "one H100": "half of its 67 Tflop/s in float32; 48 bytes a neuron's step at 2 TB/s; 2 ms for launches",
}
"""Machines that were not measured, and what the model assumes about them."""
LINK, GPU_MACS, GPU_BYTES, GPU_FIXED, BYTES = 1.25e9, 67e12 / 4, 2e12, 0.002, 48


def elsewhere(model: Model, case: Case) -> dict[str, float]:
    """Estimate an update's seconds on :data:`MACHINES`: a model, nothing of it was run.

    >>> from bntt.bench.cases import Case
    >>> times = elsewhere(Model(12e-12, 1.8e-9, 0.015, 0.9), Case("paper", width=0.25, num_steps=25, batch=128))
    >>> times["one H100"] < times["8 nodes of 64 cores"] < times["64 cores"]
    True
    """

    def cores(batch: int) -> float:
        work = Work.of(replace(case, batch=batch))
        neurons = model.neuron * work.neuron_steps / (1 + model.gain * 15)
        return model.fixed + model.mac * work.macs / (1 + model.gain * 63) + neurons

    weights, work = sum(one.numel() for one in network(replace(case, num_steps=1, batch=2)).parameters()), Work.of(case)
    return {
        "64 cores": cores(case.batch),
        "8 nodes of 64 cores": cores(math.ceil(case.batch / 8)) + 8 * weights / LINK,
        "one H100": GPU_FIXED + work.macs / GPU_MACS + BYTES * work.neuron_steps / GPU_BYTES,
    }


def report(measured: Mapping[Point, float]) -> dict[str, Any]:
    """Fit the model to the points in :data:`FITTED`, and add its prediction to every point."""
    works = {point: Work.of(point.case) for point in measured}
    model = fit(
        [(works[point], point.threads, point.processes, measured[point]) for point in FITTED if point in measured]
    )
    rows = []
    for point, seconds in measured.items():
        predicted = model.seconds(works[point], point.threads, point.processes)
        told = {"name": point.name, "seen": point in FITTED, "seconds": seconds, "predicted": predicted}
        rows.append(told | asdict(works[point]) | {"error": predicted / seconds - 1})
    paper = Case("the paper's VGG9", num_steps=25, batch=128)
    others = [{"machine": name, "assumed": MACHINES[name], "seconds": s} for name, s in elsewhere(model, paper).items()]
    return {"model": asdict(model), "points": rows, "elsewhere": others}


def rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return name, measured and predicted time, error and whether it was fitted, of every point, in words."""
    return [
        (
            row["name"],
            f"{row['seconds']:.3f} s",
            f"{row['predicted']:.3f} s",
            f"{row['error']:+.0%}",
            "" if row["seen"] else "unseen",
        )
        for row in found["points"]
    ]


def figure(found: Mapping[str, Any]) -> Figure:
    """Draw measured and predicted seconds of every point."""
    entries = [
        Entry(f"{row['name']}, {what}", row[key], colour=what)
        for row in found["points"]
        for what, key in (
            ("measured", "seconds"),
            ("by the model" if row["seen"] else "by the model, unseen", "predicted"),
        )
    ]
    return Figure("An update of VGG9", [Forest("time of an update", Axis("seconds", scale="log"), entries)])
