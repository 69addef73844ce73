"""Numbers that do not depend on how they are computed: N5, N7, N8, N9, N10."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from bntt.analysis import evaluate
from bntt.data import fashion_mnist_bundled
from bntt.engine.cpu import library
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.ops.poisson import signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, uniform
from tests.architecture.source import ROOT
from tests.kernels import choose
from tests.nn.networks import backward, pair, small, spikes_of
from tests.promises.promise import Measured, NotRunError, Promise, adder
from tests.promises.suite import passed

PROMISES: list[Promise] = []
promise = adder(PROMISES)
REPEATS = 20
MEAN, STD = 0.286, 0.353
"""Of Fashion-MNIST's training images."""
PARITY = (
    "tests/nn/fusion/test_fused_parity.py",
    "tests/nn/fusion/test_fused_paths.py",
    "tests/nn/fusion/test_fused_reuse.py",
)


@promise(
    "N5",
    "the fast path is the reference path",
    "all backends, B in {1, 2, 7}, T in {1, 2, 25}, odd sizes: equal spikes, parity of every layer; 20 repeats equal",
)
def fast_path() -> Measured:
    """20 repeats of forward and backward by every instruction set, and the tests of parity with their random cases."""
    if library.LIBRARY is None:
        raise NotRunError(f"there are no compiled kernels here ({library.REASON})")
    found = list(repeated())
    ran = passed([*PARITY, "tests/engine/test_scan.py", "tests/fuzz/test_fuzz.py"])
    by = ", ".join(library.variants())
    said = f"{sum(found)} of {len(found)} cases ({by}) {REPEATS} times the same bits; {ran.text}"
    return Measured(said, all(found) and ran.well)


def repeated() -> Iterator[bool]:
    """Whether logits, gradients and statistics are the same bits every time."""
    before, rng = library.use_variant(), torch.Generator().manual_seed(1)
    for variant, batch, steps in itertools.product(library.variants(), (1, 2, 7), (1, 2, 25)):
        library.use_variant(variant)
        x = spikes_of(steps, batch, rng).to(torch.int8)
        first = _once(x, steps)
        yield all(all(map(torch.equal, first, _once(x, steps))) for _ in range(REPEATS - 1))
    library.use_variant(before)


def _once(x: Tensor, steps: int) -> list[Tensor]:
    net, _ = pair(small(steps).train(x.shape[1] > 1))
    choose(net, backend="cpu")
    logits = backward(net, x)
    return [logits.detach(), *(p.grad for p in net.parameters() if p.grad is not None), *net.buffers()]


@promise(
    "N7",
    "device parity",
    "CPU and CUDA on the same uniforms: float64 1e-10; fp32 equal encoder spikes, parity of every layer",
)
def devices() -> Measured:
    """Needs a GPU: the tests marked so."""
    if not torch.cuda.is_available():
        raise NotRunError("there is no GPU here")
    ran = passed(["tests/engine/triton", "tests/nn/test_triton.py"])
    return Measured(ran.text, ran.well)


DRAWS = 100_000


@promise(
    "N8",
    "the Poisson encoder is right",
    "21 levels, 100,000 draws: rates within 4 sigma; correlations <= 4/sqrt(N); reproducible by seed, draw and index; "
    "the share of saturated pixels is reported",
)
def poisson() -> Measured:
    """Both codes; correlations of neighbours in time, in the image and in the batch."""
    u = uniform(sample_keys(11, Purpose.SPIKES, 0, torch.arange(100)), DRAWS // 100).flatten()
    off = max(
        *(_sigmas(signed_rate(torch.full((DRAWS,), x / 4), u).abs(), min(1.0, abs(x) / 8)) for x in range(-10, 11)),
        *(_sigmas(unsigned_rate(torch.full((DRAWS,), x / 20), u), x / 20) for x in range(21)),
    )
    spikes = PoissonEncoder(50)(torch.ones(50, 1, 20, 20)) - 0.5
    neighbours = {"time": (spikes[:-1], spikes[1:]), "images": (spikes[:, :-1], spikes[:, 1:])}
    neighbours["pixels"] = (spikes[..., :-1], spikes[..., 1:])
    related = {name: _correlation(*both) for name, both in neighbours.items()}
    same = _reproducible()
    pixels = fashion_mnist_bundled().train.images.double() / 255
    saturated = float((((pixels - MEAN) / STD).abs() >= 2).double().mean())
    said = f"rates at most {off:.2f} sigma off; correlations x sqrt(N): "
    said += ", ".join(f"{name} {value:.2f}" for name, value in related.items())
    said += f"; {same} of 64 images have their own spikes in any batch and order; {saturated:.1%} of the pixels of "
    return Measured(f"{said}Fashion-MNIST are saturated", off <= 4 and max(related.values()) <= 4 and same == 64)


def _sigmas(spikes: Tensor, rate: float) -> float:
    """How many standard errors the rate is off; where none is possible, 0 or infinitely many."""
    off = max(0.0, abs(float(spikes.double().mean()) - rate) - 2**-23)
    error = math.sqrt(rate * (1 - rate) / DRAWS)
    return off / error if error else math.inf * bool(off) if off else 0.0


def _correlation(a: Tensor, b: Tensor) -> float:
    """Of neighbours, in units of what chance gives."""
    return abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) * math.sqrt(a.numel())


