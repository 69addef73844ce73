"""A trained network in evaluation mode as plain data: NumPy arrays, no PyTorch. Every export starts from it.

A network is a list of nodes. In each of T steps, a node reads the output of an earlier node, or of the encoder, ``-1``:

- a :class:`Layer` computes ``y = W * pool(x)``, ``z = scale[t] y + shift[t]``, fires, and pools its spikes;
- a :class:`Sum` adds the outputs of two nodes, for residual connections.

The last node is the readout, a layer whose ``z`` (or spikes, if it has neurons) is summed over time; logits are
the sum so far divided by the steps so far. Images are ``[C, H, W]`` everywhere, features ``[F, 1, 1]``.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""NumPy's own class, because reading a bundle compares types with it: from NumPy 2.5 on ``NDArray`` is not a class."""
Shape = tuple[int, int, int]
"""``[C, H, W]``; for features ``[F, 1, 1]``."""
MOST_VALUES = 1 << 26
"""Most values of one sample in all nodes together: a larger network is a mistake, or an attack."""
LARGEST = 1 << 31
"""No whole number reaches this."""
Steps = Annotated[int, range(1, (1 << 20) + 1)]
Positive = Annotated[int, range(1, LARGEST)]
Natural = Annotated[int, range(LARGEST)]
Place = Annotated[int, range(-1, LARGEST)]


class DeployError(ValueError):
    """A network that a target cannot represent, or a description that is not a valid network."""


class BundleError(RuntimeError):
    """A bundle that cannot be read: missing, damaged, or of another format."""


def require(fits: Any, why: str) -> None:
    """Raise a DeployError unless it fits."""
    if not fits:
        raise DeployError(why)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Name the node in an error."""
    try:
        yield
    except DeployError as error:
        raise DeployError(f"{name!r}: {error}") from None


@dataclass(frozen=True)
class Pool:
    """Pooling over adjacent whole windows without padding; rows and columns left over at the end are ignored."""

    kind: Literal["average", "max"]
    size: tuple[Positive, Positive]
    """Height and width of a window."""

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the pooled image."""
        return image[0], image[1] // self.size[0], image[2] // self.size[1]


