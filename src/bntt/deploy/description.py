"""A trained network in evaluation mode as plain data: NumPy arrays, no PyTorch. Every export starts from it.

A network is a list of nodes. In each of T steps, a node reads the output of an earlier node, or of the encoder, ``-1``:

- a :class:`Layer` computes ``y = W * pool(x)``, ``z = scale[t] y + shift[t]``, fires, and pools its spikes;
- a :class:`Sum` adds the outputs of two nodes, for residual connections.

The last node is the readout, a layer whose ``z`` (or spikes, if it has neurons) is summed over time; logits are
the sum so far divided by the steps so far. Images are ``[C, H, W]`` everywhere, features ``[F, 1, 1]``.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import MOST_VALUES, Layer, Node, Shape
from bntt.deploy.tree import check_types

EncoderKind = Literal["poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence"]
ORDERS = ("", "pixels", "rows", "permuted")
MOST_STEPS = 1 << 20


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
    num_steps: int
    """T."""
    mean: tuple[float, ...] = ()
    """One number per channel or feature, or one for all; (): nothing is subtracted."""
    std: tuple[float, ...] = ()
    """As many numbers as ``mean``; (): values are not divided."""

    def check(self, channels: int) -> None:
        """Refuse an encoder that does not fit these channels; raise a DeployError that says why."""
        check_types(self, Encoder, "the encoder")
        if not 1 <= self.num_steps <= MOST_STEPS:
            raise DeployError(f"the encoder must have 1 to {MOST_STEPS} steps, got {self.num_steps}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 1, channels):
            raise DeployError(
                f"mean and std have {len(self.mean)} and {len(self.std)} numbers, for {channels} channels"
            )
        if not all(map(math.isfinite, self.mean + self.std)) or min(self.std, default=1) <= 0:
            raise DeployError(f"mean and std must be finite and std above 0, got {self.mean} and {self.std}")


@dataclass(frozen=True)
class Pictures:
    """How an image file becomes a sample.

    >>> Pictures((1, 28, 28)).fit
    'stretch'
    """

    shape: tuple[int, int, int]
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
    >>> from bntt.deploy.layers import Neurons, Weights
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
    input_shape: tuple[int, ...]
    """Shape of one step of one sample: ``[C, H, W]`` or ``[F]``."""
    pictures: Pictures | None = None
    """How an image file becomes a sample; None: unknown."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Recipe, run, epoch, commit, dataset: what is known, by name."""

    def __post_init__(self) -> None:
        check_types(self, Description)
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise DeployError(f"one step of a sample is [C, H, W] or [F], got {list(self.input_shape)}")
        self.encoder.check(self.input_shape[0])
        if not self.nodes or not isinstance(last := self.nodes[-1], Layer) or last.weights is None or last.after:
            raise DeployError("a network ends in a readout, a layer with weights and no pooling after them")
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise DeployError(f"nodes need a name each, got {[node.name for node in self.nodes]}")
        for node, (neurons, _) in zip(self.nodes, self.shapes, strict=True):
            with named(node):
                if isinstance(node, Layer):
                    node.check(self.num_steps, neurons[0])
        if self.shapes[-1][1] != (len(self.classes), 1, 1):
            raise DeployError(
                f"the readout gives {list(self.shapes[-1][1])}, and {len(self.classes)} classes are named"
            )
        if self.pictures is None:
            return
        sizes, given = self.pictures.shape, self.pictures.given
        fits = sizes[0] in (1, 3) and min(sizes) >= 1 and math.prod(sizes) <= MOST_VALUES
        if not fits or self.pictures.order not in ORDERS:
            orders = ", ".join(ORDERS[1:])
            raise DeployError(f"pictures are [1 or 3, H, W], in an order of {orders}, or none, got {self.pictures}")
        if given not in (self.input_shape, (self.num_steps, *self.input_shape)):
            taken = f"{list(self.input_shape)} in each of {self.num_steps} steps"
            raise DeployError(f"pictures become {list(given)}, and the network takes {taken}")

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
            with named(node):
                if not all(-1 <= read < place for read in node.inputs):
                    reads = list(node.inputs)
                    raise DeployError(f"it reads nodes {reads}, and is node {place}: it can read those before it")
                images = [found[read][1] if read >= 0 else self.image for read in node.inputs]
                neurons, out, more = node.shapes(*images)
                values += more
                if min(*neurons, *out) < 1 or values > MOST_VALUES:
                    raise DeployError(f"its neurons would be {list(neurons)}, and its output {list(out)}")
            found.append((neurons, out))
        return tuple(found)


@contextmanager
def named(node: Node) -> Iterator[None]:
    """Name the node in an error."""
    try:
        yield
    except DeployError as error:
        raise DeployError(f"{node.name!r}: {error}") from None
