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

A graph of this library gives its description back bit for bit; graphs of other frameworks are read too.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import safetensors.numpy

from bntt.deploy.description import (
    MOST_VALUES,
    Array,
    BundleError,
    DeployError,
    Description,
    Encoder,
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
    typed,
)
from bntt.deploy.nir import hdf5
from bntt.io.files import parse_json, read_file, write_whole
from bntt.io.memory import environment

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


def write(description: Description, path: Path) -> None:
    """Write :func:`build`'s graph into a file, whole or not at all."""
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


MOST_NODES = 10_000
NEAR = 1e-6
"""Relative error of numbers that other programs round to float32."""


def from_nir(
    source: str | Path | nir.NIRGraph, *, encoder: Encoder | None = None, classes: Sequence[str] = (), dt: float = DT
) -> Description:
    """Return a network from a NIR graph: convolutions, linear maps, poolings, IF and LIF neurons, and their sums.

    A graph that :func:`~bntt.deploy.export` wrote gives its description back, bit for bit. Any other graph is one step
    of a network, and ``encoder`` sets the number of steps; the mean of the graph's Output over them is the logits.
    Neurons with a hard reset are LIF and IF; with a soft reset, LI or I, a Threshold and a Scale back. Unsupported
    nodes are refused by name.

    Args:
        source: a file, which is opened in a separate process; or a graph in memory.
        encoder: replaces the graph's; other frameworks' graphs have none: ``Encoder("direct", num_steps=8)``.
        classes: names of the classes; by default the graph's, or their numbers if it has none.
        dt: duration of a step in seconds: λ = 1 - dt / τ.

    Raises:
        BundleError: if the file is missing, damaged, hostile or no NIR graph.
        DeployError: naming an unsupported node, and why; or if no encoder is known.

    >>> import tempfile, bntt
    >>> from bntt import deploy
    >>> path = Path(tempfile.mkdtemp()) / "clothes.nir"
    >>> made = deploy.export(bntt.models.pretrained(), path, "nir")
    >>> deploy.Runtime(from_nir(path)).num_steps
    8
    """
    require(0 < dt < np.inf, f"dt must be seconds of a step, above 0, got {dt}")
    if not isinstance(source, str | Path):
        return described(source.to_dict(), encoder, tuple(classes), dt)
    with named(str(source)):
        return described(read(Path(source)), encoder, tuple(classes), dt)


def read(path: Path) -> dict[str, Any]:
    """Return a file's graph as ``nir.NIRGraph.to_dict`` has it; another process opens it, for HDF5 can crash."""
    installed = importlib.util.find_spec("nir") is not None
    require(installed, 'NIR files are read with nir, which is not installed: pip install "bntt[nir]"')
    payload = read_file(path, hdf5.MOST_BYTES, BundleError)
    here = environment(OPENBLAS_NUM_THREADS="1", HDF5_PLUGIN_PRELOAD="::")  # HDF5's word for: no plugins
    command = [sys.executable, "-P", str(hdf5.__file__)]
    try:
        told = subprocess.run(command, input=payload, capture_output=True, env=here, timeout=hdf5.SECONDS)
        if told.returncode == 0:
            return unpacked(told.stdout)
        said = (told.stderr.decode("utf-8", "replace").strip().splitlines() or ["for no known reason"])[-1]
        if told.returncode < 0:
            said = f"HDF5 crashed on it ({signal.Signals(-told.returncode).name})"
    except subprocess.TimeoutExpired as error:
        said = f"it took more than {error.timeout} seconds"
    raise BundleError(f"{path} cannot be read as a NIR graph: {said}")


def unpacked(packed: bytes) -> dict[str, Any]:
    """Return the graph that :func:`~bntt.deploy.nir.hdf5.packed` wrote."""
    arrays = safetensors.numpy.load(packed)
    head = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    graph: dict[str, Any] = json.loads(
        head["__metadata__"]["graph"],
        object_hook=lambda table: arrays[table[hdf5.ARRAY]] if hdf5.ARRAY in table else table,
    )
    return graph