@dataclass(frozen=True, eq=False)
class Weights:
    """A convolution, or a fully connected layer, which reads its input flattened in C, H, W order."""

    values: Array
    """``[Cout, Cin / groups, kh, kw]``; fully connected ``[Cout, F]``."""
    bias: Array | None = None
    """``[Cout]``."""
    stride: tuple[Positive, Positive] = (1, 1)
    padding: tuple[Natural, Natural] = (0, 0)
    """Rows of zeros above and below, and columns of zeros on the left and right."""
    dilation: tuple[Positive, Positive] = (1, 1)
    groups: Positive = 1

    @property
    def is_convolution(self) -> bool:
        return self.values.ndim == 4

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the current."""
        sizes, groups = self.values.shape, self.groups
        convolves = self.is_convolution and self.values.size and not sizes[0] % groups
        fits = (convolves and image[0] == sizes[1] * groups) or (len(sizes) == 2 and sizes[1] == math.prod(image))
        require(fits, f"its weights {list(sizes)} in {groups} groups do not fit {list(image)}")
        if not convolves:
            return sizes[0], 1, 1
        axes = zip(image[1:], sizes[2:], self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (
            (size + 2 * pad - step * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, pad, step in axes
        )
        return sizes[0], rows, columns


@dataclass(frozen=True, eq=False)
class Neurons:
    """Leaky integrate-and-fire neurons; a table is ``[T or 1, C or 1]``.

    ``rule="after"``: ``m = leak u + z, o = [m > threshold], u' = reset(m, o)``; ``"before"``:
    ``o = [u > threshold], u' = reset(leak u, o) + z``. A "soft" reset is ``m - amount o``, a "hard" one ``m (1 - o)``.
    """

    leak: Array
    threshold: Array
    rule: Literal["after", "before"] = "after"
    reset: Literal["soft", "hard"] = "soft"
    amount: Array | None = None
    """What a soft reset subtracts; None: the threshold. Only folded neurons have another."""
    turned: Array | None = None
    """True where the neuron fires *below* its threshold; None: nowhere. Only folded neurons are turned."""

    @property
    def is_plain(self) -> bool:
        """True if threshold and leak are the same in every step: neurons that no norm was folded into."""
        return self.amount is None and self.turned is None and len(self.leak) == len(self.threshold) == 1

    def tables(self) -> dict[str, Array]:
        """Return λ, the sign (-1 where it is turned), sign times θ, and what a soft reset subtracts."""
        sign = np.ones((1, 1)) if self.turned is None else np.where(self.turned, -1.0, 1.0)
        amount = self.threshold if self.amount is None else self.amount
        return {"leak": self.leak, "sign": sign, "threshold": sign * self.threshold, "amount": amount}


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights, affine map and neurons; weights or neurons may be missing."""

    name: str
    """Its name in the network: ``conv1``, ``block3.conv2``."""
    reads: Place
    """The node whose output it reads; -1 is the encoder's."""
    scale: Array
    """a, ``[T, C]``."""
    shift: Array
    """b, ``[T, C]``."""
    weights: Weights | None = None
    """None: its current is its input."""
    neurons: Neurons | None = None
    """None: a current that is added to another node's; in the readout, a voltage that is summed over time."""
    before: tuple[Pool, ...] = ()
    """Pooling of its input."""
    after: tuple[Pool, ...] = ()
    """Pooling of the spikes, or of the current if there are no neurons; its output is not made into spikes."""
    gamma: Array | None = None
    """Mean |γ| over the channels, ``[T]``, which the exit by threshold reads; None: it has no γ per step."""
    driven: tuple[Natural, Natural] = (0, 0)
    """The first step whose γ has a path to the readout, and one more than the last."""

    def shapes(self, image: Shape) -> tuple[Shape, Shape, int]:
        """Return the shape of its neurons, that of its output, and the number of values that it computes."""
        for pool in self.before:
            image = pool.shape(image)
        neurons, values = image, 0
        if self.weights is not None:
            neurons = self.weights.shape(image)
            if self.weights.is_convolution:
                (rows, columns), (channels, height, width) = self.weights.padding, image
                values = channels * (height + 2 * rows) * (width + 2 * columns)
        out = neurons
        for pool in self.after:
            out = pool.shape(out)
        return neurons, out, values + max(1, math.prod(neurons))

    def check(self, steps: int, channels: int) -> None:
        """Refuse tables that do not fit its neurons, and numbers that are not finite."""
        weights, neurons = self.weights, self.neurons
        fits = self.driven[0] <= self.driven[1] <= steps
        require(fits, f"the steps {self.driven} are driven, of {steps}")
        tables: list[tuple[str, Array | None, list[tuple[int, ...]]]] = [
            ("scale", self.scale, [(steps, channels)]),
            ("shift", self.shift, [(steps, channels)]),
            ("gamma", self.gamma, [(steps,)]),
        ]
        if weights is not None:
            sizes = weights.values.shape
            tables += [("weights", weights.values, [sizes]), ("bias", weights.bias, [sizes[:1]])]
        if neurons is not None:
            shapes: list[tuple[int, ...]] = [(rows, columns) for rows in {1, steps} for columns in {1, channels}]
            tables += [(what, getattr(neurons, what), shapes) for what in ("leak", "threshold", "amount", "turned")]
        for what, table, shapes in tables:
            if table is not None:
                wanted = " or ".join(str(list(shape)) for shape in shapes)
                fits = table.shape in shapes and table.dtype.kind == ("b" if what == "turned" else "f")
                require(fits, f"its {what} is {table.dtype} {list(table.shape)}, expected {wanted}")
                require(np.isfinite(table).all(), f"its {what} has numbers that are not finite")
        sound = neurons is None or (neurons.tables()["threshold"] > 0).all()
        require(sound, "its neurons would fire at rest: a threshold is above 0, or below 0 where it is turned")


@dataclass(frozen=True)
class Sum:
    """Sum of two nodes' outputs."""

    name: str
    reads: tuple[Place, Place]

    def shapes(self, one: Shape, other: Shape) -> tuple[Shape, Shape, int]:
        """Return the shape of the sum twice, and the number of its values, as :meth:`Layer.shapes` does."""
        require(one == other, f"it adds up {list(one)} and {list(other)}: one shape is needed")
        return one, one, math.prod(one)


Node = Layer | Sum


def inputs(node: Node) -> tuple[int, ...]:
    """Return the nodes that a node reads."""
    return node.reads if isinstance(node, Sum) else (node.reads,)


EncoderKind = Literal["poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence"]
ORDERS = ("", "pixels", "rows", "permuted")


