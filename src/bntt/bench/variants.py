"""The rivals by name: each makes the step of a case. Peers are imported when they are asked for, never before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from bntt.bench.cases import Case, Step, dense_limit, images, network, own_step, step_of
from bntt.bench.loop import PerStepLoop
from bntt.ops.backend import has_bf16


def loop_step(case: Case) -> Step:
    """The per-time-step loop."""
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
    "reference": lambda case: own_step(case, "reference"),
    "fused": lambda case: own_step(case, "cpu"),
    "recompute": lambda case: own_step(case, "cpu", recompute=True),
    "bf16-grad": lambda case: own_step(case, "cpu", precision="bf16-grad"),
    "bf16": lambda case: own_step(case, "cpu", precision="bf16"),
    "bf16 recompute": lambda case: own_step(case, "cpu", recompute=True, precision="bf16"),
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


def available() -> list[str]:
    """What can be timed here: bfloat16 only where the processor has it, and the peers that are installed."""
    ours = [name for name in OURS if "bf16" not in name or has_bf16()]
    return [*ours, *installed_peers()]
