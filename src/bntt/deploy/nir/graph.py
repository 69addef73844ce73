"""NIR: a described network as a graph of convolutions, linear maps, poolings and neurons, in time steps of 0.1 ms.

NIR has no parameters that change over time and no soft reset. What a node cannot hold is in its metadata: tables
``[T, C]``. The node itself holds their median over the steps, so that a reader that ignores the metadata gets a similar
network. The neurons are exact, in Euler steps of dt:

======================= =====================================================================================
``m = λ u + z``, hard   LIF with ``τ = dt / (1 - λ)``, ``r = τ / dt``, ``v_leak = v_reset = 0``
soft reset              LI, then Threshold, whose spikes return a step later through ``Scale(-λ θ)``
``λ = 1``               IF and I with ``r = 1 / dt``
the rule ``fire_before`` Delay(dt) behind the neurons, and ``Scale(-θ)`` for the soft reset
======================= =====================================================================================

Scale and shift of a norm are a 1x1 convolution with diagonal weights, or an Affine for features. Max pooling of spikes
is ``Threshold(1/2)`` of the sum of a window. The sum over time, and its division by T, are not in the graph.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bntt.deploy.description import (
    DeployError,
    Description,
    Layer,
    Neurons,
    Pool,
    Shape,
    Sum,
    Weights,
    inputs,
    named,
    require,
    to_tree,
)
from bntt.io.files import write_whole

if TYPE_CHECKING:
    import nir

DT = 1e-4
"""Seconds of a time step, by the convention of SpikingJelly's and snnTorch's files."""
LEAST = 2.0**-53
"""Smallest 1 - λ of a neuron that leaks: among neurons that leak, one with λ = 1 has a time constant of dt 2⁵³."""
FACTS, KEPT = "bntt", ("encoder", "classes", "pictures", "provenance")
"""Metadata of the graph, as JSON: these fields of the description."""
LAYER, PART = "layer", "part"
"""Metadata of a node: the name of its layer, and which part of the layer it is if its type does not say."""


def write(description: Description, path: Path, weights: str = "float32") -> None:
    """Write :func:`build`'s graph into a file, whole or not at all."""
    fits = weights == "float32"
    require(fits, f"NIR files have float32 weights, got {weights!r}: a bundle can have float16 and int8")
    payload, made = io.BytesIO(), build(description)
    import nir

    nir.write(payload, made)
    write_whole(path, payload.getvalue())


def build(description: Description) -> nir.NIRGraph:
    """Return the NIR graph of a network."""
    try:
        import nir
    except ModuleNotFoundError:
        raise DeployError('NIR files are written by nir, which is not installed: pip install "bntt[nir]"') from None
    made: nir.NIRGraph = _Graph(nir, description).made()
    return made


class _Value(NamedTuple):
    """Output of a node."""

    node: str
    shape: Shape
    flat: bool
    """Features, ``[F]``."""
    binary: bool
    """Spikes, 0 or 1."""

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.shape[:1] if self.flat else self.shape


