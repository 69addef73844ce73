"""What sharing a batch costs: ``python -m tests.training.distributed_cost`` prints a table of evidence/distributed.md.

Processes of this machine meet over its loopback, on one thread each; the global batch is the same for every number of
them. Bytes are what one process gives to sums, an update; a ring moves up to twice as many through its links.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice

import torch
import torch.distributed as dist
from torch import Tensor

from bntt.data import SampleLoader, synthetic
from bntt.models import vgg6, vgg9
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import Method, Session
from bntt.training.processes import Processes, joined_processes
from tests.training.launched import ended, started


@dataclass(frozen=True)
class Case:
    """A network, and the batch of all processes."""

    steps: int
    width: float
    size: int
    batch: int


CASES = {"small": Case(4, 0.125, 16, 16), "vgg9": Case(25, 1.0, 32, 4)}
"""vgg6 an eighth as wide; the paper's VGG9 for CIFAR-10 and T, with a small batch: bytes do not depend on it."""


def session(case: str, processes: Processes) -> Session:
    of = CASES[case]
    build = vgg9 if case == "vgg9" else vgg6
    net = build(num_classes=10, in_channels=3, num_steps=of.steps, width=of.width, image_size=of.size)
    data = synthetic(image_size=of.size, train=8 * of.batch, test=10).train
    loader = SampleLoader(data, of.batch, shuffle=True, share=(processes.rank, processes.count))
    model = SpikingClassifier(PoissonEncoder(of.steps), net)
    return Session(model, loader, epochs=1, method=Method(lr=0.01), processes=processes)


@dataclass
class Cost:
    """Of one update, in one process."""

    processes: int
    calls: dict[str, int]
    bytes: dict[str, int]
    seconds: float


def measured(case: str, processes: Processes, updates: int) -> Cost:
    """The median of updates after a first one; calls and bytes of one of them."""
    calls, size = Counter[str](), Counter[str]()

    def note(kind: str, values: Tensor) -> None:
        calls[kind] += 1
        size[kind] += values.numel() * values.element_size()

    reduce, total = processes.reduce, processes.all_reduce_sum
    if reduce is not None:
        processes.reduce = lambda sums: (note("statistics", sums), reduce(sums))[1]
        processes.all_reduce_sum = lambda values: (note("control", values), total(values))[1]  # type: ignore[method-assign]
    of = session(case, processes)
    if reduce is not None:

        def hook(state: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
            note("gradients", bucket.buffer())
            whole = dist.all_reduce(bucket.buffer().div_(processes.count), async_op=True)
            return whole.get_future().then(lambda done: done.value()[0])

        hook.__annotations__ = {"bucket": dist.GradBucket, "return": torch.futures.Future[Tensor]}  # no strings for DDP
        of._batch_loss.register_comm_hook(None, hook)
    records, seconds = of.records(), []
    next(records)
    calls.clear()
    size.clear()
    for _ in islice(range(updates), updates):
        began = time.perf_counter()
        next(records)
        seconds.append(time.perf_counter() - began)
    each = {kind: count // updates for kind, count in calls.items()}
    return Cost(processes.count, each, {kind: n // updates for kind, n in size.items()}, statistics.median(seconds))


def row(case: str, cost: Cost) -> str:
    kinds = [
        f"{cost.calls.get(kind, 0)} / {cost.bytes.get(kind, 0):,}" for kind in ("statistics", "gradients", "control")
    ]
    return f"| {case} | {cost.processes} | {' | '.join(kinds)} | {cost.seconds:.2f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--updates", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.case:
        with joined_processes("cpu") as together:
            found = measured(asked.case, together, asked.updates)
            if together.first:
                json.dump(asdict(found), sys.stdout)
    else:
        for name in CASES:
            for number in asked.processes:
                command = ("tests.training.distributed_cost", "--case", name, "--updates", str(asked.updates))
                code, out, err = ended(started(number, *command))[0]
                print(row(name, Cost(**json.loads(out))) if code == 0 else err, flush=True)
