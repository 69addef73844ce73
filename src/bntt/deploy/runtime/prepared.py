"""What all calls of the compiled kernels share: packed weights, tables of the neurons, and the check of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from bntt.deploy.description import Description
from bntt.deploy.layers import Array, Layer, Neurons
from bntt.deploy.runtime.arrays import Arrays
from bntt.engine.cpu import library

WIDEST_KERNEL = 16


class Prepared:
    """What all chains of a network share: packed weights and the tables of its layers."""

    def __init__(self, made: Description, arrays: Arrays, threads: int) -> None:
        self.made, self.arrays, self.threads = made, arrays, threads
        self.packed: dict[tuple[int, float], Array] = {}
        self.tables = {
            place: tables_of(node.neurons, node)
            for place, node in enumerate(made.nodes)
            if isinstance(node, Layer) and node.neurons is not None
        }

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
            size = job.out_channels * job.in_channels * job.kernel_height * job.kernel_width
            library.call("bntt_pack", job, address(values, np.float32, size), address(packed, np.float32, packed.size))
            self.packed[key] = packed
        return self.packed[key]


def tables_of(neurons: Neurons, layer: Layer) -> dict[str, Array]:
    """Return a layer's affine map and neurons as the kernels read them, by field, ``[rows, C]`` each, float32."""
    tables = neurons.leak, neurons.threshold, neurons.amount, neurons.turned
    rows = max(len(table) for table in tables if table is not None)
    shape = rows, layer.scale.shape[1]
    sign = 1.0 if neurons.turned is None else np.where(neurons.turned, -1.0, 1.0)
    amount = neurons.threshold if neurons.amount is None else neurons.amount
    ones = np.ones((1, 1))
    fields = {"leak": neurons.leak, "sign": sign * ones, "threshold": sign * neurons.threshold, "amount": amount}
    fields |= {"per_threshold": ones, "surrogate_first": ones}
    made = {name: np.ascontiguousarray(np.broadcast_to(table, shape), np.float32) for name, table in fields.items()}
    affine = {"scale": layer.scale, "shift": layer.shift, "mean": np.zeros_like(layer.scale)}
    return made | {name: np.ascontiguousarray(table, np.float32) for name, table in affine.items()}


def address(array: Array, dtype: Any, size: int) -> int:
    """Return the address of an array's values, for a kernel that reads ``size`` contiguous elements of ``dtype``.

    >>> address(np.zeros(3, np.float32), np.float32, 4)
    Traceback (most recent call last):
    TypeError: a kernel takes a contiguous float32 of 4 elements, got float32 [3]
    """
    if array.dtype != dtype or array.size != size or not array.flags.c_contiguous:
        name = np.dtype(dtype).name
        raise TypeError(f"a kernel takes a contiguous {name} of {size} elements, got {array.dtype} {list(array.shape)}")
    return int(array.ctypes.data)


def takes_events(layer: Layer) -> bool:
    """Return True if the kernels add up a layer's weights by events."""
    w = layer.weights
    if w is None or layer.before or w.dilation != (1, 1) or w.groups != 1:
        return False
    return not w.is_convolution or w.values.shape[3] <= WIDEST_KERNEL