class _Graph:
    """The graph of a network."""

    def __init__(self, nir: Any, description: Description) -> None:
        self.nir, self.description = nir, description
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []

    def made(self) -> Any:
        made, encoder = self.description, self.description.encoder
        sizes = np.array(made.input_shape)
        self.nodes["input"] = self.nir.Input({"input": sizes})
        values = [_Value("input", made.image, len(sizes) == 1, encoder.kind == "poisson-unsigned")]
        for node in made.nodes:
            with named(node.name):
                values.append(self.node(node, [values[read + 1] for read in inputs(node)]))
        self.nodes["output"] = self.nir.Output({"output": np.array(values[-1].sizes)})
        self.edges.append((values[-1].node, "output"))
        facts = {name: to_tree(getattr(made, name), {}) for name in KEPT}
        return self.nir.NIRGraph(
            self.nodes, self.edges, {FACTS: json.dumps(facts, ensure_ascii=False, allow_nan=False)}
        )

    def node(self, node: Layer | Sum, read: Sequence[_Value]) -> _Value:
        if isinstance(node, Layer):
            return self.layer(node, read[0])
        ones = self.nir.Scale(np.ones(read[0].sizes, np.float32))
        return self.add(node.name, "", ones, *read, part="sum", binary=False)

    def add(self, layer: str, suffix: str, node: Any, *read: _Value, part: str = "", **changed: Any) -> _Value:
        """Add a node of a layer after others; return its output: that of the first of them, with the given changes."""
        stem = f"{layer}{suffix}".replace(".", "_").replace("/", "_")
        name = stem
        while name in self.nodes or name == "output":
            name += "_"
        node.metadata = {LAYER: layer, **({PART: part} if part else {}), **node.metadata}
        self.nodes[name] = node
        self.edges += [(value.node, name) for value in read]
        return read[0]._replace(node=name, **changed)

    def layer(self, layer: Layer, x: _Value) -> _Value:
        """Add pooling, weights, the affine map, neurons, and pooling."""
        for pool in layer.before:
            x = self.pooled(layer, pool, x, "before")
        if layer.weights is not None:
            x = self.current(layer, layer.weights, x)
        x = self.normalised(layer, x)
        if layer.neurons is not None:
            x = self.fired(layer, layer.neurons, x)
        for pool in layer.after:
            x = self.pooled(layer, pool, x, "after")
        return x

    def pooled(self, layer: Layer, pool: Pool, x: _Value, part: str) -> _Value:
        size, none, shape = np.array(pool.size), np.zeros(2, np.int64), pool.shape(x.shape)
        if pool.kind == "average":
            node = self.nir.AvgPool2d(size, size, none)
            return self.add(layer.name, "_pool", node, x, part=part, shape=shape, binary=False)
        require(x.binary, "NIR can max-pool only spikes, and these values are not spikes: use average pooling")
        total = self.nir.SumPool2d(size, size, none)
        x = self.add(layer.name, "_pool", total, x, part=part, shape=shape)
        return self.add(layer.name, "_pool_fires", self.nir.Threshold(np.full(x.sizes, 0.5)), x, part=part)

    def current(self, layer: Layer, weights: Weights, x: _Value) -> _Value:
        shape, values = weights.shape(x.shape), weights.values
        if weights.is_convolution:
            high, wide = values.shape[2:]
            groups = weights.groups  # nir's check of shapes, which every reader runs, refuses more than one
            require(groups == 1, f"its convolution has {groups} groups, and nir 1.0.8 always assumes 1")
            require(high == wide, f"its kernel is {high}x{wide}, and nir 1.0.8 takes every kernel for a square")
            bias = np.zeros(len(values), values.dtype) if weights.bias is None else weights.bias
            sizes = (np.array(size) for size in (weights.stride, weights.padding, weights.dilation))
            node = self.nir.Conv2d(x.shape[1:], values, *sizes, 1, bias)
            return self.add(layer.name, "", node, x, shape=shape, flat=False, binary=False)
        if not x.flat:
            flatten = self.nir.Flatten({"input": np.array(x.sizes)}, 0, -1)
            x = self.add(layer.name, "_flatten", flatten, x, shape=(values.shape[1], 1, 1), flat=True)
        node = self.nir.Linear(values) if weights.bias is None else self.nir.Affine(values, weights.bias)
        return self.add(layer.name, "", node, x, shape=shape, flat=True, binary=False)

    def normalised(self, layer: Layer, x: _Value) -> _Value:
        """Add the affine map, unless it does nothing: its tables, if they change over time, and their median."""
        tables = {"scale": layer.scale, "shift": layer.shift}
        moves = any((table != table[:1]).any() for table in tables.values())
        notes: dict[str, Any] = dict(tables) if moves else {}
        if layer.gamma is not None:
            notes |= {"gamma": layer.gamma, "driven": np.array(layer.driven)}
        if not notes and (layer.scale == 1).all() and not layer.shift.any():
            return x
        scale, shift = (np.median(table, 0) for table in tables.values())
        diagonal = np.diag(scale)
        if x.flat:
            node = self.nir.Affine(diagonal, shift)
        else:
            one, none = np.ones(2, np.int64), np.zeros(2, np.int64)
            node = self.nir.Conv2d(x.shape[1:], diagonal[..., None, None], one, none, one, 1, shift)
        node.metadata = notes
        return self.add(layer.name, "_norm", node, x, part="norm", binary=False)

    def fired(self, layer: Layer, neurons: Neurons, x: _Value) -> _Value:
        """Add the neurons."""
        plain = "its neurons are folded, and NIR's do not vary over time: export the unfolded network"
        require(neurons.is_plain, plain)
        low, high = neurons.leak.min(), neurons.leak.max()
        require(low >= 0 and high <= 1, f"its leak is {low:g} to {high:g}: NIR's is 0 to 1")
        rows = (0, slice(None)) if x.flat else (0, slice(None), None, None)
        leak, threshold = (
            np.array(np.broadcast_to(table[rows], x.sizes)) for table in (neurons.leak, neurons.threshold)
        )
        notes = {"leak": neurons.leak, "threshold": neurons.threshold}
        keeps, zeros = (neurons.leak == 1).all(), np.zeros(x.sizes)
        tau = DT / np.maximum(1 - leak, LEAST)
        r = np.full(x.sizes, 1 / DT) if keeps else tau / DT
        if neurons.reset == "hard":
            node = self.nir.IF(r, threshold, zeros) if keeps else self.nir.LIF(tau, r, zeros, threshold, zeros)
            node.metadata = notes
            x = self.add(layer.name, "_lif", node, x, binary=True)
        else:
            node = self.nir.I(r) if keeps else self.nir.LI(tau, r, zeros)
            node.metadata = notes
            x = self.add(layer.name, "_li", node, x)
            membrane = x.node
            x = self.add(layer.name, "_fires", self.nir.Threshold(threshold), x, binary=True)
            taken = threshold if neurons.rule == "before" else leak * threshold
            back = self.add(layer.name, "_reset", self.nir.Scale(-taken), x)
            self.edges.append((back.node, membrane))
        if neurons.rule == "before":
            x = self.add(layer.name, "_delay", self.nir.Delay(np.full(x.sizes, DT)), x)
        return x
