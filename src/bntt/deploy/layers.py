"""The nodes of a network as plain data: pooling, weights, an affine map and neurons, and the sum of two nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bntt.deploy.errors import DeployError

Array = np.ndarray[Any, np.dtype[Any]]
"""NumPy's own class, because reading a bundle compares types with it: from NumPy 2.5 on ``NDArray`` is not a class."""
Shape = tuple[int, int, int]
"""``[C, H, W]``; for features ``[F, 1, 1]``."""


@dataclass(frozen=True)
class Pool:
    """Pooling over adjacent whole windows without padding; rows and columns left over at the end are ignored."""

    kind: Literal["average", "max"]
    size: tuple[int, int]
    """Height and width of a window."""

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the pooled image."""
        return image[0], image[1] // self.size[0], image[2] // self.size[1]

    def check(self) -> None:
        """Refuse an invalid pooling."""
        if self.kind not in ("average", "max") or min(self.size) < 1:
            raise DeployError(f"it pools by {self.kind!r} over {self.size}: average or max over 1x1 or more is known")


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

    def check(self) -> None:
        """Refuse invalid weights."""
        if self.values.ndim not in (2, 4) or self.values.size == 0:
            raise DeployError(f"its weights are {list(self.values.shape)}: two or four dimensions are needed")
        check_table("its weights", self.values, self.values.shape)
        if self.bias is not None:
            check_table("its bias", self.bias, self.values.shape[:1])
        if min(*self.stride, *self.dilation, self.groups) < 1 or min(self.padding) < 0:
            sizes = f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}, {self.groups} groups"
            raise DeployError(f"its weights have {sizes}: that is no convolution")


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

    def check(self, steps: int, channels: int) -> None:
        """Refuse neurons that a layer of ``channels`` channels cannot have."""
        fits = [(rows, columns) for rows in {1, steps} for columns in {1, channels}]
        for what in ("leak", "threshold", "amount", "turned"):
            if (table := getattr(self, what)) is not None:
                check_table(f"its {what}", table, *fits, kind="b" if what == "turned" else "f")
        if self.rule not in ("after", "before") or self.reset not in ("soft", "hard"):
            raise DeployError(f"its neurons fire {self.rule!r} integration and have a {self.reset!r} reset")
        sign = 1.0 if self.turned is None else np.where(self.turned, -1.0, 1.0)
        if (self.threshold * sign <= 0).any():
            raise DeployError("its neurons would fire at rest: a threshold is above 0, or below 0 where it is turned")


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

    def padded(self, image: Shape) -> int:
        """Return the number of values of a convolution's padded input; 0 of anything else."""
        if self.weights is None or not self.weights.is_convolution:
            return 0
        for pool in self.before:
            image = pool.shape(image)
        (rows, columns), (channels, height, width) = self.weights.padding, image
        return channels * (height + 2 * rows) * (width + 2 * columns)

    def shapes(self, *images: Shape) -> Iterator[Shape]:
        """Yield the shape of its neurons, and that of its output."""
        (image,) = images
        for pool in self.before:
            image = pool.shape(image)
        current = image if self.weights is None else self.weights.shape(image)
        yield current
        for pool in self.after:
            current = pool.shape(current)
        yield current

    def check_parts(self) -> None:
        """Refuse invalid weights and poolings."""
        for part in (*self.before, *self.after, *(() if self.weights is None else (self.weights,))):
            part.check()

    def check(self, steps: int, channels: int) -> None:
        """Refuse tables that do not fit its neurons, and numbers that are not finite."""
        check_table("its scale", self.scale, (steps, channels))
        check_table("its shift", self.shift, (steps, channels))
        if self.gamma is not None:
            check_table("its mean |γ|", self.gamma, (steps,))
        if not 0 <= self.driven[0] <= self.driven[1] <= steps:
            raise DeployError(f"the steps {self.driven} are driven, of {steps}")
        if self.weights is None and self.neurons is None:
            raise DeployError("it has neither weights nor neurons")
        if self.neurons is not None:
            self.neurons.check(steps, channels)


@dataclass(frozen=True)
class Sum:
    """Sum of two nodes' outputs."""

    name: str
    reads: tuple[int, int]

    def shapes(self, *images: Shape) -> Iterator[Shape]:
        """Yield the shape of the sum twice, as :meth:`Layer.shapes` does."""
        one, other = images
        if one != other:
            raise DeployError(f"it adds up {list(one)} and {list(other)}: one shape is needed")
        yield from images


Node = Layer | Sum


def check_table(what: str, table: Array, *shapes: tuple[int, ...], kind: str = "f") -> None:
    """Refuse a table of a wrong shape or type, or with a number that is not finite.

    Args:
        kind: NumPy's letter of its type, "f" for floating point and "b" for true or false.

    >>> check_table("its bias", np.ones(3), (4,))
    Traceback (most recent call last):
    bntt.deploy.errors.DeployError: its bias is float64 [3], expected [4]
    """
    if table.shape not in shapes or table.dtype.kind != kind:
        wanted = " or ".join(str(list(one)) for one in shapes)
        raise DeployError(f"{what} is {table.dtype} {list(table.shape)}, expected {'bool ' * (kind == 'b')}{wanted}")
    if not np.isfinite(table).all():
        raise DeployError(f"{what} has numbers that are not finite")
