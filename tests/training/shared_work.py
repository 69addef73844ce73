"""What every process does in the tests of many: ``python -m tests.training.shared_work FILE`` keeps what it found."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bntt.data import SampleLoader
from bntt.nn import LIF, NORMS, Compute, PoissonEncoder, Readout, SpikingBlock, SpikingClassifier, SpikingNetwork
from bntt.training import Distillation, Method, NonFiniteError, Session, recalibrate
from bntt.training.processes import LostProcessError, Processes, joined_processes
from bntt.training.session import EpochRecord, StepRecord
from tests.training.test_fit import data

STEPS, BATCH, UPDATES, FEW = 3, 8, 12, 5
"""Thirty samples make batches of 8, 8, 7 and 7: of the last, parts differ, and the fourth of four is a single one."""
WAYS = {
    "accumulated, clipped": ("bntt", Method(lr=0.05, accumulate=2, clip_norm=0.5)),
    "adamw, tet, average": ("tebn", Method(optimizer="adamw", lr=1e-3, loss="tet", average=0.9)),
    "growing": ("bntt", Method(lr=0.05, grow=((1, 1), (2, 1)))),
    "growing, learned leaks": ("none", Method(lr=0.05, grow=((1, 2),))),
}
FAULTS = ("readout.synapse.weight", "blocks.conv1.norm.running_var", "blocks.fc1.norm.gamma")
"""Where the last process has a NaN: one is seen in its loss, one nowhere but in itself, one in all statistics."""


class Wide(SampleLoader):
    """In float64."""

    def epoch(self, draw: int, first: int = 0) -> Iterator[Any]:
        return (batch._replace(inputs=batch.inputs.double()) for batch in super().epoch(draw, first))


def model(norm: str, **neuron: Any) -> SpikingClassifier:
    weights = torch.Generator().manual_seed(3)
    conv, fc = nn.utils.skip_init(nn.Conv2d, 1, 5, 3, padding=1), nn.utils.skip_init(nn.Linear, 20, 9, bias=False)
    out = nn.utils.skip_init(nn.Linear, 9, 3, bias=False)
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    net = SpikingNetwork(
        {
            "conv1": SpikingBlock(conv, NORMS[norm](5, STEPS, 1.0), LIF(0.9, **neuron), pool),
            "fc1": SpikingBlock(fc, NORMS[norm](9, STEPS, 1.0), LIF(0.9, **neuron)),
        },
        Readout(out),
        compute=Compute("reference"),
    )
    with torch.no_grad():
        for parameter in (*conv.parameters(), *fc.parameters(), *out.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=weights) * 0.5)
    return SpikingClassifier(PoissonEncoder(STEPS, mean=[0.5], std=[0.25]), net)


def session(
    processes: Processes, norm: str, method: Method, kind: type = Wide, *, taught: bool = False, **options: Any
) -> Session:
    loader = kind(data(), BATCH, shuffle=True, augment=("flip",), share=(processes.rank, processes.count), **options)
    learns = norm == "none"
    made = model(norm, learn_leak=True) if learns else model(norm)
    made = made.double() if kind is Wide else made
    loss = Distillation(made) if taught else None  # its own initial weights, by running statistics
    return Session(made, loader, epochs=5, method=method, seed=3, loss=loss, processes=processes)


def outcome(of: Session, updates: int = UPDATES) -> dict[str, Any]:
    """Everything that a training is after so many updates, and what it told."""
    told = list(itertools.takewhile(lambda _: of.position.updates <= updates, of.records()))
    assert of.position.updates <= updates + 1
    numbers = [(one.loss, one.correct, one.samples) for one in told if isinstance(one, StepRecord)]
    epochs = [(one.loss, one.accuracy) for one in told if isinstance(one, EpochRecord)]
    return {"state": of.state()[0], "numbers": numbers, "epochs": epochs}


def faulty(processes: Processes, name: str) -> str:
    of = session(processes, "bntt", Method(lr=0.05))
    if processes.rank == processes.count - 1:
        of.model.network.state_dict()[name].view(-1)[0] = torch.nan
    before = {key: value.clone() for key, value in of.model.state_dict().items()}
    try:
        next(of.records())
    except NonFiniteError as error:
        same = (
            torch.equal(value.nan_to_num(), before[key].nan_to_num()) for key, value in of.model.state_dict().items()
        )
        return str(error) if all(same) else "changed"
    return ""


def recalibrated(processes: Processes) -> dict[str, Tensor]:
    of = session(processes, "tebn", Method())
    recalibrate(of.model, of.loader, batches=3)
    return {name: value for name, value in of.model.state_dict().items() if "running" in name}


def all_ways(processes: Processes) -> dict[str, Any]:
    """Three epochs under every norm, and in every way of training."""
    found: dict[str, Any] = {f"norm {norm}": outcome(session(processes, norm, Method(lr=0.05))) for norm in NORMS}
    found |= {name: outcome(session(processes, norm, method)) for name, (norm, method) in WAYS.items()}
    found["taught"] = outcome(session(processes, "bntt", Method(lr=0.05), taught=True))
    return {**found, "mixed": outcome(session(processes, "bntt", Method(lr=0.05), mix="mixup"))}


def some(processes: Processes) -> dict[str, Any]:
    """A few updates, and all else that processes do together."""
    found: dict[str, Any] = {
        f"norm {norm}": outcome(session(processes, norm, Method(lr=0.05)), FEW) for norm in ("bntt", "tebn")
    }
    found["recalibrated"] = recalibrated(processes)

    found["faults"] = [faulty(processes, name) for name in FAULTS]
    found["joined"] = processes.all_gather(torch.arange(processes.rank + 1)).tolist()
    found["largest"] = processes.all_reduce_max(torch.tensor([processes.rank, -processes.rank])).tolist()
    given = processes.broadcast({"a": torch.full((2,), float(processes.rank + 1)), "b": torch.tensor(processes.rank)})
    found["given"] = [given[name].tolist() for name in ("a", "b")]
    weight = torch.tensor([float(processes.rank + 1)])
    tied = processes.broadcast({"one": weight, "other": weight})
    found["given tied"] = [tied[name].tolist() for name in ("one", "other")]
    found["decided"] = processes.on_rank0(lambda: ["of", processes.rank])
    try:
        processes.on_rank0(refuse)
    except (ValueError, LostProcessError) as error:
        found["refused"] = str(error)
    return found


def refuse() -> None:
    raise ValueError("no")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with contextlib.suppress(KeyboardInterrupt), joined_processes("cpu") as together:
        found = {"some": some, "all": all_ways}[sys.argv[2]](together)
        raise KeyboardInterrupt  # as a signal ends a training
    found["left"] = [dist.is_initialized(), together.reduce(torch.ones(1)).item()]
    torch.save(found, f"{sys.argv[1]}.{together.rank}")
