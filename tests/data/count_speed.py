"""Frames of counted events in a first layer, both ways, on one core: ``python -m tests.data.count_speed``.

The counts are those of eight simulated recordings; the two ways' sums are compared before they are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.camera import simulate
from bntt.data.images import fashion_mnist_bundled
from bntt.engine.synapse import Geometry, Spikes, Synapse

RECORDINGS = 8
LAYERS = ((10, 28, 16), (20, 42, 16), (20, 42, 128))
"""Frames, their side, and channels of the first convolution; the last is that of ``dvs-cifar10``."""
REPEATS = 9


def frames(steps: int, side: int) -> Spikes:
    """Counts ``[T, B, H, W, C]``."""
    images = fashion_mnist_bundled().test.images
    counts = [to_frames(simulate(images[i], index=i)[0], Binning(steps, side, side)).counts for i in range(RECORDINGS)]
    values = torch.stack(counts, 1).movedim(2, -1).contiguous()
    return Spikes(values, largest=int(values.max()), density=float(values.float().mean()))


def milliseconds(work: Callable[[], object]) -> float:
    """Of this process, the median: others share the core."""
    work()
    found = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return 1000 * float(np.median(found))


def measured(steps: int, side: int, channels: int) -> str:
    x = frames(steps, side)
    floats = Spikes(x.floats())  # as a network is given frames
    weight = torch.randn(channels, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    synapse = Synapse(weight, None, Geometry(padding=(1, 1)))
    dense, events = synapse.forward(floats, events=False), synapse.forward(x, events=True)
    assert torch.allclose(dense, events, rtol=1e-4, atol=1e-4)
    totals = torch.zeros(2, *weight.shape)
    synapse.add_weight_grad(totals[0], floats, dense, events=False)
    synapse.add_weight_grad(totals[1], x, dense, events=True)
    assert torch.allclose(totals[0], totals[1], rtol=1e-3, atol=1e-3 * float(totals.abs().max()))
    forward = [
        milliseconds(lambda: synapse.forward(floats, events=False)),
        milliseconds(lambda: synapse.forward(x, events=True)),
    ]
    gradient = [
        milliseconds(lambda: synapse.add_weight_grad(totals[0], floats, dense, events=False)),
        milliseconds(lambda: synapse.add_weight_grad(totals[1], x, dense, events=True)),
    ]
    return (
        f"{steps} of {side}x{side}, 2 to {channels}: {float((x.values > 0).float().mean()):.1%} of cells with events, "
        f"up to {x.largest} in one; forward {forward[0]:.1f} ms dense, {forward[1]:.1f} event-driven; "
        f"weights' gradient {gradient[0]:.1f} dense, {gradient[1]:.1f} event-driven"
    )


def main() -> None:
    torch.set_num_threads(1)
    for layer in LAYERS:
        print(measured(*layer), flush=True)


if __name__ == "__main__":
    main()
