"""Cases to time, networks with random weights at a chosen activity, and one step of each variant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.baselines import BASELINES, NORMS_OF
from bntt import models
from bntt.engine.compute import BackendName, Compute, Precision, Recompute
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.stack import sizes
from bntt.engine.kernels import BackendError, require
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE
from bntt.nn import NORMS, PoissonEncoder, SpikingClassifier, SpikingNetwork, norm_facts
from bntt.training.processes import Processes

Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    network: str = "vgg9"
    num_steps: int = 25
    batch: int = 16
    gamma: float = 1.0
    """Gain of all layers: it sets the firing rate, 1 is an untrained network's."""
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
COMPARED_NORMS = [norm for norm in NORMS if norm != "bntt-scaled"]
NORM_CASES = [
    replace(case, name=f"{case.name}, {norm}", norm=norm)
    for case in (
        Case("VGG9 training"),
        Case("MLP training, 784 steps", network="mlp", num_steps=784, batch=128),
        Case("ResNet-19 x0.5 training, T=6", network="resnet19", num_steps=6, width=0.5),
    )
    for norm in COMPARED_NORMS
]
NEEDS_ALL_STEPS = ("tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both")
"""Norms whose statistics join all steps: they cannot run with time as the outer loop."""

PRECISIONS: dict[str, Precision] = {
    **dict.fromkeys(("reference", "fused", "recompute"), "fp32"),
    **{"bf16-grad": "bf16-grad", "bf16": "bf16", "bf16 recompute": "bf16"},
}
"""Precision of the library's variants."""
FUSED = (*(name for name in PRECISIONS if name != "reference"), "dense limit")
"""Variants of the kernels. Their OpenMP threads sleep while they wait, like the command line's."""
USUAL = ("loop", "reference", "fused", "dense limit", *(name for name in BASELINES if name != "loop"))
"""What is timed by default, where it can run."""


def available(device: str = "cpu") -> list[str]:
    """List what can be timed on a device: bfloat16 only where supported, the installed peers on the processor."""
    try:
        require(Compute(precision="bf16"), device)
        names = ["loop", "reference", *FUSED]
    except BackendError:
        names = [name for name in ("loop", "reference", *FUSED) if "bf16" not in name]
    peers = [name for name in BASELINES if name != "loop" and find_spec(name.split()[0])]
    return [*names, *(peers if device == "cpu" else ())]


def takes_part(variant: str, case: Case) -> bool:
    """Return True if a variant has the case's network and norm; only peers may lack them."""
    norms = NORMS_OF.get(variant, (case.norm,))
    return case.norm in norms and (variant not in NORMS_OF or case.network != "resnet19")


def threads_of(variant: str, threads: int) -> dict[str, str]:
    """Return the environment of a variant's process: its threads, and whether they sleep while they wait."""
    return {"OMP_NUM_THREADS": str(threads)} | ({"OMP_WAIT_POLICY": "PASSIVE"} if variant in FUSED else {})


def compute_of(variant: str, num_steps: int, device: str = "cpu") -> Compute:
    """Return how the library computes a variant; "recompute" keeps √T steps at a time."""
    fused: BackendName = "triton" if torch.device(device).type == "cuda" else "cpu"
    recompute: Recompute = math.isqrt(num_steps - 1) + 1 if "recompute" in variant else "never"
    backend = "reference" if variant == "reference" else fused
    return Compute(backend, recompute=recompute, precision=PRECISIONS[variant])


def images(case: Case) -> tuple[Tensor, Tensor]:
    """Draw normalised pixels and labels."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 1, 1) if case.network == "mlp" else (3, 32, 32)
    pixels = (torch.rand(case.batch, *shape, generator=generator) - 0.5) / 0.25
    labels = torch.randint(0, 10, (case.batch,), generator=generator)
    return pixels.to(case.device), labels.to(case.device)


def network(case: Case) -> SpikingNetwork:
    """Build the case's network, with running statistics of one batch, so that evaluation fires as training does."""
    options = {"num_classes": 10, "num_steps": case.num_steps, "width": case.width, "norm": case.norm}
    net: SpikingNetwork = getattr(models, case.network)(**options).to(case.device)
    norms: list[Any] = [part for part in net.modules() if norm_facts(part).running_statistics]
    for norm in norms:
        norm.gamma.data.fill_(case.gamma)
        norm.momentum = 1.0
    with torch.no_grad():
        net(PoissonEncoder(case.num_steps).spikes(images(case)[0]))
    for norm in norms:
        norm.momentum = 0.1
    return net.train(case.training)


