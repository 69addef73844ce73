"""A model of an update's time: ``python docs/make.py --measure performance`` fits it, and checks it on unseen cases.

``seconds = fixed + (mac · MACs + neuron · neuron steps) / (1 + gain · (threads - 1))``: dense work, traffic between
layers, the fixed cost of an update, and the gain of each further thread. MACs are those of B samples in T steps, once
forward and twice backward; neuron steps count their values at the neurons. P processes of one thread take B/P samples
each: the work of all is divided by ``1 + share · (P - 1)``, and ``byte · gradient bytes`` is added for the exchange.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from socket import socket

from benchmarks.cases import Case, network
from benchmarks.workers import Worker
from bntt.analysis.energy.operations import macs_of, plan_layers
from bntt.io.files import write_json
from pages.kept import TEXTS, Facts, read_json, table

MEASURED = TEXTS / "scaling.json"
"""Results of :func:`measure`."""
ROUNDS, PASSES = 2, 3.0
"""Updates timed after the first; and how often an update makes a layer's multiply-accumulates."""


@dataclass(frozen=True)
class Point:
    """A case, with the threads that it is given, or the processes of one thread that share its batch."""

    width: float
    num_steps: int
    batch: int
    threads: int = 1
    processes: int = 1

    @property
    def name(self) -> str:
        many = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        many = many if self.processes == 1 else f"{self.processes} processes"
        return f"VGG9 x{self.width:g}, T={self.num_steps}, B={self.batch}, {many}"

    def case(self, batch: int) -> Case:
        return Case("scaling", num_steps=self.num_steps, batch=batch, width=self.width)


FITTED = [
    *(Point(0.25, 4, 16), Point(0.25, 25, 16), Point(0.25, 25, 64), Point(0.5, 4, 16), Point(0.5, 25, 16)),
    *(Point(1.0, 4, 16), Point(1.0, 8, 16)),
    *(Point(0.25, 25, 16, 2), Point(0.5, 25, 16, 2), Point(1.0, 8, 16, 2)),
    *(Point(0.25, 25, 16, 1, 2), Point(0.5, 8, 64, 1, 2), Point(1.0, 4, 16, 1, 2)),
]
UNSEEN = [Point(0.5, 8, 64), Point(0.75, 16, 16, 2), Point(1.0, 25, 16, 2), Point(0.5, 25, 16, 1, 2)]


@dataclass(frozen=True)
class Work:
    """What an update has to do."""

    macs: float
    neuron_steps: float
    gradient_bytes: float = 0.0

    @classmethod
    def of(cls, case: Case) -> Work:
        """Count it."""
        net = network(replace(case, num_steps=1, batch=2))
        layers, times = plan_layers(net, (3, 32, 32), None).values(), case.num_steps * case.batch
        neurons = float(times * sum(math.prod(one.out) for one in layers))
        return cls(PASSES * times * macs_of(layers), neurons, 4.0 * sum(one.numel() for one in net.parameters()))


@dataclass(frozen=True)
class Model:
    """The fitted numbers: seconds of a multiply-accumulate, of a neuron's step, and of an update without either."""

    mac: float
    neuron: float
    fixed: float
    gain: float = 1.0
    """What every further thread adds, in threads: 1 is ideal."""
    share: float = 1.0
    """What every further process of one thread adds, in processes."""
    byte: float = 0.0
    """Seconds that processes take to exchange a byte of gradients."""

    def alone(self, work: Work) -> float:
        """Predict the seconds of one thread, without the fixed cost of an update."""
        return self.mac * work.macs + self.neuron * work.neuron_steps

    def seconds(self, work: Work, point: Point) -> float:
        """Predict an update's seconds."""
        if point.processes == 1:
            return self.fixed + self.alone(work) / (1 + self.gain * (point.threads - 1))
        exchange = self.byte * work.gradient_bytes
        return self.fixed + self.alone(work) / (1 + self.share * (point.processes - 1)) + exchange


def fit(rows: Sequence[tuple[Point, Work, float]]) -> Model:
    """Fit the model to measured seconds, by least squares of relative errors without negative parts."""
    alone = [(work, took) for point, work, took in rows if point.threads == point.processes == 1]
    model = Model(*_nonnegative([[work.macs / took, work.neuron_steps / took, 1 / took] for work, took in alone]))
    beyond = [(point, work, max(took - model.fixed, 1e-9)) for point, work, took in rows]
    gains = [(model.alone(work) / took - 1) / (one.threads - 1) for one, work, took in beyond if one.threads > 1]
    shared = [(work, took) for point, work, took in beyond if point.processes == 2]
    part, byte = _nonnegative([[model.alone(work) / took, work.gradient_bytes / took] for work, took in shared])
    return replace(model, gain=max(0.0, sum(gains) / len(gains)), share=max(0.0, 1 / max(part, 1e-9) - 1), byte=byte)


