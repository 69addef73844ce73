"""The package's trained networks, run in every way that a program can: first parity, then time, memory and disk.

A round is one turn of every way. Each way has its own process on one thread, and all processes stay alive. A turn takes
the least CPU time of some calls from samples to logits, encoding included. So other work on the machine makes a round
no slower, and no way is timed at a quieter moment than another.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bntt.bench.deployed_worker import VARIANTS
from bntt.bench.parity import ParityError
from bntt.bench.timing import Worker, answer, ask, end, start, take_turns
from bntt.charts.records import Axis, Entry, Figure, Forest
from bntt.data import fashion_mnist_bundled
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.camera import simulate
from bntt.data.sequences import arrange
from bntt.deploy import describe, export
from bntt.deploy.layers import Array
from bntt.engine.compute import Compute
from bntt.engine.kernels import why_unavailable
from bntt.io.child import ONE_THREAD
from bntt.models import PRETRAINED, pretrained, pretrained_facts
from bntt.nn import SpikingClassifier
from bntt.nn.kinds import encoder_facts

IMAGES, BATCHES = 1000, (1, 64)
CALLS = {1: 20, 64: 1}
"""Calls of a round, by the number of samples."""
WITHIN = 1e-4
"""Distance of logits from the library's in float64 that counts as none; ties at a threshold can exceed it."""
LEAST = {"float32": (0.98, 0.995), "int8": (0.0, 0.9)}
"""The least shares of images whose logits are within this distance, and whose class is the same, by type of weights:
below them a way computes something else, and its time means nothing. More neurons have more ties."""
PACKAGES = {
    "pytorch": ("torch", "numpy", "safetensors"),
    "fused": ("torch", "numpy", "safetensors"),
    "onnx": ("onnxruntime", "numpy"),
    "runtime": ("numpy", "safetensors", "pillow"),
}
"""What each way needs in addition to our own code, by the first word of its name."""
FILES = {
    "runtime": "float32.safetensors",
    "runtime int8": "int8.safetensors",
    "onnx": "whole.onnx",
    "onnx step": "step.onnx",
}
"""The file that a way reads; PyTorch reads the weights of the package, as float32's bundle has them."""


