"""The nodes of a network as plain data: pooling, weights, an affine map and neurons, and the sum of two nodes."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bntt.deploy.errors import DeployError

Array = np.ndarray[Any, np.dtype[Any]]
"""NumPy's own class, because reading a bundle compares types with it: from NumPy 2.5 on ``NDArray`` is not a class."""
Shape = tuple[int, int, int]
"""``[C, H, W]``; for features ``[F, 1, 1]``."""
MOST_VALUES = 1 << 26
"""Most values of one sample in all nodes together: a larger network is a mistake, or an attack."""


@dataclass(frozen=True)
class Pool:
    """Pooling over adjacent whole windows without padding; rows and columns left over at the end are ignored."""

    kind: Literal["average", "max"]
    size: tuple[int, int]
    """Height and width of a window."""

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the pooled image."""
        if min(self.size) < 1:
            raise DeployError(f"it pools over {self.size}: a window is 1x1 or more")
        return image[0], image[1] // self.size[0], image[2] // self.size[1]


@dataclass(frozen=True, eq=False)
class Weights:
    """A convolution, or a fully connected layer, which reads its input flattened in C, H, W order."""

    values: Array
    """``[Cout, Cin / groups, kh, kw]``; fully connected ``[Cout, F]``."""
    bias: Array | None = None
    """``[Cout]``."""
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    """Rows of zeros above and below, and columns of zeros on the left and right."""
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def is_convolution(self) -> bool:
        return self.values.ndim == 4

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the current."""
        if self.values.ndim not in (2, 4) or self.values.size == 0:
            raise DeployError(f"its weights are {list(self.values.shape)}: two or four dimensions are needed")
        if min(*self.stride, *self.dilation, self.groups) < 1 or min(self.padding) < 0:
            told = f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}, {self.groups} groups"
            raise DeployError(f"its weights have {told}: that is no convolution")
        if not self.is_convolution:
            if self.values.shape[1] != math.prod(image):
                raise DeployError(f"its weights take {self.values.shape[1]} features, and it reads {list(image)}")
            return self.values.shape[0], 1, 1
        if image[0] != self.values.shape[1] * self.groups or self.values.shape[0] % self.groups:
            raise DeployError(f"its weights {list(self.values.shape)} in {self.groups} groups do not fit {list(image)}")
        sizes = zip(image[1:], self.values.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (
            (size + 2 * pad - step * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, pad, step in sizes
        )
        return self.values.shape[0], rows, columns


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
    reads: int
    """The node whose output it reads; -1 is the encoder's."""
    scale: Array
    """a, ``[T, C]``."""
    shift: Array
    """b, ``[T, C]``."""
    weights: Weights | None = None
    """None: neurons that a sum of currents drives."""
    neurons: Neurons | None = None
    """None: a current that is added to another node's; in the readout, a voltage that is summed over time."""
    before: tuple[Pool, ...] = ()
    """Pooling of its input."""
    after: tuple[Pool, ...] = ()
    """Pooling of the spikes, or of the current if there are no neurons; its output is not made into spikes."""
    gamma: Array | None = None
    """Mean |γ| over the channels, ``[T]``, which the exit by threshold reads; None: it has no γ per step."""
    driven: tuple[int, int] = (0, 0)
    """The first step whose γ has a path to the readout, and one more than the last."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """The nodes that it reads."""
        return (self.reads,)

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
        if values > MOST_VALUES:
            raise DeployError(f"its padded input would have {values:,} values")
        out = neurons
        for pool in self.after:
            out = pool.shape(out)
        return neurons, out, values + max(1, math.prod(neurons))

    def check(self, steps: int, channels: int) -> None:
        """Refuse tables that do not fit its neurons, and numbers that are not finite."""
        check_table("scale", self.scale, (steps, channels))
        check_table("shift", self.shift, (steps, channels))
        check_table("mean |γ|", self.gamma, (steps,))
        if not 0 <= self.driven[0] <= self.driven[1] <= steps:
            raise DeployError(f"the steps {self.driven} are driven, of {steps}")
        if self.weights is not None:
            check_table("weights", self.weights.values, self.weights.values.shape)
            check_table("bias", self.weights.bias, self.weights.values.shape[:1])
        if self.neurons is None:
            if self.weights is None:
                raise DeployError("it has neither weights nor neurons")
            return
        fits = [(rows, columns) for rows in {1, steps} for columns in {1, channels}]
        for what in ("leak", "threshold", "amount"):
            check_table(what, getattr(self.neurons, what), *fits)
        check_table("turned", self.neurons.turned, *fits, kind="b")
        if (self.neurons.tables()["threshold"] <= 0).any():
            raise DeployError("its neurons would fire at rest: a threshold is above 0, or below 0 where it is turned")


@dataclass(frozen=True)
class Sum:
    """Sum of two nodes' outputs."""

    name: str
    reads: tuple[int, int]

    @property
    def inputs(self) -> tuple[int, ...]:
        """The nodes that it reads."""
        return self.reads

    def shapes(self, one: Shape, other: Shape) -> tuple[Shape, Shape, int]:
        """Return the shape of the sum twice, and the number of its values, as :meth:`Layer.shapes` does."""
        if one != other:
            raise DeployError(f"it adds up {list(one)} and {list(other)}: one shape is needed")
        return one, one, math.prod(one)


Node = Layer | Sum


def check_table(what: str, table: Array | None, *shapes: tuple[int, ...], kind: str = "f") -> None:
    """Refuse a table of another shape or kind of numbers, or with a number that is not finite; None passes.

    >>> check_table("bias", np.ones(3), (4,))
    Traceback (most recent call last):
    bntt.deploy.errors.DeployError: its bias is float64 [3], expected [4]
    """
    if table is None:
        return
    if table.shape not in shapes or table.dtype.kind != kind:
        wanted = " or ".join(str(list(one)) for one in shapes)
        raise DeployError(
            f"its {what} is {table.dtype} {list(table.shape)}, expected {'bool ' * (kind == 'b')}{wanted}"
        )
    if not np.isfinite(table).all():
        raise DeployError(f"its {what} has numbers that are not finite")
