"""Nodes of a NIR graph, read from a file: each field has the expected type and size, or the file is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import MOST_VALUES, Array
from bntt.deploy.nir.graph import LAYER, PART

NAMES = "Input Output Conv2d Linear Affine Scale Flatten AvgPool2d SumPool2d LIF IF LI I Threshold Delay"
SUPPORTED = NAMES.split()


class Node:
    """One node, by name."""

    def __init__(self, name: str, fields: Any) -> None:
        self.name, self.fields = name, fields if isinstance(fields, Mapping) else {}
        self.type = str(self.fields.get("type"))
        notes = self.fields.get("metadata")
        self.notes: Mapping[str, Any] = notes if isinstance(notes, Mapping) else {}
        """Its metadata."""
        self.layer, self.part = (str(self.notes.get(name, "")) for name in (LAYER, PART))
        """The layer that it belongs to, and which part of it; "" if it does not say."""
        self.reads: list[str] = []
        """The nodes before it, in the order of the edges, without feedback."""
        self.read_by: list[str] = []

    def wrong(self, why: str) -> DeployError:
        """Return the error that names this node."""
        return DeployError(f"{self.name!r} ({self.type}): {why}")

    def array(self, field: str, *dims: int) -> Array:
        """Return a field of floating point numbers with one of these numbers of dimensions, by default any."""
        return self._floats(field, self.fields.get(field), dims)

    def note(self, field: str, *shapes: tuple[int, ...]) -> Array | None:
        """Return an array of its metadata, which has one of these shapes; None: it has none of this name."""
        if field not in self.notes:
            return None
        found = self._floats(f"metadata {field}", self.notes[field], ())
        if found.shape not in shapes:
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise self.wrong(f"its metadata {field} is {list(found.shape)}, expected {wanted}")
        return found

    def _floats(self, what: str, value: Any, dims: Sequence[int]) -> Array:
        if hasattr(value, "detach"):  # Norse and snnTorch put PyTorch's tensors into graphs in memory
            value = value.detach().cpu().numpy()
        if isinstance(value, list | tuple) and all(isinstance(one, int | float | np.number) for one in value):
            value = np.array(value)
        if not isinstance(value, np.ndarray | np.number | int | float):
            raise self.wrong(f"it has no {what}" if value is None else f"its {what} is no array of numbers")
        found: Array = np.asarray(value)
        if found.dtype.kind not in "fiu" or (dims and found.ndim not in dims):
            raise self.wrong(f"its {what} is {found.dtype} {list(found.shape)}, which it cannot be")
        found = found if found.dtype.kind == "f" and found.dtype.itemsize > 2 else found.astype(np.float32)
        if found.size == 0 or found.size > MOST_VALUES or not np.isfinite(found).all():
            raise self.wrong(f"its {what} {list(found.shape)} is empty, too large, or has numbers that are not finite")
        return found

    def one(self, field: str) -> float:
        """Return a field whose numbers are all the same."""
        values = self.array(field)
        if (values != values.flat[0]).any():
            raise self.wrong(f"its {field} is {values.min():g} to {values.max():g}, and one number is needed")
        return float(values.flat[0])

    def by_channel(self, field: str, sizes: tuple[int, ...], default: float | None = None) -> Array:
        """Return a field of one number per neuron as float64 ``[1, C]``, or ``[1, 1]`` if all are the same."""
        if default is not None and self.fields.get(field) is None:
            return np.full((1, 1), default)
        values = self.array(field).astype(np.float64)
        if values.size == 1 or (values == values.flat[0]).all():
            return values.reshape(-1)[:1, None]
        if values.shape != sizes:
            raise self.wrong(f"its {field} is {list(values.shape)}, and its neurons are {list(sizes)}")
        rows = values.reshape(len(values), -1)
        if (rows != rows[:, :1]).any():
            raise self.wrong(f"its {field} differs within a channel, and only channels may differ")
        return rows[:, 0][None]

    def pair(self, field: str, lowest: int) -> tuple[int, int]:
        """Return a field of one whole number, or of two for height and width."""
        values = self.array(field, 0, 1)
        if values.size not in (1, 2) or (values != np.rint(values)).any() or not lowest <= values.min() <= values.max():
            raise self.wrong(f"its {field} is {values.tolist()}: one or two whole numbers from {lowest} on are needed")
        high, wide = (int(min(one, MOST_VALUES)) for one in np.broadcast_to(values.reshape(-1), 2))
        return high, wide

    def sizes(self, field: str) -> tuple[int, ...]:
        """Return a shape, ``[C, H, W]`` or ``[F]``."""
        values = self.array(field, 1)
        if len(values) not in (1, 3) or (values != np.rint(values)).any() or values.min() < 1:
            raise self.wrong(
                f"its {field} is {values.tolist()}: one step of a sample is [C, H, W] or [F], and no batch"
            )
        return tuple(int(min(one, MOST_VALUES)) for one in values)


def connected(graph: Mapping[str, Any]) -> dict[str, Node]:
    """Return the nodes of a graph by name, each with the nodes that it reads and that read it."""
    named, edges = graph.get("nodes"), graph.get("edges")
    if graph.get("type") != "NIRGraph" or not isinstance(named, Mapping) or not isinstance(edges, list | tuple):
        raise DeployError("it is no NIRGraph of nodes and edges")
    nodes = {str(name): Node(str(name), fields) for name, fields in named.items()}
    for node in nodes.values():
        if node.type not in SUPPORTED:
            raise node.wrong(f"the library has no such part, but {', '.join(SUPPORTED)}")
    for edge in edges:
        if not isinstance(edge, list | tuple) or len(edge) != 2 or not {*map(str, edge)} <= nodes.keys():
            raise DeployError(f"an edge is {edge!r:.80}: it joins two nodes by their names")
        one, other = map(str, edge)
        nodes[one].read_by.append(other)
        nodes[other].reads.append(one)
    return nodes


def feedback(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Remove the soft resets, LI or I, Threshold, and Scale back; return the Scales by the name of the Threshold."""
    found = {}
    for scale in [node for node in nodes.values() if node.type == "Scale"]:
        if len(scale.reads) != 1 or len(scale.read_by) != 1:
            continue
        fires, membrane = nodes[scale.reads[0]], nodes[scale.read_by[0]]
        if fires.type == "Threshold" and membrane.type in ("LI", "I") and fires.reads == [membrane.name]:
            if fires.name in found:
                raise fires.wrong("two feedbacks reset it, and one can")
            found[fires.name] = scale
            fires.read_by.remove(scale.name)
            membrane.reads.remove(scale.name)
    return found


def in_order(nodes: Mapping[str, Node], last: str, done: Callable[[Node], None]) -> None:
    """Call a function on every node that leads to the last, each after the nodes that it reads."""
    waiting, open_, closed = [last], set[str](), set[str]()
    while waiting:
        name = waiting[-1]
        if name in closed or (name in open_ and all(read in closed for read in nodes[name].reads)):
            waiting.pop()
            if name not in closed:
                closed.add(name)
                done(nodes[name])
            continue
        if name in open_:
            raise nodes[name].wrong("a loop leads back to it that is no soft reset: LI, Threshold, Scale, LI")
        open_.add(name)
        waiting += [read for read in reversed(nodes[name].reads) if read not in closed]


def padding_of(
    node: Node, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    """Return the padding of a convolution in rows and columns."""
    kind = node.fields.get("padding")
    if not isinstance(kind, str):
        return node.pair("padding", 0)
    high, wide = (step * (size - 1) for step, size in zip(dilation, kernel, strict=True))
    if kind == "valid":
        return 0, 0
    if kind != "same" or stride != (1, 1) or high % 2 or wide % 2:
        raise node.wrong(f"its padding is {kind!r:.20}, which is not the same on both sides")
    return high // 2, wide // 2
