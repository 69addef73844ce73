"""The package's trained networks, run in every way that a program can: first parity, then time, memory and disk.

Each way has its own process on one thread. A round is one turn of every way, which takes the least CPU time of some
calls from samples to logits, so that other work on the machine makes a round no slower.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.parity import ParityError
from benchmarks.ways import FILES, Array
from benchmarks.workers import Worker, take_turns
from bntt.data import fashion_mnist_bundled
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.camera import simulate
from bntt.data.samples import arrange
from bntt.deploy import describe, export
from bntt.engine.compute import Compute
from bntt.engine.kernels import why_unavailable
from bntt.io.memory import ONE_THREAD
from bntt.models import pretrained, pretrained_facts
from bntt.nn import SpikingClassifier
from bntt.nn.kinds import encoder_facts

IMAGES, CALLS = 1000, {64: 1, 1: 20}
"""Images of the parity, and calls of a round by the number of samples."""
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


def available() -> list[str]:
    """List the ways that can run here: with the kernels, and with ONNX Runtime."""
    there = {"onnx": all(map(find_spec, ("onnx", "onnxruntime"))), "fused": not why_unavailable("cpu")}
    return [name for name in FILES if there.get(name.split()[0], True)]


def time_network(network: str, ways: Sequence[str], rounds: int) -> dict[str, Any]:
    """Time a network that comes with the package; a way whose logits differ too often ends it before."""
    rows: list[dict[str, Any]] = []
    shares: dict[str, dict[str, float]] = {}
    model, samples = pretrained(network), samples_of(network, IMAGES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(model, network, samples, folder, ways)
        for batch, calls in CALLS.items():
            with ExitStack() as ending:
                told = {"network": network, "folder": place, "batch": batch, "calls": calls}
                workers = {
                    way: ending.enter_context(Worker(f"{network}: {way}", "ways", {"way": way, **told}, ONE_THREAD))
                    for way in ways
                }
                if not shares:
                    exact = exact_logits(model, samples)
                    take_turns(f"{network}: logits", workers, "logits", 1)
                    shares = {way: parity(way, np.load(folder / f"{way}.npy"), exact) for way in ways}
                answers = take_turns(f"{network}, {batch} at once", workers, "time", rounds)
            for way, found in answers.items():
                seconds, size = [one["seconds"] for one in found], (folder / FILES[way]).stat().st_size
                row = {"variant": way, "batch": batch, "seconds": seconds, "resident": found[-1]["resident"]}
                rows.append(row | shares[way] | {"file": size, "median": statistics.median(seconds)})
    rows.sort(key=lambda row: row["batch"])
    return {"network": network, "num_steps": model.encoder.num_steps, "images": len(samples), "ways": rows}


def samples_of(network: str, count: int) -> Array:
    """Return samples that a trained network takes, made from the first test images inside the package.

    They are the images, their rows, or the frames of a simulated camera. For a network of larger or coloured images,
    which are not in the package, they stay grey and get a black frame: times and logits need no right answers.
    """
    facts, test = pretrained_facts(network), fashion_mnist_bundled().test.select(torch.arange(count))
    takes = encoder_facts(pretrained(network).encoder).takes
    if takes == "frames":
        binning = Binning(facts.network["num_steps"], *facts.image_shape[1:])
        return torch.stack([to_frames(simulate(image)[0], binning).counts for image in test.images]).float().numpy()
    images = test.batch(torch.arange(count))
    if takes == "sequences":
        return arrange(images, facts.order).contiguous().numpy()
    channels, height, width = facts.image_shape
    across, down = width - images.shape[3], height - images.shape[2]
    framed = F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))
    return framed.expand(-1, channels, -1, -1).contiguous().numpy()


def write(model: SpikingClassifier, network: str, samples: Array, folder: Path, ways: Sequence[str]) -> None:
    """Write the samples, and the network in the forms that ways read."""
    np.save(folder / "samples.npy", samples)
    made = describe(
        model, input_shape=None if pretrained_facts(network).order else pretrained_facts(network).image_shape
    )
    for weights in ("float32", "int8"):
        export(made, folder / f"{weights}.safetensors", "bundle", weights=weights)
    if any(name.startswith("onnx") for name in ways):
        export(made, folder / FILES["onnx"], "onnx")
        export(made, folder / FILES["onnx step"], "onnx-step")


@torch.no_grad()
def exact_logits(model: SpikingClassifier, samples: Array) -> Array:
    """Return the library's logits in float64."""
    exact = copy.deepcopy(model).double()
    exact.network.compute = Compute("reference")
    parts = torch.split(torch.arange(len(samples)), 64)
    logits = [exact(torch.from_numpy(samples[at.numpy()]).double(), seed=0, index=at, draw=0) for at in parts]
    return torch.cat(logits).numpy()


def parity(way: str, logits: Array, exact: Array) -> dict[str, float]:
    """Return the shares of images whose logits are within 1e-4, and whose class is the same; too few are an error."""
    within = float((np.abs(logits - exact).max(1) < WITHIN).mean())
    same = float((logits.argmax(1) == exact.argmax(1)).mean())
    least = LEAST["int8" if "int8" in way else "float32"]
    if not (within >= least[0] and same >= least[1]):  # written so that NaN fails
        raise ParityError(
            f"{way}: {within:.1%} of {len(exact)} images have logits within {WITHIN:g} of the library's in "
            f"float64, {same:.1%} the same class (at least {least[0]:.1%} and {least[1]:.1%}): nothing is timed"
        )
    return {"within": within, "same_class": same}


def disk() -> dict[str, dict[str, int]]:
    """Return bytes of the installed packages that each way needs, by its first word; 0 for what is not installed."""
    return {way: {name: _installed(name) for name in names} for way, names in PACKAGES.items()}


def _installed(package: str) -> int:
    try:
        paths = [Path(str(file.locate())) for file in distribution(package).files or ()]
    except PackageNotFoundError:
        return 0
    return sum(path.stat().st_size for path in paths if path.is_file())