def described(
    graph: Mapping[str, Any], encoder: Encoder | None = None, classes: tuple[str, ...] = (), dt: float = DT
) -> Description:
    """Describe a graph as ``nir.NIRGraph.to_dict`` has it; see :func:`from_nir`."""
    nodes, notes = connected(graph), graph.get("metadata")
    facts = _facts(str(notes[FACTS])) if isinstance(notes, Mapping) and FACTS in notes else {}
    if (encoder := encoder or facts.get("encoder")) is None:
        raise DeployError("the graph does not say how samples become its input: encoder=Encoder('direct', num_steps=8)")
    reading = _Reading(nodes, typed(Encoder, encoder, place="encoder").num_steps, dt)
    shape, count = reading.network()
    names = classes or facts.get("classes") or tuple(map(str, range(count)))
    return Description(
        tuple(reading.made), encoder, names, shape, facts.get("pictures"), dict(facts.get("provenance", {}))
    )


def _facts(text: str) -> dict[str, Any]:
    """Return the fields of a description that are no nodes."""
    kinds = {kept.name: kept.type for kept in fields(Description) if kept.name in KEPT}
    try:
        tree = parse_json(text)
        fits = isinstance(tree, dict) and tree.keys() == kinds.keys()
        require(fits, f"it has {tree!s:.80}, expected {', '.join(KEPT)}")
        return {name: typed(kind, tree[name], {}, name) for name, kind in kinds.items()}
    except ValueError as error:
        raise DeployError(f"its metadata {FACTS!r} describes no network: {error}") from None


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

    def check(self, fits: Any, why: str) -> None:
        """Refuse the graph, naming this node, unless it fits."""
        require(fits, f"{self.name!r} ({self.type}): {why}")

    def numbers(self, what: str, value: Any, wanted: str, fits: Callable[[Array], Any]) -> Array:
        """Return finite floating point numbers that fit; only arrays and lists of numbers are read."""
        if hasattr(value, "detach"):  # Norse and snnTorch put PyTorch's tensors into graphs in memory
            value = value.detach().cpu().numpy()
        if isinstance(value, list | tuple) and all(isinstance(one, int | float | np.number) for one in value):
            value = np.array(value)
        readable = isinstance(value, np.ndarray | np.number | int | float)
        found: Array = np.asarray(value if readable else type(value).__name__)
        finite = found.dtype.kind in "fiu" and 0 < found.size <= MOST_VALUES and np.isfinite(found).all()
        told = f"{found.tolist()!r:.80}" if found.size < 5 else f"{found.dtype} {list(found.shape)}"
        self.check(finite and fits(found), f"its {what} is {told}, expected {wanted}, all finite")
        return found if found.dtype.kind == "f" and found.dtype.itemsize > 2 else found.astype(np.float32)

    def array(self, field: str, dims: int) -> Array:
        """Return a field of numbers in so many dimensions."""
        return self.numbers(field, self.fields.get(field), f"numbers in {dims} dimensions", lambda v: v.ndim == dims)

    def note(self, field: str, *shapes: tuple[int, ...]) -> Array | None:
        """Return an array of its metadata, which has one of these shapes; None: it has none of this name."""
        if field not in self.notes:
            return None
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        return self.numbers(f"metadata {field}", self.notes[field], wanted, lambda v: v.shape in shapes)

    def by_channel(self, field: str, sizes: tuple[int, ...] = ()) -> Array:
        """Return a field of one number per neuron as float64 ``[1, C]``, or ``[1, 1]`` if all are the same."""

        def fits(v: Array) -> bool:
            rows = v.reshape(len(v), -1) if v.shape == sizes != () else v.reshape(1, -1)
            return bool((rows == rows[:, :1]).all())

        wanted = f"one number{f' for all neurons, or for each channel of {list(sizes)}' if sizes else ''}"
        values = self.numbers(field, self.fields.get(field), wanted, fits).astype(np.float64)
        same = values.size == 1 or (values == values.flat[0]).all()
        return values.reshape(1 if same else len(values), -1)[:, 0][None]

    def whole(self, field: str, wanted: str, sizes: Sequence[int], lowest: int = 1) -> tuple[int, ...]:
        """Return a field of so many whole numbers, none below the lowest."""

        def fits(v: Array) -> Any:
            return v.ndim < 2 and v.size in sizes and (v == np.rint(v)).all() and v.min() >= lowest

        values = self.numbers(field, self.fields.get(field), wanted, fits)
        return tuple(int(min(one, MOST_VALUES)) for one in values.reshape(-1))

    def pair(self, field: str, lowest: int = 1) -> tuple[int, int]:
        """Return a field of one whole number, or of two for height and width."""
        values = self.whole(field, f"one or two whole numbers from {lowest} on", (1, 2), lowest)
        return values[0], values[-1]

    def table(self, what: str, held: Array, *shapes: tuple[int, ...]) -> Array:
        """Return a table of its metadata, whose median must be what the node holds; this alone if it has none."""
        noted = self.note(what, *shapes)
        fits = noted is None or np.allclose(np.median(noted, 0), held, NEAR, 1e-12)
        self.check(fits, f"its metadata {what} and its numbers differ: one of them was changed elsewhere")
        return (held if noted is None else noted).astype(np.float64)