def firing_rates(case: Case) -> dict[str, float]:
    """Return spikes per neuron and step of every layer."""
    trace = network(case).trace(PoissonEncoder(case.num_steps).spikes(images(case)[0]))
    return {name: float(rate.mean()) for name, rate in trace.firing_rate.items()}


def step_of(variant: str, case: Case) -> Step:
    """Make a variant's step of a case: encoding, forward, and in training cross entropy and backward; no optimizer.

    The loop of other norms than BNTT and of residual networks is plain PyTorch, one time step after another, or layer
    by layer if the statistics need all steps.
    """
    if variant == "dense limit":
        return dense_limit(case)
    if variant == "loop" and (case.norm != "bntt" or case.network == "resnet19"):
        return own_step("reference", case, stepped=case.norm not in NEEDS_ALL_STEPS)
    if variant not in BASELINES:
        return own_step(variant, case)
    module, (pixels, labels) = BASELINES[variant](network(case)), images(case)
    return _pass(module, lambda: module(pixels), labels, case.training)


def own_step(variant: str, case: Case, *, stepped: bool = False, processes: Processes | None = None) -> Step:
    """Make a step of this library.

    Args:
        stepped: whether time is the outer loop, one step through all layers after another.
        processes: those that share the batch, of which the case has this one's part.
    """
    net, processes = network(case), processes or Processes()
    net.compute = replace(compute_of(variant, case.num_steps, case.device), reduce=processes.reduce)
    channels = 1 if case.network == "mlp" else 3
    model = SpikingClassifier(PoissonEncoder(case.num_steps, mean=[0.5] * channels, std=[0.25] * channels), net)
    model.to(case.device)
    shared = model if processes.count == 1 else processes.wrap_ddp(model, all_learn=True)
    pixels, labels = images(case)
    pixels, draw = pixels * 0.25 + 0.5, iter(range(1 << 30))  # the encoder normalises them again

    def forward() -> Tensor:
        if not stepped:
            out: Tensor = shared(pixels, seed=0, draw=next(draw))
            return out
        logits, state = model.advance(pixels, draw=next(draw))
        for _ in range(case.num_steps - 1):
            logits, state = model.advance(pixels, state)
        return logits[-1]

    return _pass(net, forward, labels, case.training)


def _pass(module: torch.nn.Module, forward: Callable[[], Tensor], labels: Tensor, training: bool) -> Step:
    def train() -> None:
        module.zero_grad()
        F.cross_entropy(forward(), labels).backward()  # type: ignore[no-untyped-call]

    module.train(training)
    return train if training else torch.no_grad()(forward)


def dense_limit(case: Case) -> Step:
    """Make a step of only the weight layers, all dense, each product computed as in the library's step."""
    net, generator, steps = network(case), torch.Generator().manual_seed(0), case.num_steps
    drawn = PoissonEncoder(steps).spikes(images(case)[0])
    nodes = [one.node for block in net.plan(drawn.shape).fused.values() for one in block.nodes]
    values = [Spikes(drawn.movedim(2, -1))]
    values += [size.out for size in sizes(nodes, values[0])]
    compute = compute_of("fused", steps, case.device)
    work: list[tuple[Synapse, Spikes, Tensor, bool]] = []
    for i, node in enumerate(nodes):
        if not isinstance(node, Layer):
            continue
        at = node.enter(Spikes(torch.empty(1, *values[i + 1 + node.reads[0]].values.shape[1:], device="meta")))
        largest = max(math.prod(node.current_shape(at)), at.values.numel())
        chunk = max(1, min(steps, (16 << 20) // (4 * largest)))
        x = Spikes(torch.rand(chunk, *at.values.shape[1:], generator=generator).to(case.device))
        synapse = Synapse(node.weight.detach(), None, node.geometry)
        work.append((synapse, x, synapse.forward(x, events=False), i > 0))

    def run() -> None:
        for synapse, x, grad, inner in work:
            total, (chunk, batch, height, width, channels) = torch.zeros_like(synapse.weight), x.values.shape
            fast = case.training and inner and takes(synapse, (steps, batch, height, width, channels), compute)
            with WORKSPACE.lease() as lease:
                winograd = InputGrad(synapse, height, width, lease) if fast else None
                into = lease.take(*x.values.shape) if fast else x.values
                for first in range(0, steps, chunk):
                    count = min(chunk, steps - first)
                    part = x.steps(0, count)
                    synapse.forward(part, events=False)
                    if case.training:
                        synapse.add_weight_grad(total, part, grad[:count], events=False)
                    if winograd is not None:
                        winograd.into(grad[:count], into[:count])
                    elif case.training and inner:
                        synapse.input_grad(grad[:count], (height, width, channels))

    return run