@dataclass(frozen=True)
class Encoder:
    """How a sample becomes the input in each of T steps; it is normalised first, ``x = (pixels - mean) / std``.

    ========================== =====================================================================================
    poisson, poisson-unsigned  spikes ``sign(x) [2r ≤ |x|]``, or ``[r < x]``; r of (seed, draw, index, t, position)
    direct                     x at every step
    expected, -unsigned        ``clip(x / 2, -1, 1)``, or x, at every step
    frames, sequence           step t of the sample ``[T, ...]``
    ========================== =====================================================================================

    >>> Encoder("direct", num_steps=8).mean
    ()
    """

    kind: EncoderKind
    """One of the names above."""
    num_steps: Steps
    """T."""
    mean: tuple[float, ...] = ()
    """One number per channel or feature, or one for all; (): nothing is subtracted."""
    std: tuple[float, ...] = ()
    """As many numbers as ``mean``; (): values are not divided."""


@dataclass(frozen=True)
class Pictures:
    """How an image file becomes a sample.

    >>> Pictures((1, 28, 28)).fit
    'stretch'
    """

    shape: tuple[Positive, Positive, Positive]
    """``[C, H, W]``; C is 1 (gray) or 3 (RGB)."""
    fit: Literal["crop", "pad", "stretch"] = "stretch"
    """How to reach that size: cut, add black borders, or scale each axis."""
    order: str = ""
    """The order of its pixels as a sequence, "pixels", "rows" or "permuted"; "": it stays an image."""

    @property
    def given(self) -> tuple[int, ...]:
        """Shape of what a picture becomes: the image, or the steps of a sequence ``[T, F]``."""
        channels, height, width = self.shape
        if self.order == "rows":
            return height, channels * width
        return (height * width, channels) if self.order else self.shape


@dataclass(frozen=True, eq=False)
class Description:
    """A trained network in evaluation, as arrays: what bundles, ONNX and NIR files are made from.

    Raises:
        DeployError: if its parts do not fit together; the message names the part.

    >>> import numpy as np
    >>> from bntt.deploy.description import Neurons, Weights
    >>> ones = np.ones((2, 3))
    >>> fc1 = Layer("fc1", -1, ones, 0 * ones, Weights(np.ones((3, 4))), Neurons(ones[:1, :1] / 2, ones[:1, :1]))
    >>> readout = Layer("readout", 0, ones, 0 * ones, Weights(np.ones((3, 3))))
    >>> Description((fc1, readout), Encoder("direct", 2), ("a", "b", "c"), (1, 2, 2)).shapes
    (((3, 1, 1), (3, 1, 1)), ((3, 1, 1), (3, 1, 1)))
    """

    nodes: tuple[Node, ...]
    """In an order in which each reads only earlier ones; the last is the readout."""
    encoder: Encoder
    """How a sample becomes the input."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    input_shape: tuple[Positive, ...]
    """Shape of one step of one sample: ``[C, H, W]`` or ``[F]``."""
    pictures: Pictures | None = None
    """How an image file becomes a sample; None: unknown."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Recipe, run, epoch, commit, dataset: what is known, by name."""

    def __post_init__(self) -> None:
        typed(Description, self)
        sizes = self.input_shape
        require(len(sizes) in (1, 3), f"one step of a sample is [C, H, W] or [F], got {list(sizes)}")
        mean, std = self.encoder.mean, self.encoder.std
        wanted = f"one number or {sizes[0]} each, and std above 0"
        fits = len(mean) == len(std) and len(mean) in (0, 1, sizes[0]) and min(std, default=1) > 0
        require(fits, f"mean and std must have {wanted}, got {mean} and {std}")
        last = self.nodes[-1] if self.nodes else None
        fits = isinstance(last, Layer) and not last.after
        require(fits, "a network ends in a readout, a layer with no pooling after it")
        names = [node.name for node in self.nodes]
        require(len({*names}) == len(names), f"nodes need a name each, got {names}")
        for node, (neurons, _) in zip(self.nodes, self.shapes, strict=True):
            with named(node.name):
                if isinstance(node, Layer):
                    node.check(self.num_steps, neurons[0])
        out = list(self.shapes[-1][1])
        fits = out == [len(self.classes), 1, 1]
        require(fits, f"the readout gives {out}, and {len(self.classes)} classes are named")
        if self.pictures is None:
            return
        image, given = self.pictures.shape, self.pictures.given
        fits = image[0] in (1, 3) and math.prod(image) <= MOST_VALUES and self.pictures.order in ORDERS
        orders = ", ".join(ORDERS[1:])
        require(fits, f"pictures are [1 or 3, H, W], in an order of {orders}, or none, got {self.pictures}")
        taken = f"{list(sizes)} in each of {self.num_steps} steps"
        fits = given in (sizes, (self.num_steps, *sizes))
        require(fits, f"pictures become {list(given)}, and the network takes {taken}")

    @property
    def num_steps(self) -> int:
        """T."""
        return self.encoder.num_steps

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The nodes that are layers, the readout last."""
        return tuple(node for node in self.nodes if isinstance(node, Layer))

    @property
    def image(self) -> Shape:
        """The shape of the network's input in one step, features as ``[F, 1, 1]``."""
        sizes = (*self.input_shape, 1, 1)
        return sizes[0], sizes[1], sizes[2]

    @cached_property
    def shapes(self) -> tuple[tuple[Shape, Shape], ...]:
        """For every node, the shape of its neurons (or of its current), and that of its output.

        Raises:
            DeployError: if a node does not fit what it reads.
        """
        found, values = list[tuple[Shape, Shape]](), math.prod(self.image)
        for place, node in enumerate(self.nodes):
            with named(node.name):
                reads = inputs(node)
                fits = max(reads) < place
                require(fits, f"it reads nodes {list(reads)}, and is node {place}: it can read those before it")
                neurons, out, more = node.shapes(*(found[read][1] if read >= 0 else self.image for read in reads))
                values += more
                told = f"{list(neurons)}, its output {list(out)}, and all values up to it {values:,}"
                fits = min(*neurons, *out) >= 1 and values <= MOST_VALUES
                require(fits, f"its neurons would be {told}, of at most {MOST_VALUES:,}")
            found.append((neurons, out))
        return tuple(found)