def _reproducible() -> int:
    """Images whose spikes alone are those in a batch of another order."""
    values = torch.randn(64, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    encoder = PoissonEncoder(6)
    whole = encoder.spikes(values[order], seed=3, index=order, draw=2)
    alone = (encoder.spikes(values[i : i + 1], seed=3, index=torch.tensor([i]), draw=2)[:, 0] for i in order.tolist())
    return sum(torch.equal(one, whole[:, place]) for place, one in enumerate(alone))


IMAGES, STEPS = 256, 8


@promise(
    "N9",
    "a prediction does not depend on batching",
    "B in {1, 7, 64, 256}, shuffled, numbers of loader processes: float64 1e-10; fp32 equal encoder spikes, agreement "
    "of predictions reported; evaluation leaves all buffers equal to the byte",
)
def batching() -> Measured:
    """256 images of Fashion-MNIST through VGG6, T = 8."""
    images = fashion_mnist_bundled().test.images[:IMAGES].double() / 255
    model, order = _vgg(), torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    float32 = [_logits(model, images.float(), batch, order) for batch in (1, 7, 64, 256)]
    spikes = [_spikes(model, images.float(), batch, order) for batch in (1, 7, 64, 256)]
    workers = {_by_workers(model, count) for count in (0, 1, 2)}
    unchanged = all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    double = [_logits(model.double(), images, batch, order) for batch in (1, 7, 64, 256)]
    off = max(float((one - double[0]).abs().max()) for one in double)
    answers = torch.stack([one.argmax(1) for one in float32])
    agree = float((answers == answers[0]).all(0).double().mean())
    equal = all(torch.equal(one, spikes[0]) for one in spikes)
    said = f"float64: logits differ by at most {off:.1e}; float32: encoder spikes {'equal' if equal else 'DIFFER'}, "
    said += f"{agree:.1%} of the predictions equal; {len(workers)} results for 0, 1, 2 loader processes; "
    said += f"buffers {'unchanged' if unchanged else 'CHANGED'}"
    return Measured(said, off <= 1e-10 and equal and len(workers) == 1 and unchanged)


def _vgg() -> SpikingClassifier:
    """With running statistics of one batch, so that layers fire."""
    net = vgg6(num_classes=10, in_channels=1, image_size=28, num_steps=STEPS, width=0.25, seed=1)
    model = SpikingClassifier(PoissonEncoder(STEPS, mean=[MEAN], std=[STD]), net)
    with torch.no_grad():
        model.train()(fashion_mnist_bundled().train.images[:100].float() / 255)
    return model.eval()


def _in_batches(images: Tensor, batch: int, order: Tensor, of: Any) -> list[Tensor]:
    """Of images in an order and in batches."""
    return [of(images[index], index) for index in order.split(batch)]


def _logits(model: SpikingClassifier, images: Tensor, batch: int, order: Tensor) -> Tensor:
    """In the order of the images; of one batch of all they come in their own order."""
    places = torch.arange(len(images)) if batch == len(images) else order
    with torch.no_grad():
        found = _in_batches(images, batch, places, lambda x, index: model(x, seed=3, index=index))
    return torch.cat(found)[places.argsort()]


def _spikes(model: SpikingClassifier, images: Tensor, batch: int, order: Tensor) -> Tensor:
    places = torch.arange(len(images)) if batch == len(images) else order
    found = _in_batches(images, batch, places, lambda x, index: model.encoder(x, seed=3, index=index).transpose(0, 1))
    return torch.cat(found)[places.argsort()]


def _by_workers(model: SpikingClassifier, workers: int) -> tuple[int, ...]:
    """Right answers over time, through a loader of PyTorch's."""
    test = fashion_mnist_bundled().test
    pairs = TensorDataset(test.images[:IMAGES].float() / 255, test.labels[:IMAGES])
    loader = DataLoader(pairs, batch_size=64, num_workers=workers, generator=torch.Generator())
    return evaluate(model, loader, draws=1).accuracy.correct[0]


@promise(
    "N10",
    "tests would notice",
    ">= 85 % of mutants killed; branch coverage >= 95 %, 100 % in checkpoint and parsers",
    long=True,
)
def noticed() -> Measured:
    """``python -m tests.mutations``, and the branches that all quick tests reach, where coverage is installed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutations"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    match = re.search(r"(\d+) mutations, (\d+) survived", done.stdout)
    if match is None:
        raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
    made, survived = int(match[1]), int(match[2])
    said = f"{made - survived} of {made} mutants killed ({(made - survived) / made:.0%})"
    if importlib.util.find_spec("coverage") is None:
        return Measured(f"{said}; branch coverage not run: coverage is not installed", None if survived == 0 else False)
    whole, critical = covered()
    said += (
        f"; branch coverage {whole:.1f} %, of {', '.join(f'{name} {share:.1f} %' for name, share in critical.items())}"
    )
    well = (made - survived) / made >= 0.85 and whole >= 95 and min(critical.values()) == 100
    return Measured(said, well)


CRITICAL = (
    "io/checkpoint.py",
    "io/pickled.py",
    "data/images.py",
    "data/prepared.py",
)


def covered() -> tuple[float, dict[str, float]]:
    """Per cent of branches that the quick tests reach: of the library, and of those that must be whole."""
    with tempfile.TemporaryDirectory() as place:
        data, told = Path(place) / "data", Path(place) / "told.json"
        run = [sys.executable, "-m", "coverage", "run", "--branch", "--source", "bntt", f"--data-file={data}"]
        subprocess.run(
            [*run, "-m", "pytest", "-m", "not slow and not browser"], cwd=ROOT, capture_output=True, check=False
        )
        command = [sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-o", str(told)]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        found = json.loads(told.read_text(encoding="utf-8"))
    files = {path.replace("\\", "/"): _branches(of["summary"]) for path, of in found["files"].items()}
    critical = {name: share for path, share in files.items() for name in CRITICAL if path.endswith(f"bntt/{name}")}
    return _branches(found["totals"]), critical


def _branches(summary: dict[str, int]) -> float:
    """Per cent of the branches; of a file without any, all."""
    return 100 * summary["covered_branches"] / summary["num_branches"] if summary["num_branches"] else 100.0
