"""What one step of one sample costs, and a whole pass: ``python -m benchmarks.step_speed [--rounds 200]``.

The bundled VGG6 on one thread, without gradients, fused and in plain PyTorch in turn; the least CPU time of all rounds.
For another source, ``PYTHONPATH=OTHER/src``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from torch import Tensor

import bntt
from bntt.data import fashion_mnist_bundled


def stepped(net: bntt.SpikingNetwork, x: Tensor) -> Tensor:
    """Return the logits of one step after another."""
    logits, state = net.advance(x[:1])
    for t in range(1, len(x)):
        logits, state = net.advance(x[t : t + 1], state)
    return logits[-1]


@torch.no_grad()
def main() -> None:
    """Print the least CPU time of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = bntt.models.pretrained()
    net, pixels = model.network, fashion_mnist_bundled().test.images[:1] / 255
    x = model.encoder(pixels, seed=0, index=torch.arange(1), draw=0, steps=range(8))
    ways: dict[str, Callable[[bntt.SpikingNetwork, Tensor], Tensor]] = {
        "a step": stepped,
        "whole": lambda net, x: net(x),
    }
    least: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for backend in ("auto", "reference"):
            net.compute = bntt.Compute(backend)
            for name, run in ways.items():
                run(net, x), run(net, x)  # a change of compute drops what was kept
                began = time.process_time()
                run(net, x)
                took = 1000 * (time.process_time() - began) / (len(x) if name == "a step" else 1)
                least[name, backend] = min(took, least.get((name, backend), took))
    for (name, backend), took in least.items():
        Console(highlight=False).print(f"{name:8}{backend:12}{took:7.3f} ms")


if __name__ == "__main__":
    main()
