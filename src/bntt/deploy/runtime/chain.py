"""Buffers and jobs of the compiled kernels for one number of steps and samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ctypes import byref
from typing import Any, NamedTuple

import numpy as np

from bntt.deploy.layers import Array, Layer, Neurons, Pool, Sum
from bntt.deploy.runtime.arrays import Membranes, pooled
from bntt.deploy.runtime.encoding import IN_TIME
from bntt.deploy.runtime.prepared import Prepared, address, takes_events
from bntt.engine.cpu import library

LARGEST_COUNT = 255
"""Largest count of spikes in a window or a sum, since counts are bytes."""


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

    def __init__(self, prepared: Prepared, steps: int, batch: int) -> None:
        self.prepared, self.steps, self.batch = prepared, steps, batch
        made = prepared.made
        self.work: list[Callable[[int], object]] = []
        """The work in order; each function is given the first step."""
        self.membranes: list[Array | None] = []
        kind, (channels, height, width) = made.encoder.kind, made.image
        readers = [node for node in made.nodes if -1 in (node.reads if isinstance(node, Sum) else (node.reads,))]
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
        neurons, _ = self.prepared.made.shapes[place]
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
        weights, synapse = layer.weights, self.prepared.arrays.synapses[place]
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
        node: Any = self.prepared.made.nodes[place]
        w, shape = node.weights, x.array.shape
        if not w.is_convolution:
            shape = *shape[:2], 1, 1, math.prod(shape[2:])
        job = library.Events.over(
            shape,
            w.values.shape[2:] if w.is_convolution else (1, 1),
            w.padding,
            w.stride,
            counts=address(x.array, np.uint8, x.array.size),
            out_channels=len(w.values),
            largest_count=x.largest,
            scale=x.scale,
            threads=self.prepared.threads,
        )
        packed = self.prepared.weights(place, job, self.signed and node.reads < 0)
        bias = self.prepared.arrays.synapses[place].bias  # type: ignore[union-attr]
        job.held = [x.array, out, packed, bias]
        job.give(weight=address(packed, np.float32, packed.size), out=address(out, np.float32, out.size))
        if bias is not None:
            job.give(bias=address(bias, np.float32, len(w.values)))
        self._calls("bntt_events_forward", job)

    def _scan(self, place: int, neurons: Neurons, current: Array, window: tuple[int, int]) -> Array:
        """Append the neurons of a layer; return their spikes, counted by window."""
        steps, batch, height, width, channels = current.shape
        tables = self.prepared.tables[place]
        membrane = np.empty(current.shape[1:], np.float32)
        counts = np.empty((steps, batch, height // window[0], width // window[1], channels), np.uint8)
        fired = np.empty((steps, channels), np.int64)
        rows = len(tables["leak"])
        job = library.Scan.over(
            current.shape,
            window,
            current=address(current, np.float32, current.size),
            membrane=address(membrane, np.float32, membrane.size),
            counts=address(counts, np.uint8, counts.size),
            fired=address(fired, np.int64, fired.size),
            neuron_step=0 if rows == 1 else channels,
            fire_before=neurons.rule == "before",
            hard_reset=neurons.reset == "hard",
            threads=self.prepared.threads,
        )
        job.held = [current, membrane, counts, fired, tables]
        bases = {name: (address(table, np.float32, table.size), len(table) > 1) for name, table in tables.items()}
        moving = [(name, base) for name, (base, moves) in bases.items() if moves or name in ("scale", "shift", "mean")]
        job.give(**{name: base for name, (base, _) in bases.items()})
        if neurons.turned is None:
            job.sign = None
            moving = [(name, base) for name, base in moving if name != "sign"]
        self.membranes[place] = membrane

        def place_tables(first: int) -> None:
            for name, base in moving:
                setattr(job, name, base + 4 * first * channels)

        self.work.append(place_tables)
        self._calls("bntt_scan_forward", job)
        return counts

    def _calls(self, function: str, job: library.Job) -> None:
        reference, call = byref(job), getattr(library.LIBRARY, function)

        def run(first: int, job: library.Job = job) -> None:
            if call(reference) != 0:
                raise MemoryError(f"{function} could not allocate its working memory")

        self.work.append(run)

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
            x = self._pool(x, pool)
        return x

    def _pool(self, x: Value, pool: Pool) -> Value:
        steps, batch, height, width, channels = x.array.shape
        shape = steps, batch, height // pool.size[0], width // pool.size[1], channels
        keeps = x.counted and pool.kind == "max"
        out = np.empty(shape, np.uint8 if keeps else np.float32)

        def pooling(first: int) -> None:
            out[...] = pooled(x.array if keeps else x.array * np.float32(x.scale), pool)

        self.work.append(pooling)
        return Value(out, x.scale if keeps else 1.0, x.largest if keeps else 1)

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
