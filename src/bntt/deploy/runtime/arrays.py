"""The network in plain NumPy, float32 or float64: the reference for every other way to run it outside PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bntt.deploy.description import Array, Description, Layer, Neurons, Pool, Weights
from bntt.deploy.runtime.encoding import Noise, encode

MOST_COLUMNS = 1 << 21
"""Most numbers of the windows of a convolution that are laid out at once."""
Membranes = tuple[Array | None, ...]


class Arrays:
    """Runs a description, channels last: ``[S, B, H, W, C]``."""

    def __init__(self, made: Description, dtype: Any) -> None:
        self.made, self.dtype = made, np.dtype(dtype)
        self.synapses: list[Synapse | None] = []
        for node in made.nodes:
            synapse = None
            if isinstance(node, Layer) and node.weights is not None:
                image = made.image if node.reads < 0 else made.shapes[node.reads][1]
                for pool in node.before:
                    image = pool.shape(image)
                synapse = Synapse(node.weights, image, self.dtype)
            self.synapses.append(synapse)
        self.last_reader = {read: place for place, node in enumerate(made.nodes) for read in inputs(node)}

    def encode(self, values: Array, noise: Noise, steps: range) -> Array:
        """Return the input of some steps, see :func:`bntt.deploy.runtime.encoding.encode`."""
        return encode(self.made, values, noise, steps)

    def advance(self, x: Array, steps: range, membranes: Sequence[Array | None] | None) -> tuple[Array, Membranes]:
        """Return what the readout adds in each step, ``[S, B, K]``, and every node's membranes after the last."""
        values, after = {-1: x.astype(self.dtype)}, list[Array | None]()
        for place, node in enumerate(self.made.nodes):
            if isinstance(node, Layer):
                before = None if membranes is None else membranes[place]
                values[place], membrane = self._layer(place, node, values[node.reads], steps, before)
            else:
                one, other = node.reads
                values[place], membrane = values[one] + values[other], None
            after.append(membrane)
            for read in [read for read in values if self.last_reader.get(read, math.inf) <= place]:
                del values[read]
        return values[len(self.made.nodes) - 1][:, :, 0, 0], tuple(after)

    def _layer(
        self, place: int, layer: Layer, x: Array, steps: range, membrane: Array | None
    ) -> tuple[Array, Array | None]:
        for pool in layer.before:
            x = pooled(x, pool)
        synapse = self.synapses[place]
        y = x if synapse is None else synapse.current(x)
        a, b = (rows[steps.start : steps.stop].astype(self.dtype) for rows in (layer.scale, layer.shift))
        z = a[:, None, None, None] * y + b[:, None, None, None]
        out, membrane = (z, None) if layer.neurons is None else fired(layer.neurons, z, steps, membrane)
        for pool in layer.after:
            out = pooled(out, pool)
        return out, membrane


class Synapse:
    """Weights as a matrix for the windows of a channels-last image, or for a whole one."""

    def __init__(self, weights: Weights, image: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self.weights, values = weights, weights.values.astype(dtype)
        if weights.is_convolution:
            rows = np.moveaxis(values, 1, -1).reshape(weights.groups, -1, math.prod(values.shape[1:]))
        else:  # its weights are in C, H, W order, its input in H, W, C
            rows = np.moveaxis(values.reshape(len(values), *image), 1, -1).reshape(1, len(values), -1)
        self.matrices = np.ascontiguousarray(rows.swapaxes(1, 2))  # [groups, kh kw Cin, Cout]
        self.bias = None if weights.bias is None else weights.bias.astype(dtype)

    def current(self, x: Array) -> Array:
        """Return ``[S, B, H', W', C']``."""
        steps, batch = x.shape[:2]
        if self.weights.is_convolution:
            y = self._convolved(x.reshape(-1, *x.shape[2:]))
        else:
            y = (x.reshape(steps * batch, -1) @ self.matrices[0])[:, None, None]
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(steps, batch, *y.shape[1:])

    def _convolved(self, images: Array) -> Array:
        w, (kh, kw) = self.weights, self.weights.values.shape[2:]
        images = np.pad(images, ((0, 0), (w.padding[0],) * 2, (w.padding[1],) * 2, (0, 0)))
        reach = (w.dilation[0] * (kh - 1) + 1, w.dilation[1] * (kw - 1) + 1)
        windows = sliding_window_view(images, reach, (1, 2))
        windows = windows[:, :: w.stride[0], :: w.stride[1], :, :: w.dilation[0], :: w.dilation[1]]
        count, rows, columns, channels = windows.shape[:4]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)  # [N, H', W', kh, kw, Cin]
        out = np.empty((count, rows, columns, len(w.values)), images.dtype)
        at_once = max(1, MOST_COLUMNS // (rows * columns * kh * kw * channels))
        ins, outs = channels // w.groups, len(w.values) // w.groups
        for first in range(0, count, at_once):
            part = windows[first : first + at_once]
            for group, matrix in enumerate(self.matrices):
                laid = part[..., group * ins : (group + 1) * ins].reshape(-1, len(matrix))
                told = (laid @ matrix).reshape(len(part), rows, columns, outs)
                out[first : first + at_once, ..., group * outs : (group + 1) * outs] = told
        return out


def fired(neurons: Neurons, z: Array, steps: range, membrane: Array | None) -> tuple[Array, Array]:
    """Return the spikes of some steps of input ``[S, B, H, W, C]``, and the membrane after them."""
    spikes = np.empty_like(z)
    u = np.zeros(z.shape[1:], z.dtype) if membrane is None else membrane
    tables = [table.astype(z.dtype) for table in neurons.tables().values()]
    for number, t in enumerate(steps):
        leak, sign, threshold, amount = (table[t if len(table) > 1 else 0] for table in tables)
        m = leak * u + z[number] if neurons.rule == "after" else leak * u
        tested = m if neurons.rule == "after" else u
        spikes[number] = fires = sign * tested > threshold
        u = np.where(fires, m - amount if neurons.reset == "soft" else z.dtype.type(0), m)  # not infinity times 0
        if neurons.rule == "before":
            u = u + z[number]
    return spikes, u


def pooled(x: Array, pool: Pool) -> Array:
    """Return a pooled image, ``[S, B, H, W, C]``."""
    down, across = pool.size
    rows, columns = x.shape[2] // down, x.shape[3] // across
    windows = x[:, :, : rows * down, : columns * across].reshape(*x.shape[:2], rows, down, columns, across, x.shape[4])
    if pool.kind == "max":
        return np.asarray(windows.max((3, 5)))
    return np.asarray(windows.sum((3, 5)) / x.dtype.type(down * across))