def connected(graph: Mapping[str, Any]) -> dict[str, Node]:
    """Return the nodes of a graph by name, each with the nodes that it reads and that read it."""
    named, edges = graph.get("nodes"), graph.get("edges")
    whole = graph.get("type") == "NIRGraph" and isinstance(named, Mapping) and isinstance(edges, list | tuple)
    require(whole, "it is no NIRGraph of nodes and edges")
    nodes = {str(name): Node(str(name), fields) for name, fields in named.items()}  # type: ignore[union-attr]
    supported = ["Input", "Output", *TAKES]
    for node in nodes.values():
        node.check(node.type in supported, f"the library has no such part, but {', '.join(supported)}")
    for edge in edges:  # type: ignore[union-attr]
        fits = isinstance(edge, list | tuple) and len(edge) == 2 and {*map(str, edge)} <= nodes.keys()
        require(fits, f"an edge is {edge!r:.80}: it joins two nodes by their names")
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
            fires.check(fires.name not in found, "two feedbacks reset it, and one can")
            found[fires.name] = scale
            fires.read_by.remove(scale.name)
            membrane.reads.remove(scale.name)
    return found


def in_order(nodes: Mapping[str, Node], last: str) -> Iterable[Node]:
    """Return the nodes that lead to the last, each after the nodes that it reads."""
    found, begun, ahead = dict[str, Node](), set[str](), [last]
    while ahead:
        name = ahead.pop()
        if not (left := [read for read in reversed(nodes[name].reads) if read not in found]):
            found[name] = nodes[name]
            continue
        nodes[name].check(name not in begun, "a loop leads back to it that is no soft reset: LI, Threshold, Scale, LI")
        begun.add(name)
        ahead += [name, *left]
    return found.values()


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
    fits = kind == "same" and stride == (1, 1) and not (high % 2 or wide % 2)
    node.check(fits, f"its padding is {kind!r:.20}, which is not the same on both sides")
    return high // 2, wide // 2


