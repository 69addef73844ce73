"""The network by the compiled kernels, float32: weights by events of spikes where they can, else NumPy's matrices.

Everything that a call needs is made once for each number of steps and samples, as a :class:`Chain`: buffers, and jobs
that hold their addresses. A call then only moves the addresses of the tables to its first step.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from bntt.deploy.description import Description
from bntt.deploy.layers import Array
from bntt.deploy.runtime.arrays import Arrays, Membranes
from bntt.deploy.runtime.chain import Chain
from bntt.deploy.runtime.encoding import encode
from bntt.deploy.runtime.prepared import Prepared, address
from bntt.deploy.runtime.random import step_keys
from bntt.deploy.runtime.state import Noise
from bntt.engine.cpu import library

MOST_CHAINS = 4
"""Number of chains that are kept, the last ones used."""


def why_not(dtype: Any) -> str:
    """Return why the kernels cannot run here; "" if they can.

    >>> why_not(np.float64)
    'they are float32'
    """
    return library.REASON if library.LIBRARY is None else "" if dtype == np.float32 else "they are float32"


class Kernels:
    """Runs a description by the kernels; calls from several threads take turns."""

    def __init__(self, made: Description, threads: int) -> None:
        self.prepared = Prepared(made, Arrays(made, np.float32), threads)
        self.chains: dict[tuple[int, int], Chain] = {}
        self.turn = threading.Lock()

    def encode(self, values: Array, noise: Noise, steps: range) -> Array:
        """Return the input of some steps, the same numbers as :func:`bntt.deploy.runtime.encoding.encode`.

        Spikes are int8.
        """
        made = self.prepared.made
        if not made.encoder.kind.startswith("poisson"):
            return encode(made, values, noise, steps)
        (channels, height, width), batch = made.image, len(values)
        keys = np.ascontiguousarray(step_keys(noise.keys, steps)).view(np.int64)
        values, spikes = np.ascontiguousarray(values), np.empty((len(steps), batch, height, width, channels), np.int8)
        library.call(
            "bntt_poisson",
            address(values, np.float32, values.size),
            address(keys, np.int64, len(steps) * batch),
            address(spikes, np.int8, len(steps) * values.size),
            *(len(steps), batch, channels, height * width),
            made.encoder.kind == "poisson",
            self.prepared.threads,
        )
        return spikes

    def advance(self, x: Array, steps: range, membranes: Sequence[Array | None] | None) -> tuple[Array, Membranes]:
        """Take some steps, see :meth:`bntt.deploy.runtime.arrays.Arrays.advance`."""
        with self.turn:
            key = len(steps), x.shape[1]
            chain = self.chains.pop(key, None) or Chain(self.prepared, *key)
            self.chains[key] = chain
            if len(self.chains) > MOST_CHAINS:
                del self.chains[next(iter(self.chains))]
            return chain.run(x, steps.start, membranes)
