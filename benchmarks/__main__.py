"""Speed beside other ways and libraries on this machine: parity, then a table of each case, and a report in JSON.

    python -m benchmarks                       the standard comparison, written to bench/standard.json
    python -m benchmarks --cases sweep         time and memory against T
    python -m benchmarks --cases norms         training of three networks with every norm; vgg9-norms: of VGG9 only
    python -m benchmarks --cases accuracy      training to 87 % on Fashion-MNIST and 50 % on CIFAR-10, some hours
    python -m benchmarks --cases deploy        the package's trained networks, in every way to run them

Run it in a checkout. `make bench-peers` has SpikingJelly and snnTorch too. Keep the machine quiet: a round is one pass
of every variant, and speeds are ratios to the loop within rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import cases, deployed, time_to_accuracy, timing
from benchmarks.parity import check_parity
from benchmarks.time_to_accuracy import TimeToAccuracy
from bntt.data import DataError
from bntt.io.files import write_json
from bntt.models import PRETRAINED
from bntt.runs.environment import environment

Report = dict[str, Any]
SPEED = {
    "standard": cases.STANDARD,
    "sweep": cases.SWEEP,
    "norms": cases.NORM_CASES,
    "vgg9-norms": [case for case in cases.NORM_CASES if case.network == "vgg9"],
}
console = Console(highlight=False, soft_wrap=True)


def show(title: str, rows: Sequence[Report]) -> None:
    """Print the single values of a report's rows: seconds, bytes and shares."""
    heads = [name for name, value in rows[0].items() if not isinstance(value, list)]
    grid = Table(title=title, title_justify="left", box=None)
    for name in heads:
        grid.add_column(name, justify="left" if name == "variant" else "right")
    for row in rows:
        kinds = {float: ",.4g", int: ","}
        grid.add_row(*(format(row[name], kinds.get(type(row[name]), "")) for name in heads))
    console.print(grid)


def speed(asked: argparse.Namespace) -> Iterator[Report]:
    """Time the cases; yield the report after each."""
    parity = check_parity(list(dict.fromkeys(("loop", *asked.variants))), asked.device)
    found: list[Report] = []
    for case in SPEED[asked.cases]:
        if asked.device != "cpu":
            case = replace(case, device=asked.device, batch=16 if asked.cases == "sweep" else 128)
        found.append(timing.compare(case, asked.variants, asked.rounds or 5, torch.get_num_threads()))
        yield {"parity": parity, "cases": found}
        rates = found[-1]["firing_rate"].values()
        fires = f"{min(rates):.1%} to {max(rates):.1%} of neurons fire"
        show(f"{case.name}, batch {case.batch}, {fires}", found[-1]["timings"])


def accuracy(asked: argparse.Namespace) -> Iterator[Report]:
    """Train to the targets whose data is here; yield the report after each training."""
    check_parity(asked.variants)
    found: list[Report] = []
    for setting in settings(asked.data):
        found.append({})
        trainings = []
        for seed in range(asked.rounds or setting.starts):
            for variant in asked.variants:
                trainings.append(time_to_accuracy.time_training(setting, variant, seed, torch.get_num_threads()))
                found[-1] = time_to_accuracy.summary(setting, trainings)
                yield {"cases": found}
        rows = [{"variant": name} | row for name, row in found[-1]["to_target"].items()]
        show(f"{setting.name}: training to {setting.target:.0%} of held-out images", rows)


def deploy(asked: argparse.Namespace) -> Iterator[Report]:
    """Time the package's networks; yield the report after each."""
    found: list[Report] = []
    for network in PRETRAINED:
        found.append(deployed.time_network(network, asked.variants, asked.rounds or 5))
        yield {"threads": 1, "disk": deployed.disk(), "networks": found}
        show(f"{network}, {found[-1]['num_steps']} steps", found[-1]["ways"])


def settings(pictures: str) -> list[TimeToAccuracy]:
    """Return the settings whose data is here; a folder of pictures by class stands in for CIFAR-10's files."""
    found = []
    for setting in time_to_accuracy.TARGETS:
        if pictures and setting.dataset == "cifar10":
            setting = replace(setting, name=f"{setting.name} (pictures)", dataset="images", root=pictures)
        try:
            setting.splits()
            found.append(setting)
        except DataError as error:
            console.print(f"not run: {setting.name}: {error}", markup=False)
    return found or sys.exit("there is no data to train on")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        "benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", choices=[*SPEED, "accuracy", "deploy"], default="standard")
    parser.add_argument("--rounds", type=int, help="timed rounds, 5 by default; for accuracy: starts")
    parser.add_argument(
        "--variants", nargs="+", default=[], help="what to time beside the loop, such as fused bf16-grad"
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the Triton kernels, without peers")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder of the report")
    parser.add_argument("--data", default="", help="accuracy: pictures by class (train/CLASS, test/CLASS) as CIFAR-10")
    asked = parser.parse_args(argv)
    here = cases.available(asked.device)
    usual = [name for name in here if name in cases.USUAL]
    measure: Callable[[argparse.Namespace], Iterator[Report]] = speed
    if asked.cases == "deploy":
        measure, here, usual = deploy, deployed.available(), deployed.available()
    elif asked.cases == "accuracy":
        measure, here = accuracy, [name for name in here if name in time_to_accuracy.VARIANTS]
        usual = [name for name in here if name not in ("reference", "bf16-grad")]
    if unknown := [name for name in asked.variants if name not in here]:
        parser.error(f"cannot time {', '.join(unknown)} here; there are {', '.join(here)}")
    if measure is not speed and asked.device != "cpu":
        parser.error(f"--cases {asked.cases} runs on the CPU only")
    asked.variants = asked.variants or usual
    asked.out.mkdir(parents=True, exist_ok=True)
    others = ("onnxruntime", "onnx", "numpy", "safetensors") if measure is deploy else ("spikingjelly", "snntorch")
    versions = {name: version(name) for name in ("torch", *others) if find_spec(name)}
    setup = {"environment": environment(), "versions": versions, "threads": torch.get_num_threads()}
    for report in measure(asked):
        write_json(asked.out / f"{asked.cases}.json", setup | report)
    console.print(f"written: {asked.out / asked.cases}.json")


if __name__ == "__main__":
    main()