@dataclass(frozen=True, eq=False)
class Draft(Layer):
    """A layer while its nodes are read; scale and shift may be ``[1, 1]``. Without a name: the node that it reads."""

    shape: Shape = (1, 1, 1)
    flat: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Shape of the output, ``[C, H, W]`` or ``[F]``."""
        return (math.prod(self.shape),) if self.flat else self.shape

    def add(self, node: Node, **changed: Any) -> Draft:
        """Return it with a node of its layer; the first one names it."""
        return replace(self, name=self.name or node.layer or node.name, **changed)


def empty(reads: int, shape: Shape, flat: bool) -> Draft:
    """Return the draft of a node that is read."""
    return Draft("", reads, np.ones((1, 1)), np.zeros((1, 1)), shape=shape, flat=flat)


class _Reading:
    """The nodes of a description, as the graph's are read in order: one for each, or for all that name one layer."""

    def __init__(self, nodes: dict[str, Node], steps: int, dt: float) -> None:
        self.nodes, self.steps, self.dt = nodes, steps, dt
        self.made: list[Layer | Sum] = []
        self.resets, self.drafts = feedback(nodes), dict[str, Draft]()

    def network(self) -> tuple[tuple[int, ...], int]:
        """Read all nodes; return the shape of the input and the number of classes."""
        ins, outs = ([node for node in self.nodes.values() if node.type == kind] for kind in ("Input", "Output"))
        fits = len(ins) == len(outs) == 1 == len(outs[0].reads) and len(self.nodes) <= MOST_NODES
        needed = f"one input, one output that one node leads to, and at most {MOST_NODES:,} nodes"
        require(fits, f"{len(ins)} inputs, {len(outs)} outputs, {len(self.nodes)} nodes: a graph has {needed}")
        shape = ins[0].whole("shape", "one step of a sample, [C, H, W] or [F], and no batch", (1, 3))
        for node in in_order(self.nodes, outs[0].name):
            if node.type == "Input":
                draft = empty(-1, (shape[0], *(shape[1:] or (1, 1))), len(shape) == 1)  # type: ignore[arg-type]
            elif node.type == "Output":
                break
            else:
                node.check(node.reads, "nothing leads to it")
                draft = TAKES[node.type](self, node, self.begun(node, [self.drafts[name] for name in node.reads]))
            self.drafts[node.name] = draft if len(node.read_by) < 2 else self.closed(draft)
        beside = {scale.name for scale in self.resets.values()}
        for node in self.nodes.values():
            node.check(node.name in {*self.drafts, *beside, outs[0].name}, "it leads to no output")
        return shape, self.closed(self.drafts[outs[0].reads[0]]).shape[0]

    def begun(self, node: Node, read: Sequence[Draft]) -> Draft:
        """Return the draft that a node is added to: that of its layer, or a new one."""
        if len(read) > 1:
            return self.added(node, read)
        (draft,), before = read, self.nodes[node.reads[0]].type
        pair = node.type == "Delay" or (node.type == "Threshold" and before in ("LI", "I"))
        same = node.layer and node.layer == draft.name and (draft.neurons is None or node.part == "after")
        return draft if pair or same else self.closed(draft)

    def added(self, node: Node, read: Sequence[Draft]) -> Draft:
        """Add up several nodes, two by two."""
        total, *more = (self.closed(draft) for draft in read)
        own = node.layer if node.part == "sum" else f"{node.name}.sum"
        for number, one in enumerate(more):
            name = own if number == len(more) - 1 else f"{own}{number + 1}"
            self.made.append(Sum(name, (total.reads, one.reads)))
            node.check(one.shape == total.shape, f"it adds up {list(total.shape)} and {list(one.shape)}")
            total = empty(len(self.made) - 1, total.shape, total.flat)
        return total

    def closed(self, draft: Draft) -> Draft:
        """Append a layer whose nodes are all read, and return the draft that reads it."""
        if not draft.name:
            return draft
        size = self.steps, draft.shape[0]
        fits = math.prod(size) <= MOST_VALUES
        require(fits, f"{draft.name!r}: a network has fewer than {size[0]} steps of {size[1]} channels")
        scale, shift = (np.array(np.broadcast_to(table, size)) for table in (draft.scale, draft.shift))
        kept = {one.name: getattr(draft, one.name) for one in fields(Layer)}
        self.made.append(Layer(**kept | {"scale": scale, "shift": shift}))
        return empty(len(self.made) - 1, draft.shape, draft.flat)

    def convolution(self, node: Node, draft: Draft) -> Draft:
        """Take a Conv2d: weights, or a norm."""
        values, bias = node.array("weight", 4), node.array("bias", 1)
        if node.part == "norm":
            return self.normalised(node, draft, values[..., 0, 0], bias)
        node.check(not draft.flat, "it reads features, and a convolution needs an image")
        stride, dilation = node.pair("stride"), node.pair("dilation")
        padding = padding_of(node, values.shape[2:], stride, dilation)
        kept = bias.astype(values.dtype) if bias.any() else None
        return self.weighed(node, draft, Weights(values, kept, stride, padding, dilation, node.pair("groups")[0]))

    def linear(self, node: Node, draft: Draft) -> Draft:
        """Take a Linear or an Affine: weights, or a norm."""
        values, bias = node.array("weight", 2), node.array("bias", 1) if node.type == "Affine" else None
        if node.part == "norm" and bias is not None:
            return self.normalised(node, draft, values, bias)
        node.check(draft.flat, "it reads an image: a Flatten must stand before it")
        return self.weighed(node, draft, Weights(values, None if bias is None else bias.astype(values.dtype)))

    def weighed(self, node: Node, draft: Draft, weights: Weights) -> Draft:
        """Add weights to a layer."""
        node.check(draft.weights is None, f"the layer {draft.name!r} has weights already")
        with named(node.name):
            shape = weights.shape(draft.shape)
        return draft.add(node, weights=weights, shape=shape, flat=not weights.is_convolution)

    def normalised(self, node: Node, draft: Draft, matrix: Array, shift: Array) -> Draft:
        """Add a norm of :func:`~bntt.deploy.export`: a diagonal map, and its tables if they change over time."""
        width, scale = draft.shape[0], np.diagonal(matrix)
        fits = matrix.shape == (width, width) and shift.shape == (width,) and (matrix == np.diag(scale)).all()
        node.check(fits, "its metadata call it a norm, but it does not scale each channel by one number")
        scale, shift = (
            node.table(what, values[None], (self.steps, width)) for what, values in (("scale", scale), ("shift", shift))
        )
        driven = node.note("driven", (2,))
        first, last = (0, 0) if driven is None else map(int, driven)
        gamma = node.note("gamma", (self.steps,))
        return draft.add(node, scale=scale, shift=shift, gamma=gamma, driven=(first, last))

    def scaling(self, node: Node, draft: Draft) -> Draft:
        """Take a Scale by channel; one by 1 is none."""
        factor = node.by_channel("scale", draft.sizes)
        return draft if (factor == 1).all() else draft.add(node, scale=draft.scale * factor, shift=draft.shift * factor)

    def flattening(self, node: Node, draft: Draft) -> Draft:
        """Take a Flatten of the whole image."""
        first, last, dims = node.fields.get("start_dim"), node.fields.get("end_dim"), len(draft.sizes)
        fits = first in (0, -dims) and last in (-1, dims - 1)
        node.check(fits, f"it flattens from {first} to {last}: all of {dims} dimensions must be, from 0 to -1")
        return replace(draft, name=draft.name or node.layer, flat=True)

    def pooling(self, node: Node, draft: Draft) -> Draft:
        """Take an AvgPool2d or a SumPool2d; of a layer of ours, the latter is max pooling of spikes."""
        size, stride, padding = node.pair("kernel_size"), node.pair("stride"), node.pair("padding", 0)
        fits = stride == size and padding == (0, 0) and not draft.flat
        node.check(fits, f"it pools {size} by steps of {stride}, padded by {padding}: windows must be adjacent")
        sums, largest = node.type == "SumPool2d", node.type == "SumPool2d" and node.part != ""
        pool, where = Pool("max" if largest else "average", size), "after" if node.part == "after" else "before"
        factor = float(math.prod(size)) if sums and not largest else 1.0
        pools = {where: (*getattr(draft, where), pool)}
        return draft.add(node, shape=pool.shape(draft.shape), scale=draft.scale * factor, **pools)

    def threshold(self, node: Node, draft: Draft) -> Draft:
        """Take a Threshold: of a membrane that it resets, of a sum of spikes in a layer of ours, or of any current."""
        before = self.nodes[node.reads[0]]
        held = node.by_channel("threshold", draft.sizes)
        if node.part and before.type == "SumPool2d" and before.layer == node.layer:
            node.check((held == 0.5).all(), "after a SumPool2d of spikes its threshold is 0.5")
            return draft
        if before.type not in ("LI", "I"):
            node.check((held > 0).all(), "its threshold must be above 0, or it fires at rest")
            return draft.add(node, neurons=Neurons(np.zeros((1, 1)), held, "after", "hard"))
        node.check(node.name in self.resets, "a Scale must lead from it back to the LI or I before it")
        back = self.resets[node.name]
        draft = self.fired(before, node, draft, "soft")
        assert draft.neurons is not None
        delayed = any(self.nodes[name].type == "Delay" for name in node.read_by)
        taken = draft.neurons.threshold * (1 if delayed else draft.neurons.leak) / self.received(before, draft)
        led, what = (
            back.by_channel("scale", draft.sizes),
            "threshold, as a Delay follows" if delayed else "leak times its threshold",
        )
        expected = f"expected minus its {what}, over the gain of {before.name}: {-taken.flat[0]:g}"
        back.check(np.allclose(led, -taken, NEAR, 1e-12), f"it leads back {led.flat[0]:g}, {expected}")
        return draft

    def membrane(self, node: Node, draft: Draft) -> Draft:
        """Take an LI or I: the Threshold after it completes the neurons."""
        fits = [self.nodes[name].type for name in node.read_by] == ["Threshold"]
        node.check(fits, "a Threshold must follow it, and reset it through a Scale: the library has no other use")
        return draft.add(node)

    def firing(self, node: Node, draft: Draft) -> Draft:
        """Take an LIF or IF."""
        fits = node.fields.get("v_reset") is None or not node.by_channel("v_reset", draft.sizes).any()
        node.check(fits, "its v_reset is not 0, to which the library's neurons reset")
        return self.fired(node, node, draft, "hard")

    def fired(self, node: Node, fires: Node, draft: Draft, reset: Literal["soft", "hard"]) -> Draft:
        """Add neurons: one node, or a membrane and the node that fires."""
        leak = np.ones((1, 1))
        if node.type in ("LIF", "LI"):
            tau, rest, dt = node.by_channel("tau", draft.sizes), node.by_channel("v_leak", draft.sizes), self.dt
            fits = not rest.any() and (tau >= dt * (1 - NEAR)).all()
            node.check(fits, f"its v_leak must be 0 and its tau at least dt = {dt:g}, a smaller one has no Euler step")
            leak = np.maximum(0.0, 1 - dt / tau)
        gain = self.received(node, draft)
        held = fires.by_channel("threshold" if fires.type == "Threshold" else "v_threshold", draft.sizes)
        leak, threshold = (
            node.table(what, table, (1, 1), (1, draft.shape[0]))
            for what, table in (("leak", leak), ("threshold", held))
        )
        fires.check((threshold > 0).all(), "its threshold must be above 0, or it fires at rest")
        gain = np.ones((1, 1)) if np.allclose(gain, 1, NEAR, 0) else gain
        neurons = Neurons(leak, threshold, "after", reset)
        return draft.add(node, neurons=neurons, scale=draft.scale * gain, shift=draft.shift * gain)

    def received(self, node: Node, draft: Draft) -> Array:
        """Return a membrane's gain for all its inputs, feedback included: ``r dt / tau``, or ``r dt`` if none leaks."""
        gain: Array = node.by_channel("r", draft.sizes) * self.dt
        return gain / node.by_channel("tau", draft.sizes) if node.type in ("LIF", "LI") else gain

    def delay(self, node: Node, draft: Draft) -> Draft:
        """Take a Delay of one step after neurons: their spikes leave a step later."""
        before = self.nodes[node.reads[0]].type
        neurons, one = draft.neurons, np.isclose(node.by_channel("delay"), self.dt, NEAR, 0).all()
        fits = one and before in ("LIF", "IF", "Threshold") and len(node.reads) == 1
        node.check(
            fits and neurons and neurons.rule != "before", f"it must delay neurons by one step, {self.dt:g} s, once"
        )
        return replace(draft, neurons=replace(neurons, rule="before"))  # type: ignore[type-var]


TAKES: dict[str, Callable[[_Reading, Node, Draft], Draft]] = {
    "Conv2d": _Reading.convolution,
    "Linear": _Reading.linear,
    "Affine": _Reading.linear,
    "Scale": _Reading.scaling,
    "Flatten": _Reading.flattening,
    "AvgPool2d": _Reading.pooling,
    "SumPool2d": _Reading.pooling,
    "Threshold": _Reading.threshold,
    "LI": _Reading.membrane,
    "I": _Reading.membrane,
    "LIF": _Reading.firing,
    "IF": _Reading.firing,
    "Delay": _Reading.delay,
}