def to_tree(value: Any, arrays: dict[str, Array], place: str = "") -> Any:
    """Return a record without fields at their defaults; arrays go into ``arrays``, and their names stand for them."""
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return place
    if isinstance(value, tuple | list):
        return [to_tree(one, arrays, f"{place}.{number}".lstrip(".")) for number, one in enumerate(value)]
    if not dataclasses.is_dataclass(value):
        return value
    held = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {
        name: to_tree(one, arrays, f"{place}.{name}".lstrip("."))
        for name, (one, default) in held.items()
        if isinstance(one, np.ndarray) or one != default
    }


def typed(kind: Any, value: Any, arrays: Mapping[str, Array] | None = None, place: str = "it") -> Any:
    """Return a value as its type, or refuse it; with ``arrays``, it is a value that :func:`to_tree` made."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        fitting = (one for one in parts if isinstance(value, get_origin(one) or one) or _names(one, value))
        return typed(next(fitting, parts[0]), value, arrays, place)
    name, fits = getattr(kind, "__name__", kind), isinstance(origin, type) and isinstance(value, origin)
    if origin is Annotated:
        name = f"int from {parts[1].start} to {parts[1][-1]}"
        fits = type(value) is int and value in parts[1]
    elif origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif kind in (int, float):
        whole = type(value) is int and abs(value) < LARGEST
        fits = whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    elif origin is dict:
        fits = fits and all(isinstance(one, str) for pair in value.items() for one in pair)
    elif origin is np.ndarray and arrays is not None and isinstance(value, str):
        value = arrays.get(value, value)
        fits = isinstance(value, np.ndarray)
    elif origin is tuple and isinstance(value, tuple | list):
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(typed(one, part, arrays, f"{place}[{number}]") for number, (one, part) in pairs)
        fits = False
    elif dataclasses.is_dataclass(origin):
        hints = {field.name: field.type for field in dataclasses.fields(origin)}
        if fits:
            for field, hint in hints.items():
                typed(hint, getattr(value, field), arrays, f"{place}.{field}")
        elif arrays is not None and _names(origin, value):
            made = {field: typed(hints[field], one, arrays, f"{place}.{field}") for field, one in value.items()}
            return kind(**made)
    require(fits, f"{place} is {value!r:.80}, which is no {name}")
    return value


def _names(kind: Any, value: Any) -> bool:
    """Whether a dict names the fields of a record, all that have no default among them."""
    if not (dataclasses.is_dataclass(kind) and isinstance(value, dict)):
        return False
    fields = dataclasses.fields(kind)
    needed = {field.name for field in fields if field.default is field.default_factory}  # it has neither
    return needed <= value.keys() <= {field.name for field in fields}