@dataclass(frozen=True)
class Way:
    """One way to run one network on batches of one size."""

    variant: str
    batch: int
    seconds: list[float]
    """Least CPU seconds of a call in every round."""
    resident: int
    """Bytes that its process holds after all rounds."""
    within: float
    """Share of the images whose logits are within 1e-4 of the library's in float64."""
    same_class: float
    """Share of the images with the library's class."""
    file: int
    """Bytes of the network's file."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Deployed:
    """One network in every way."""

    network: str
    num_steps: int
    images: int
    """Images of the parity."""
    ways: list[Way]


def missing() -> dict[str, str]:
    """Say which ways cannot be timed here, and what is missing.

    >>> all("install" in why or "kernels" in why for why in missing().values())
    True
    """
    found = dict[str, str]()
    if absent := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        why = f'{" and ".join(absent)} not installed: pip install "bntt[onnx]"'
        found |= {name: why for name in VARIANTS if name.startswith("onnx")}
    if why := why_unavailable("cpu"):
        found |= {name: f"no compiled kernels: {why}" for name in VARIANTS if name.startswith("fused")}
    return found


def time_networks(
    variants: Sequence[str],
    *,
    networks: Sequence[str] = tuple(PRETRAINED),
    rounds: int,
    progress: Callable[[str], None] = lambda what: None,
) -> Iterator[Deployed]:
    """Time every network that comes with the package, after checking each way's logits; yield each result.

    Raises:
        ParityError: on the first way whose logits differ too often; nothing of its network is timed.
        LostProcessError: if a process ends early, with the last line of its standard error.
    """
    for name in networks:
        yield _time_network(name, variants, rounds, progress)


def _time_network(network: str, variants: Sequence[str], rounds: int, progress: Callable[[str], None]) -> Deployed:
    with tempfile.TemporaryDirectory() as place:
        folder, ways = Path(place), list[Way]()
        progress(f"{network}: writing it in every form")
        model, samples = pretrained(network), samples_of(network, IMAGES)
        np.save(folder / "samples.npy", samples)
        _write(model, network, folder, variants)
        progress(f"{network}: its logits in float64")
        exact, shares = _exact_logits(model, samples), dict[str, tuple[float, float]]()
        for batch in sorted(BATCHES, reverse=True):
            workers = {name: _start(name, network, place, batch) for name in variants}
            try:
                title = f"{network}, {batch} at once"
                for name, worker in workers.items():
                    answer(f"{title}: {name}", worker)
                for name, worker in workers.items() if not shares else ():
                    progress(f"{network}: the logits of {name}")
                    ask(f"{title}: {name}", worker, "logits")
                shares = shares or {name: parity(name, np.load(folder / f"{name}.npy"), exact) for name in variants}
                for name, rows in take_turns(workers, "time", range(1, rounds + 1), progress, title).items():
                    seconds, held = [row["seconds"] for row in rows], int(rows[-1]["resident"])
                    ways.append(Way(name, batch, seconds, held, *shares[name], _file(folder, name)))
            finally:
                end(workers.values())
    ways.sort(key=lambda way: way.batch)
    return Deployed(network, model.encoder.num_steps, len(samples), ways)


def _start(variant: str, network: str, folder: str, batch: int) -> Worker:
    told = {"variant": variant, "network": network, "folder": folder, "batch": batch, "calls": CALLS[batch]}
    return start("bntt.bench.deployed_worker", told, ONE_THREAD)


def samples_of(network: str, count: int) -> Array:
    """Return samples that a trained network takes, made from the first test images inside the package.

    They are the images, their rows, or the frames of a simulated camera. For a network of larger or coloured images,
    which are not in the package, they stay grey and get a black frame: times and logits need no right answers.

    >>> samples_of("fashion-mnist-rows", 2).shape, samples_of("fashion-mnist-events-small", 1).shape
    ((2, 28, 28), (1, 10, 2, 28, 28))
    >>> samples_of("cifar10-compact", 1).shape
    (1, 3, 32, 32)
    """
    facts, test = pretrained_facts(network), fashion_mnist_bundled().test.select(torch.arange(count))
    takes = encoder_facts(pretrained(network).encoder).takes
    if takes == "frames":
        binning = Binning(facts.network["num_steps"], *facts.image_shape[1:])
        return torch.stack([to_frames(simulate(image)[0], binning).counts for image in test.images]).float().numpy()
    images = test.batch(torch.arange(count))
    channels, height, width = facts.image_shape
    if (channels, height, width) != tuple(images.shape[1:]):
        across, down = width - images.shape[3], height - images.shape[2]
        framed = F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))
        return framed.expand(-1, channels, -1, -1).contiguous().numpy()
    return (arrange(images, facts.order) if takes == "sequences" else images).contiguous().numpy()


def _write(model: SpikingClassifier, network: str, folder: Path, variants: Sequence[str]) -> None:
    shape = None if pretrained_facts(network).order else pretrained_facts(network).image_shape
    made = describe(model, input_shape=shape)
    for weights in ("float32", "int8"):
        export(made, folder / f"{weights}.safetensors", "bundle", weights=weights)
    if any(name.startswith("onnx") for name in variants):
        export(made, folder / FILES["onnx"], "onnx")
        export(made, folder / FILES["onnx step"], "onnx-step")


def _file(folder: Path, variant: str) -> int:
    """Return the bytes of the file that a way reads: the last of :data:`FILES` whose key begins its name."""
    name = next((file for known, file in reversed(FILES.items()) if variant.startswith(known)), FILES["runtime"])
    return (folder / name).stat().st_size


@torch.no_grad()
def _exact_logits(model: SpikingClassifier, samples: Array) -> Array:
    exact = copy.deepcopy(model).double()
    exact.network.compute = Compute("reference")
    parts = [torch.arange(first, min(len(samples), first + 64)) for first in range(0, len(samples), 64)]
    logits = [exact(torch.from_numpy(samples[at.numpy()]).double(), seed=0, index=at, draw=0) for at in parts]
    return torch.cat(logits).numpy()


def parity(variant: str, logits: Array, exact: Array) -> tuple[float, float]:
    """Return the shares of images whose logits are within 1e-4, and whose class is the same.

    Raises:
        ParityError: if a share is below what its weights allow.

    >>> parity("runtime int8", np.eye(3), np.eye(3) + 1e-3)
    (0.0, 1.0)
    """
    within = float((np.abs(logits - exact).max(1) < WITHIN).mean())
    same = float((logits.argmax(1) == exact.argmax(1)).mean())
    least = LEAST["int8" if "int8" in variant else "float32"]
    if not (within >= least[0] and same >= least[1]):  # written so that NaN fails
        raise ParityError(
            f"{variant}: {within:.1%} of {len(exact)} images have logits within {WITHIN:g} of the library's in "
            f"float64, {same:.1%} the same class (at least {least[0]:.1%} and {least[1]:.1%}): nothing is timed"
        )
    return within, same


def disk() -> dict[str, dict[str, int]]:
    """Return bytes of the installed packages that each way needs, by its first word; 0 for what is not installed."""
    return {way: {name: _installed(name) for name in names} for way, names in PACKAGES.items()}


def _installed(package: str) -> int:
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        return 0
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


def report(found: Sequence[Deployed]) -> dict[str, Any]:
    """Collect all measurements and their setup, ready for ``json``."""
    names = ("torch", "onnxruntime", "onnx", "numpy", "safetensors")
    versions = {name: version(name) for name in names if find_spec(name) is not None}
    return {
        "versions": versions,
        "threads": 1,
        "left_out": missing(),
        "disk": disk(),
        "networks": [
            asdict(one) | {"ways": [asdict(way) | {"median": way.median} for way in one.ways]} for one in found
        ],
    }


def figure(report: Mapping[str, Any]) -> Figure:
    """Draw the milliseconds of every way of every network, from a benchmark's report: a chart a network and batch."""
    charts = [
        Forest(
            f"{one['network']}, {batch} at once",
            Axis("ms for all steps, one thread", scale="log"),
            [Entry(way["variant"], 1e3 * way["median"]) for way in one["ways"] if way["batch"] == batch],
        )
        for one in report["networks"]
        for batch in sorted({way["batch"] for way in one["ways"]})
    ]
    return Figure("; ".join(f"{name} {number}" for name, number in report["versions"].items()), charts, columns=2)
