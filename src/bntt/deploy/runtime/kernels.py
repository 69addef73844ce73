"""The network by the compiled kernels, float32: weights by events of spikes where they can, else NumPy's matrices.

Everything that a call needs is made once for each number of steps and samples, as a :class:`Chain`: buffers, and jobs
that hold their addresses. A call then only moves the addresses of the tables to its first step.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bntt.deploy.description import Array, Description, Layer, Neurons, Pool, Sum, inputs
from bntt.deploy.runtime.arrays import IN_TIME, Arrays, Membranes, pooled
from bntt.engine.cpu import library

MOST_CHAINS = 4
"""Number of chains that are kept, the last ones used."""
WIDEST_KERNEL = 16
LARGEST_COUNT = 255
"""Largest count of spikes in a window or a sum, since counts are bytes."""


class Kernels:
    """Runs a description by the kernels; calls from several threads take turns."""

    def __init__(self, made: Description, threads: int) -> None:
        self.made, self.arrays, self.threads = made, Arrays(made, np.float32), threads
        self.packed: dict[tuple[int, float], Array] = {}
        self.tables = {
            place: tables_of(node.neurons, node)
            for place, node in enumerate(made.nodes)
            if isinstance(node, Layer) and node.neurons is not None
        }
        self.chains: dict[tuple[int, int], Chain] = {}
        self.turn = threading.Lock()

    def advance(self, x: Array, steps: range, membranes: Sequence[Array | None] | None) -> tuple[Array, Membranes]:
        """Take some steps, see :meth:`bntt.deploy.runtime.arrays.Arrays.advance`."""
        with self.turn:
            key = len(steps), x.shape[1]
            chain = self.chains.pop(key, None) or Chain(self, *key)
            self.chains[key] = chain
            if len(self.chains) > MOST_CHAINS:
                del self.chains[next(iter(self.chains))]
            return chain.run(x, steps.start, membranes)

    def weights(self, place: int, job: library.Events, signed: bool) -> Array:
        """Return a layer's weights packed for the kernels."""
        key = place, job.scale
        if key not in self.packed:
            synapse: Any = self.arrays.synapses[place]
            values = synapse.weights.values.astype(np.float32)
            if not synapse.weights.is_convolution:  # [Cout, H W, C]
                values = synapse.matrices[0].T.reshape(len(values), -1, self.made.image[0] if signed else 1)
            if signed:  # spikes of -1 are events of separate channels
                values = np.concatenate([values, -values], 1 if synapse.weights.is_convolution else 2)
            values, packed = np.ascontiguousarray(values), np.empty(library.packed_size(job), np.float32)
            library.call("bntt_pack", job, values.ctypes.data, packed.ctypes.data)
            self.packed[key] = packed
        return self.packed[key]


def tables_of(neurons: Neurons, layer: Layer) -> dict[str, Array]:
    """Return a layer's affine map and neurons as the kernels read them, by field, ``[rows, C]`` each, float32."""
    ones = np.ones((1, 1))
    fields = neurons.tables() | {"per_threshold": ones, "surrogate_first": ones}
    if neurons.turned is None:
        del fields["sign"]
    shape = max(map(len, fields.values())), layer.scale.shape[1]
    made = {name: np.ascontiguousarray(np.broadcast_to(table, shape), np.float32) for name, table in fields.items()}
    affine = {"scale": layer.scale, "shift": layer.shift, "mean": np.zeros_like(layer.scale)}
    return made | {name: np.ascontiguousarray(table, np.float32) for name, table in affine.items()}


def takes_events(layer: Layer) -> bool:
    """Return True if the kernels add up a layer's weights by events."""
    w = layer.weights
    if w is None or layer.before or w.dilation != (1, 1) or w.groups != 1:
        return False
    return not w.is_convolution or w.values.shape[3] <= WIDEST_KERNEL


class Value(NamedTuple):
    """Output of a node: counts worth ``scale`` each, or floats."""

    array: Array
    """``[S, B, H, W, C]``."""
    scale: float = 1.0
    largest: int = 1
    """The largest possible count."""

    @property
    def counted(self) -> bool:
        return self.array.dtype == np.uint8