def _nonnegative(columns: list[list[float]]) -> list[float]:
    """Solve ``columns @ x = 1`` by least squares over x without negative parts."""
    import numpy as np
    from scipy.optimize import nnls

    scale = np.linalg.norm(columns, axis=0)
    return [float(value) for value in nnls(columns / scale, np.ones(len(columns)))[0] / scale]


def update_seconds(point: Point) -> float:
    """Return the least seconds of an update, in processes of their own that start each update together."""
    told = {"variant": "fused", "case": asdict(point.case(point.batch // point.processes))}
    settings = {"OMP_NUM_THREADS": str(point.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    with ExitStack() as ending, ThreadPoolExecutor(point.processes) as pool:
        workers = [ending.enter_context(Worker(point.name, "timing", told, settings | one)) for one in _ranks(point)]
        updates = [list(pool.map(lambda one: one.ask("step")["seconds"], workers)) for _ in range(ROUNDS + 1)]
    return min(map(max, updates))


def _ranks(point: Point) -> list[dict[str, str]]:
    """Return the variables that torchrun would set for each process; none for a single one."""
    if point.processes == 1:
        return [{}]
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(point.processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(point.processes)]


MACHINES = {
    "64 cores": "every core gives to dense work what the second gave here, and 16 of them to neurons (memory)",
    "8 nodes of 64 cores": "an eighth of the batch each, and the gradients twice over a link of 10 Gbit/s",
    "one H100": "half of its 67 Tflop/s in float32; 48 bytes a neuron's step at 2 TB/s; 2 ms for launches",
}
"""Machines that were not measured, and what the model assumes about them."""
LINK, GPU_MACS, GPU_BYTES, GPU_FIXED, BYTES = 1.25e9, 67e12 / 4, 2e12, 0.002, 48


def elsewhere(model: Model, case: Case) -> dict[str, float]:
    """Estimate an update's seconds on :data:`MACHINES`: a model, nothing of it was run."""

    def cores(batch: int) -> float:
        work = Work.of(replace(case, batch=batch))
        neurons = model.neuron * work.neuron_steps / (1 + model.gain * 15)
        return model.fixed + model.mac * work.macs / (1 + model.gain * 63) + neurons

    work = Work.of(case)
    return {
        "64 cores": cores(case.batch),
        "8 nodes of 64 cores": cores(math.ceil(case.batch / 8)) + 2 * work.gradient_bytes / LINK,
        "one H100": GPU_FIXED + work.macs / GPU_MACS + BYTES * work.neuron_steps / GPU_BYTES,
    }


def report(measured: Iterable[tuple[Point, float]]) -> Facts:
    """Fit the model to the points in :data:`FITTED`, and add its prediction to every point."""
    rows = [(point, Work.of(point.case(point.batch)), seconds) for point, seconds in measured]
    model, points = fit([row for row in rows if row[0] in FITTED]), []
    for point, work, seconds in rows:
        predicted = model.seconds(work, point)
        told = {"name": point.name, "seen": point in FITTED, "seconds": seconds, "predicted": predicted}
        points.append(told | asdict(work) | {"error": predicted / seconds - 1})
    paper = Case("the paper's VGG9", num_steps=25, batch=128)
    others = [{"machine": name, "assumed": MACHINES[name], "seconds": s} for name, s in elsewhere(model, paper).items()]
    return {"model": asdict(model), "points": points, "elsewhere": others}


def measure() -> None:
    """Measure every point on this machine, a quiet one."""
    from bntt.runs.environment import environment

    write_json(MEASURED, {"environment": environment()} | report((p, update_seconds(p)) for p in FITTED + UNSEEN))


def scaling() -> list[str]:
    """Tabulate the model of an update's time against measured times, and its predictions for other machines."""
    found = read_json(MEASURED)
    environment, model = found["environment"], found["model"]
    made = f"{environment['processor']}, commit `{environment['commit']}`, {environment['started'][:10]}"
    others = [[one["machine"], f"{one['seconds']:.2f} s", one["assumed"]] for one in found["elsewhere"]]
    told = (
        f"By the model an update takes {model['fixed'] * 1e3:.1f} ms, plus {model['mac'] * 1e12:.1f} ps for each multiply-accumulate of "
        f"its three passes and {model['neuron'] * 1e9:.2f} ns for each neuron and step. A second thread adds {model['gain']:.2f} of the speed "
        f"of the first, a second process of one thread {model['share']:.2f}; processes exchange a byte of gradients in "
        f"{model['byte'] * 1e9:.2f} ns. "
        "Measured times are the minimum of three updates, with random weights; unseen points were not fitted. The second table is "
        "predicted by the model, nothing in it was run: an update of VGG9, T = 25, B = 128."
    )
    rows = []
    for row in found["points"]:
        seconds = (f"{row['seconds']:.3f} s", f"{row['predicted']:.3f} s", f"{row['error']:+.0%}")
        rows.append([row["name"], *seconds, "" if row["seen"] else "unseen"])
    heads = ("update of VGG9", "measured", "by the model", "error", "")
    return [f"{made}.", "", told, "", *table(heads, rows), "", *table(("elsewhere", "update", "assumed"), others)]
