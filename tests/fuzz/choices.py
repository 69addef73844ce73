"""How a network is told on what it runs: the one place of the fuzzer that knows it."""

from __future__ import annotations

from bntt.nn import Compute, SpikingNetwork


def choose(net: SpikingNetwork, backend: str, events: str, recompute: str | int, precision: str) -> None:
    """Set all four choices; plain PyTorch has nothing to compute again."""
    recompute = "never" if backend == "reference" else recompute
    net.compute = Compute(backend=backend, events=events, recompute=recompute, precision=precision)
