"""Cases to time: a network with random weights at a chosen activity, and one step of training or evaluation.

Every variant makes that step; :data:`VARIANTS` names them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.bench.rivals import PEER_NORMS, PEERS, PerStepLoop
from bntt.engine.compute import BackendName, Compute, Precision, Recompute
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.spans import sizes
from bntt.engine.kernels import BackendError, require
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE
from bntt.models import mlp, resnet19, vgg9
from bntt.nn import NORMS, PoissonEncoder, SpikingClassifier, SpikingNetwork, norm_facts
from bntt.training.processes import Processes

Step = Callable[[], object]

BUILDERS: dict[str, Callable[..., SpikingNetwork]] = {"vgg9": vgg9, "mlp": mlp, "resnet19": resnet19}


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    network: Literal["vgg9", "mlp", "resnet19"] = "vgg9"
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
NORM_CASES = [Case(f"VGG9 training, {norm}", norm=norm) for norm in COMPARED_NORMS]
SEQUENCE_CASES = [
    Case(f"MLP training, 784 steps, {norm}", network="mlp", num_steps=784, batch=128, norm=norm)
    for norm in COMPARED_NORMS
]
RESIDUAL_CASES = [
    Case(f"ResNet-19 x0.5 training, T=6, {norm}", network="resnet19", num_steps=6, width=0.5, norm=norm)
    for norm in COMPARED_NORMS
]


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
    net = BUILDERS[case.network](**options).to(case.device)
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
    net = network(case)
    trace = net.trace(PoissonEncoder(case.num_steps).spikes(images(case)[0]))
    return {name: float(rate.mean()) for name, rate in trace.firing_rate.items()}


def own_step(
    case: Case,
    *,
    kernels: bool = True,
    recompute: bool = False,
    precision: Precision = "fp32",
    stepped: bool = False,
    processes: Processes | None = None,
) -> Step:
    """Make a step of this library: encode, forward, and in training cross entropy and backward.

    Args:
        kernels: the device's fused kernels, else plain PyTorch.
        recompute: whether √T steps are kept at a time, and computed again.
        stepped: whether time is the outer loop, one step through all layers after another.
        processes: the processes that share the batch, of which the case has this one's part; by default one.
    """
    net, processes = network(case), processes or Processes()
    steps: Recompute = math.isqrt(case.num_steps - 1) + 1 if recompute else "never"
    backend = kernels_of(case.device) if kernels else "reference"
    net.compute = Compute(backend=backend, recompute=steps, precision=precision, reduce=processes.reduce)
    channels = 1 if case.network == "mlp" else 3
    encoder = PoissonEncoder(case.num_steps, mean=[0.5] * channels, std=[0.25] * channels)
    model = SpikingClassifier(encoder, net)
    model.to(case.device)
    shared = model if processes.count == 1 else processes.averaging(model, all_learn=True)
    pixels, labels = images(case)
    pixels = pixels * 0.25 + 0.5  # the encoder normalises them again
    draw = iter(range(1 << 30))

    def forward() -> Tensor:
        if not stepped:
            out: Tensor = shared(pixels, seed=0, draw=next(draw))
            return out
        logits, state = model.advance(pixels, draw=next(draw))
        for _ in range(case.num_steps - 1):
            logits, state = model.advance(pixels, state)
        return logits[-1]

    return step_of(net, forward, labels, case.training)


def kernels_of(device: str) -> BackendName:
    """Return the backend with the fused kernels for a device.

    >>> kernels_of("cuda")
    'triton'
    """
    return "triton" if torch.device(device).type == "cuda" else "cpu"


def step_of(module: torch.nn.Module, forward: Callable[[], Tensor], labels: Tensor, training: bool) -> Step:
    """Make a step: forward without gradients, or forward, cross entropy and backward; no optimiser, for any variant."""

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
    """Make a step of only the weight layers, all dense, each product computed as in the library's step."""
    net, generator, steps = network(case), torch.Generator().manual_seed(0), case.num_steps
    drawn = PoissonEncoder(steps).spikes(images(case)[0])
    nodes = [one.node for block in net.plan(drawn.shape).fused.values() for one in block.nodes]
    values = [Spikes(drawn.movedim(2, -1))]
    values += [size.out for size in sizes(nodes, values[0])]
    compute = Compute(kernels_of(case.device))
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
            total, (chunk, batch, *shape) = torch.zeros_like(synapse.weight), x.values.shape
            height, width, channels = shape
            fast = case.training and inner and takes(synapse, (steps, batch, *shape), compute)
            with WORKSPACE.lease() as lease:
                winograd = InputGrad.begin(synapse, height, width, lease) if fast else None
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