class Chain:
    """Runs ``steps`` steps of ``batch`` samples."""

    def __init__(self, kernels: Kernels, steps: int, batch: int) -> None:
        self.kernels, self.steps, self.batch = kernels, steps, batch
        made = kernels.made
        self.work: list[Callable[[int], object]] = []
        """The work in order; each function is given the first step."""
        self.membranes: list[Array | None] = []
        kind, (channels, height, width) = made.encoder.kind, made.image
        readers = [node for node in made.nodes if -1 in inputs(node)]
        self.signed = kind == "poisson" and all(isinstance(node, Layer) and takes_events(node) for node in readers)
        counts, changes = self.signed or kind == "poisson-unsigned", kind in IN_TIME or kind.startswith("poisson")
        shape = steps if changes else 1, batch, height, width, channels * (2 if self.signed else 1)
        self.input = Value(np.empty(shape, np.uint8 if counts else np.float32))
        largest = max(math.prod(neurons) for neurons, _ in made.shapes)
        self.scratch = np.empty(steps * batch * largest, np.float32)
        values = {-1: self.input}
        for place, node in enumerate(made.nodes):
            self.membranes.append(None)
            if isinstance(node, Sum):
                values[place] = self._sum(*(values[read] for read in node.reads))
            else:
                values[place] = self._layer(place, node, values[node.reads])
        self.out = values[len(made.nodes) - 1]

    def run(self, x: Array, first: int, membranes: Sequence[Array | None] | None) -> tuple[Array, Membranes]:
        """Take the steps from ``first`` on; ``x`` is the network's input."""
        if self.signed:
            channels = x.shape[-1]
            np.greater(x, 0, out=self.input.array[..., :channels], casting="unsafe")
            np.less(x, 0, out=self.input.array[..., channels:], casting="unsafe")
        else:
            self.input.array[...] = x
        for place, own in enumerate(self.membranes):
            if own is not None:
                before = None if membranes is None else membranes[place]
                own[...] = 0 if before is None else before
        for do in self.work:
            do(first)
        y = self.out.array[:, :, 0, 0].astype(np.float32)
        return y, tuple(None if one is None else one.copy() for one in self.membranes)

    def _layer(self, place: int, layer: Layer, x: Value) -> Value:
        neurons, _ = self.kernels.made.shapes[place]
        (channels, height, width), firing = neurons, layer.neurons
        shape = self.steps, self.batch, height, width, channels
        if firing is None:  # its current is its output
            current = np.empty(shape, np.float32)
            self._current(place, layer, x, current)
            self._map(layer, current)
            return self._pooled(Value(current), layer.after)
        current = self.scratch[: math.prod(shape)].reshape(shape)
        self._current(place, layer, x, current)
        window, rest = (1, 1), list(layer.after)
        if rest and rest[0].kind == "average" and math.prod(rest[0].size) <= LARGEST_COUNT:  # it is part of the scan
            window = rest.pop(0).size
        area = math.prod(window)
        return self._pooled(Value(self._scan(place, firing, current, window), 1 / area, area), rest)

    def _current(self, place: int, layer: Layer, x: Value, out: Array) -> None:
        """Append the work that fills ``out`` with the current of a layer."""
        weights, synapse = layer.weights, self.kernels.arrays.synapses[place]
        if weights is None or synapse is None:
            x = self._pooled(x, layer.before)
            self.work.append(lambda first: np.multiply(x.array, np.float32(x.scale), out=out))
            return
        if x.counted and takes_events(layer):
            self._events(place, x, out)
            return

        def dense(first: int) -> None:
            values = x.array * np.float32(x.scale) if x.counted else x.array
            for pool in layer.before:
                values = pooled(values, pool)
            out[...] = synapse.current(values)

        self.work.append(dense)

    def _events(self, place: int, x: Value, out: Array) -> None:
        node: Any = self.kernels.made.nodes[place]
        w, shape = node.weights, x.array.shape
        if not w.is_convolution:
            shape = *shape[:2], 1, 1, math.prod(shape[2:])
        job = library.Events.over(
            shape,
            w.values.shape[2:] if w.is_convolution else (1, 1),
            w.padding,
            w.stride,
            counts=x.array.ctypes.data,
            out_channels=len(w.values),
            largest_count=x.largest,
            scale=x.scale,
            threads=self.kernels.threads,
        )
        packed = self.kernels.weights(place, job, self.signed and node.reads < 0)
        bias = self.kernels.arrays.synapses[place].bias  # type: ignore[union-attr]
        job.held = [x.array, out, packed, bias]
        job.give(weight=packed.ctypes.data, out=out.ctypes.data, bias=None if bias is None else bias.ctypes.data)
        self.work.append(lambda first: library.call("bntt_events_forward", job))

    def _scan(self, place: int, neurons: Neurons, current: Array, window: tuple[int, int]) -> Array:
        """Append the neurons of a layer; return their spikes, counted by window."""
        steps, batch, height, width, channels = current.shape
        tables = self.kernels.tables[place]
        self.membranes[place] = membrane = np.empty(current.shape[1:], np.float32)
        counts = np.empty((steps, batch, height // window[0], width // window[1], channels), np.uint8)
        fired = np.empty((steps, channels), np.int64)
        job = library.Scan.over(
            current.shape,
            window,
            current=current.ctypes.data,
            membrane=membrane.ctypes.data,
            counts=counts.ctypes.data,
            fired=fired.ctypes.data,
            neuron_step=0 if len(tables["leak"]) == 1 else channels,
            fire_before=neurons.rule == "before",
            hard_reset=neurons.reset == "hard",
            threads=self.kernels.threads,
            **{name: table.ctypes.data for name, table in tables.items()},
        )
        job.held = [current, membrane, counts, fired, tables]
        moving = [(name, table.ctypes.data) for name, table in tables.items() if len(table) > 1]

        def place_tables(first: int) -> None:
            for name, base in moving:
                setattr(job, name, base + 4 * first * channels)

        self.work.append(place_tables)
        self.work.append(lambda first: library.call("bntt_scan_forward", job))
        return counts

    def _map(self, layer: Layer, current: Array) -> None:
        """Append scale and shift of a current, in place."""
        a, b = (rows.astype(np.float32)[:, None, None, None] for rows in (layer.scale, layer.shift))
        if (a == 1).all() and not b.any():
            return

        def scale(first: int) -> None:
            np.multiply(current, a[first : first + self.steps], out=current)
            np.add(current, b[first : first + self.steps], out=current)

        self.work.append(scale)

    def _pooled(self, x: Value, pools: Sequence[Pool]) -> Value:
        for pool in pools:
            steps, batch, height, width, channels = x.array.shape
            shape = steps, batch, height // pool.size[0], width // pool.size[1], channels
            keeps = x.counted and pool.kind == "max"
            out = np.empty(shape, np.uint8 if keeps else np.float32)

            def pooling(first: int, x: Value = x, pool: Pool = pool, keeps: bool = keeps, out: Array = out) -> None:
                out[...] = pooled(x.array if keeps else x.array * np.float32(x.scale), pool)

            self.work.append(pooling)
            x = Value(out, x.scale, x.largest) if keeps else Value(out)
        return x

    def _sum(self, one: Value, other: Value) -> Value:
        counted = one.counted and other.counted and one.scale == other.scale
        shape = np.broadcast_shapes(one.array.shape, other.array.shape)
        if counted and (largest := one.largest + other.largest) <= LARGEST_COUNT:
            counts = np.empty(shape, np.uint8)
            self.work.append(lambda first: np.add(one.array, other.array, out=counts))
            return Value(counts, one.scale, largest)
        out = np.empty(shape, np.float32)

        def add(first: int) -> None:
            np.multiply(one.array, np.float32(one.scale), out=out)
            np.add(out, other.array * np.float32(other.scale), out=out)

        self.work.append(add)
        return Value(out)
