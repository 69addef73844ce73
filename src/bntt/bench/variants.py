"""The rivals by name: each makes the step of a case. Peers are imported when they are asked for, never before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch

from bntt.bench.cases import Case, Step, dense_limit, images, network, own_step, step_of
from bntt.bench.loop import PerStepLoop
from bntt.engine.compute import Compute
from bntt.engine.kernels import BackendError, require


def loop_step(case: Case) -> Step:
    """What such code usually is: for BNTT its per-time-step loop, written out; for other norms and residual networks
    plain PyTorch, one time step after another, or layer by layer where their statistics need all steps."""
    if case.norm != "bntt" or case.network == "resnet19":
        return own_step(case, kernels=False, stepped=case.norm not in ("tdbn", "tebn", "bn-pooled"))
    net = network(case)
    loop = PerStepLoop(net)
    pixels, labels = images(case)
    return step_of(loop, lambda: loop(pixels), labels, case.training)


def _peer(name: str, case: Case) -> Step:
    from bntt.bench import peers

    pixels, labels = images(case)
    module = peers.PEERS[name](network(case))
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
"""Run with a passive OpenMP wait policy, as the command line does; the others with OpenMP's own, which suits them."""


def installed_peers() -> list[str]:
    """The peers that this environment has.

    >>> set(installed_peers()) <= set(VARIANTS)
    True
    """
    return [name for name in VARIANTS if name not in OURS and find_spec(name.split()[0]) is not None]


def available(device: str = "cpu") -> list[str]:
    """What can be timed on a device: bfloat16 only where it has it, the peers that are installed on the processor."""
    try:
        require(Compute(precision="bf16"), device)
        ours = list(OURS)
    except BackendError:
        ours = [name for name in OURS if "bf16" not in name]
    return [*ours, *(installed_peers() if torch.device(device).type == "cpu" else ())]


def usual(device: str = "cpu") -> list[str]:
    """What is timed where nothing else is asked for: the plain comparison, and the peers where they can run.

    >>> usual()[0]
    'loop'
    """
    return [name for name in available(device) if name in USUAL or name not in OURS]