def loop_step(case: Case) -> Step:
    """Return the usual step: for BNTT its loop over time steps, written out.

    For other norms and residual networks it is plain PyTorch, one time step after another, or layer by layer if their
    statistics need all steps.
    """
    if case.norm != "bntt" or case.network == "resnet19":
        return own_step(
            case,
            kernels=False,
            stepped=case.norm not in ("tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both"),
        )
    net = network(case)
    loop = PerStepLoop(net)
    pixels, labels = images(case)
    return step_of(loop, lambda: loop(pixels), labels, case.training)


def _peer(name: str, case: Case) -> Step:
    pixels, labels = images(case)
    module = PEERS[name](network(case))
    return step_of(module, lambda: module(pixels), labels, case.training)


VARIANTS: dict[str, Callable[[Case], Step]] = {
    "loop": loop_step,
    "reference": lambda case: own_step(case, kernels=False),
    "fused": own_step,
    "recompute": lambda case: own_step(case, recompute=True),
    "bf16-grad": lambda case: own_step(case, precision="bf16-grad"),
    "bf16": lambda case: own_step(case, precision="bf16"),
    "bf16 recompute": lambda case: own_step(case, recompute=True, precision="bf16"),
    "dense limit": dense_limit,
    "spikingjelly": partial(_peer, "spikingjelly"),
    "spikingjelly unbind": partial(_peer, "spikingjelly unbind"),
    "snntorch": partial(_peer, "snntorch"),
}
OURS = ("loop", "reference", "fused", "recompute", "bf16-grad", "bf16", "bf16 recompute", "dense limit")
USUAL = ("loop", "reference", "fused", "dense limit")
SLEEPING = OURS[2:]
"""Variants with a passive OpenMP wait policy, like the command line; the others use OpenMP's own, which suits them."""


def threads_of(variant: str, threads: int) -> dict[str, str]:
    """Return the environment of a variant's process: its threads, and whether they sleep while they wait."""
    return {"OMP_NUM_THREADS": str(threads)} | ({"OMP_WAIT_POLICY": "PASSIVE"} if variant in SLEEPING else {})


def takes_part(variant: str, case: Case) -> bool:
    """Return True if a variant has the case's network and norm; only peers may lack them.

    >>> takes_part("snntorch", Case("x", norm="tab")), takes_part("loop", Case("x", norm="tab"))
    (False, True)
    """
    return variant not in PEER_NORMS or (case.network != "resnet19" and case.norm in PEER_NORMS[variant])


def installed_peers() -> list[str]:
    """List the peers that this environment has.

    >>> set(installed_peers()) <= set(VARIANTS)
    True
    """
    return [name for name in VARIANTS if name not in OURS and find_spec(name.split()[0]) is not None]


def available(device: str = "cpu") -> list[str]:
    """List what can be timed on a device: bfloat16 only where supported, the installed peers on the processor."""
    try:
        require(Compute(precision="bf16"), device)
        ours = list(OURS)
    except BackendError:
        ours = [name for name in OURS if "bf16" not in name]
    return [*ours, *(installed_peers() if torch.device(device).type == "cpu" else ())]


def usual(device: str = "cpu") -> list[str]:
    """List what is timed by default: the plain comparison, and the peers where they can run.

    >>> usual()[0]
    'loop'
    """
    return [name for name in available(device) if name in USUAL or name not in OURS]
