"""What is timed: a network with random weights at a chosen activity, and one step of training or evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import BackendName, Compute, Precision, Recompute
from bntt.engine.synapse import Geometry, Spikes, Synapse
from bntt.models import mlp, vgg9
from bntt.nn import NORMS, PoissonEncoder, SpikingClassifier, SpikingNetwork, TemporalNorm

Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    network: Literal["vgg9", "mlp"] = "vgg9"
    num_steps: int = 25
    batch: int = 16
    gamma: float = 1.0
    """Of all layers: it sets the firing rate, 1 is an untrained network's."""
    training: bool = True
    width: float = 1.0
    device: str = "cpu"
    norm: str = "bntt"


STANDARD = [
    Case("VGG9 training, as initialised"),
    Case("VGG9 training, sparse", gamma=0.4),
    Case("VGG9 evaluation, as initialised", training=False),
    Case("VGG9 evaluation, sparse", gamma=0.4, training=False),
    Case("MLP training, 784 steps", network="mlp", num_steps=784, batch=128),
]
SWEEP = [Case(f"VGG9 training, T={steps}", num_steps=steps, batch=8) for steps in (5, 25, 50, 100)]


NORM_CASES = [Case(f"VGG9 training, {norm}", norm=norm) for norm in NORMS if norm != "bntt-scaled"]


def images(case: Case) -> tuple[Tensor, Tensor]:
    """Normalised pixels and labels."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, 32, 32) if case.network == "vgg9" else (1, 1, 1)
    pixels = (torch.rand(case.batch, *shape, generator=generator) - 0.5) / 0.25
    labels = torch.randint(0, 10, (case.batch,), generator=generator)
    return pixels.to(case.device), labels.to(case.device)


def network(case: Case) -> SpikingNetwork:
    """The case's network, its running statistics those of one batch, so that evaluation fires as training does."""
    options = {"num_classes": 10, "num_steps": case.num_steps, "width": case.width, "norm": case.norm}
    net = (vgg9(**options) if case.network == "vgg9" else mlp(**options)).to(case.device)  # type: ignore[arg-type]
    for norm in net.modules():
        if isinstance(norm, TemporalNorm):
            norm.gamma.data.fill_(case.gamma)
            norm.momentum = 1.0
    with torch.no_grad():
        net(PoissonEncoder(case.num_steps).spikes(images(case)[0]))
    for norm in net.modules():
        if isinstance(norm, TemporalNorm):
            norm.momentum = 0.1
    return net.train(case.training)


def firing_rates(case: Case) -> dict[str, float]:
    """Spikes per neuron and step of every layer."""
    net = network(case)
    trace = net.trace(PoissonEncoder(case.num_steps).spikes(images(case)[0]))
    return {name: float(rate.mean()) for name, rate in trace.firing_rate.items()}


def own_step(
    case: Case, *, kernels: bool = True, recompute: bool = False, precision: Precision = "fp32", stepped: bool = False
) -> Step:
    """A step of this library: encode, forward, and in training cross entropy and backward.

    Args:
        kernels: the device's fused kernels, else plain PyTorch.
        recompute: whether √T steps are kept at a time, and computed again.
        stepped: whether time is the outer loop, one step through all layers after another.
    """
    net = network(case)
    steps: Recompute = math.isqrt(case.num_steps - 1) + 1 if recompute else "never"
    backend = kernels_of(case.device) if kernels else "reference"
    net.compute = Compute(backend=backend, recompute=steps, precision=precision)
    channels = 3 if case.network == "vgg9" else 1
    encoder = PoissonEncoder(case.num_steps, mean=[0.5] * channels, std=[0.25] * channels)
    model = SpikingClassifier(encoder, net)
    model.to(case.device)
    pixels, labels = images(case)
    pixels = pixels * 0.25 + 0.5  # the encoder normalises them again
    draw = iter(range(1 << 30))

    def forward() -> Tensor:
        if not stepped:
            out: Tensor = model(pixels, seed=0, draw=next(draw))
            return out
        logits, state = model.advance(pixels, draw=next(draw))
        for _ in range(case.num_steps - 1):
            logits, state = model.advance(pixels, state)
        return logits[-1]

    return step_of(net, forward, labels, case.training)


def kernels_of(device: str) -> BackendName:
    """The backend with the fused kernels for a device.

    >>> kernels_of("cuda")
    'triton'
    """
    return "triton" if torch.device(device).type == "cuda" else "cpu"


def step_of(module: torch.nn.Module, forward: Callable[[], Tensor], labels: Tensor, training: bool) -> Step:
    """Forward alone without gradients, or forward, cross entropy and backward; no optimiser: it is the same for all."""

    def evaluate() -> Tensor:
        with torch.no_grad():
            return forward()

    def train() -> None:
        for parameter in module.parameters():
            parameter.grad = None
        F.cross_entropy(forward(), labels).backward()  # type: ignore[no-untyped-call]

    module.train(training)
    return train if training else evaluate


def dense_limit(case: Case) -> Step:
    """The weight layers alone, dense, in the layout and chunks that suit them best: nothing dense can be faster."""

    net, generator = network(case), torch.Generator().manual_seed(0)
    work: list[tuple[Synapse, Spikes, Tensor, int]] = []
    size, steps = 32 if case.network == "vgg9" else 1, case.num_steps
    for block in net.blocks.values():
        weight = next(block.synapse.parameters()).detach()  # type: ignore[union-attr]
        conv = weight.ndim == 4
        inputs = weight.shape[1]
        at = size if conv else 1
        chunk = max(1, min(steps, (16 << 20) // (4 * case.batch * at * at * max(weight.shape[0], inputs))))
        x = torch.rand(chunk, case.batch, at, at, inputs, generator=generator).to(case.device)
        synapse = Synapse(weight, None, Geometry(padding=(1, 1)) if conv else Geometry())
        work.append((synapse, Spikes(x), synapse.forward(Spikes(x), events=False), chunk))
        if conv and block.pool is not None and "Pool" in repr(block.pool):
            size //= 2

    def run() -> None:
        for i, (synapse, x, grad, chunk) in enumerate(work):
            total = torch.zeros_like(synapse.weight)
            shape = (x.values.shape[2], x.values.shape[3], x.values.shape[4])
            for first in range(0, steps, chunk):
                count = min(chunk, steps - first)
                part = x.steps(0, count)
                synapse.forward(part, events=False)
                if case.training:
                    synapse.add_weight_grad(total, part, grad[:count], events=False)
                    if i:
                        synapse.input_grad(grad[:count], shape)

    return run
