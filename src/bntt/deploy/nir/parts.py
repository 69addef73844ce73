"""Which part of a layer each node of a NIR graph is: pooling, weights, affine map, neurons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array, Neurons, Pool, Shape, Weights
from bntt.deploy.nir.nodes import Node, padding_of
from bntt.deploy.nir.notes import stand_in

NEAR = 1e-6
"""Relative error of numbers that other programs round to float32."""


@dataclass(frozen=True)
class Draft:
    """A layer while its nodes are read: pooling, weights, affine map, neurons, pooling. Empty: the node it reads."""

    reads: int
    shape: Shape
    flat: bool
    name: str = ""
    before: tuple[Pool, ...] = ()
    weights: Weights | None = None
    scale: Array = field(default_factory=lambda: np.ones((1, 1)))
    shift: Array = field(default_factory=lambda: np.zeros((1, 1)))
    neurons: Neurons | None = None
    after: tuple[Pool, ...] = ()
    gamma: Array | None = None
    driven: tuple[int, int] = (0, 0)
    gain: float = 1.0
    """Factor of a sum of windows, which the next weights or neurons take over."""

    @property
    def is_empty(self) -> bool:
        return self.weights is None and self.neurons is None and not self.before

    @property
    def is_open(self) -> bool:
        """Whether an affine map or neurons can follow."""
        return self.neurons is None and not self.after


class Reading(ABC):
    """What nodes need of the reading of their graph."""

    steps: int
    dt: float
    nodes: dict[str, Node]
    resets: dict[str, Node]

    @abstractmethod
    def begun(self, node: Node, draft: Draft) -> Draft:
        """Return the draft to which weights or neurons are added: this one, or a new one after it."""

    @abstractmethod
    def closed(self, node: Node, draft: Draft) -> Draft:
        """Append a layer whose nodes are all read, and return the draft that reads it."""

    @abstractmethod
    def gives_spikes(self, place: int) -> bool:
        """Whether a node's output is only zeros and ones."""


def convolution(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Conv2d: weights, or a norm."""
    values, bias = node.array("weight", 4), node.array("bias", 1)
    if node.part == "norm" and (mine := of_layer(reading, node, draft)).is_open:
        return normalised(reading, node, mine, values[..., 0, 0], bias)
    if draft.flat:
        raise node.wrong("it reads features, and a convolution needs an image")
    stride, dilation = node.pair("stride", 1), node.pair("dilation", 1)
    padding = padding_of(node, values.shape[2:], stride, dilation)
    kept = bias.astype(values.dtype) if bias.any() else None
    return weighed(reading, node, draft, Weights(values, kept, stride, padding, dilation, node.pair("groups", 1)[0]))


def linear(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Linear or an Affine: weights, or a norm."""
    values, bias = node.array("weight", 2), node.array("bias", 1) if node.type == "Affine" else None
    if node.part == "norm" and bias is not None and (mine := of_layer(reading, node, draft)).is_open:
        return normalised(reading, node, mine, values, bias)
    if not draft.flat:
        raise node.wrong("it reads an image: a Flatten must stand before it")
    return weighed(reading, node, draft, Weights(values, None if bias is None else bias.astype(values.dtype)))


def of_layer(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Return the draft of a node's layer: a new one after the layer that is being read, if it names another."""
    other = node.layer and draft.name and node.layer != draft.name
    return reading.begun(node, draft) if other and (draft.weights is not None or draft.neurons is not None) else draft


def weighed(reading: Reading, node: Node, draft: Draft, weights: Weights) -> Draft:
    """Add weights to the layer that is being read."""
    draft = reading.begun(node, draft)
    if draft.gain != 1:
        weights = replace(weights, values=weights.values * weights.values.dtype.type(draft.gain))
    try:
        weights.check()
        shape = weights.shape(draft.shape)
    except DeployError as error:
        raise node.wrong(str(error)) from None
    return replace(draft, weights=weights, shape=shape, flat=not weights.is_convolution, gain=1.0)


def normalised(reading: Reading, node: Node, draft: Draft, matrix: Array, shift: Array) -> Draft:
    """Add a norm of :func:`~bntt.deploy.export`: a diagonal map, and its tables if they change over time."""
    width, found = draft.shape[0], []
    scale = np.diagonal(matrix)
    if matrix.shape != (width, width) or shift.shape != (width,) or (matrix != np.diag(scale)).any():
        raise node.wrong("its metadata call it a norm, but it does not scale each channel by one number")
    for what, values in (("scale", scale), ("shift", shift)):
        table = node.note(what, (reading.steps, width))
        if table is not None:
            agree(node, what, stand_in(table), values)
        found.append((values[None] if table is None else table).astype(np.float64))
    driven = node.note("driven", (2,))
    first, last = (0, 0) if driven is None else map(int, driven)
    gamma = node.note("gamma", (reading.steps,))
    name = draft.name or node.layer or node.name
    return replace(draft, name=name, scale=found[0], shift=found[1], gamma=gamma, driven=(first, last))


def agree(node: Node, what: str, noted: Array, held: Array) -> None:
    """Refuse metadata that does not match a node's numbers."""
    if not np.allclose(noted, held, NEAR, 1e-12):
        raise node.wrong(f"its metadata {what} and its numbers differ: one of them was changed elsewhere")


def scaling(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Scale of currents, or one by 1."""
    factor = node.by_channel("scale", draft.shape, draft.flat)
    if (factor == 1).all():
        return draft
    if draft.weights is None or not draft.is_open:
        raise node.wrong("it scales what is no current of weights: a Scale must be between weights and their neurons")
    return replace(draft, scale=draft.scale * factor, shift=draft.shift * factor)


def flattening(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Flatten of the whole image."""
    first, last, dims = node.fields.get("start_dim"), node.fields.get("end_dim"), 1 if draft.flat else 3
    if first not in (0, -dims) or last not in (-1, dims - 1):
        raise node.wrong(f"it flattens from {first} to {last}: all of {dims} dimensions must be, from 0 to -1")
    fires = [name for name in node.read_by if reading.nodes[name].type in ("LIF", "IF", "LI", "I")]
    if fires and draft.shape[1:] != (1, 1):
        raise node.wrong(f"it flattens an image for the neurons {fires[0]!r}: flatten behind them, before a Linear")
    shape, gain = (int(np.prod(draft.shape)), 1, 1), draft.gain
    if draft.weights is not None or draft.neurons is not None:
        draft = reading.closed(node, replace(draft, gain=1.0))
    return replace(draft, shape=shape, flat=True, gain=gain)


def pooling(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take an AvgPool2d, or a SumPool2d, which a Threshold after it turns into max pooling of spikes."""
    size, stride, padding = node.pair("kernel_size", 1), node.pair("stride", 1), node.pair("padding", 0)
    if stride != size or padding != (0, 0) or draft.flat:
        raise node.wrong(f"it pools {size} by steps of {stride}, padded by {padding}: windows must be adjacent")
    pool, gain = Pool("average", size), draft.gain * (float(np.prod(size)) if node.type == "SumPool2d" else 1.0)
    if (draft.weights is not None or draft.neurons is not None) and node.part == "before":
        draft = reading.closed(node, draft)
    shape = pool.shape(draft.shape)
    if min(shape) < 1:
        raise node.wrong(f"it pools {size}, and reads {list(draft.shape)}")
    if draft.weights is None and draft.neurons is None:
        return replace(draft, before=(*draft.before, pool), shape=shape, gain=gain)
    return replace(draft, after=(*draft.after, pool), shape=shape, gain=gain)


def threshold(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Threshold: of a sum of spikes, or of a membrane that it resets."""
    (read,) = node.reads[:1]
    before = reading.nodes[read]
    if before.type == "SumPool2d" and node.one("threshold") == 0.5:
        return largest(reading, node, draft)
    if before.type not in ("LI", "I"):
        raise node.wrong("it must follow an LI or I, or be 0.5 and follow a SumPool2d of spikes")
    if (back := reading.resets.get(node.name)) is None:
        raise node.wrong("its spikes reset nothing: a Scale must lead them back to the LI or I before it")
    draft = fired(reading, before, node, draft, "soft")
    assert draft.neurons is not None
    delayed = any(reading.nodes[name].type == "Delay" for name in node.read_by)
    taken = draft.neurons.threshold * (1 if delayed else draft.neurons.leak) / received(reading, before, *sizes(draft))
    if not np.allclose(back.by_channel("scale", *sizes(draft)), -taken, NEAR, 1e-12):
        what = "its threshold, as a Delay follows" if delayed else "its leak times its threshold"
        expected = f"expected minus {what}, over the gain of {before.name}: {-taken.flat[0]:g}"
        raise back.wrong(f"it leads back {back.array('scale').flat[0]:g}, {expected}")
    return draft


def largest(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Turn the last sum pooling, of spikes, into max pooling."""
    *pools, last = draft.after or draft.before
    spikes = draft.neurons is not None if draft.after else reading.gives_spikes(draft.reads)
    if not spikes or any(pool.kind != "max" for pool in pools):
        raise node.wrong("the SumPool2d before it must add up spikes, 0 or 1")
    draft, made = replace(draft, gain=draft.gain / float(np.prod(last.size))), (*pools, Pool("max", last.size))
    return replace(draft, after=made) if draft.after else replace(draft, before=made)


def sizes(draft: Draft) -> tuple[Shape, bool]:
    """Return the shape of a draft's output, and whether it is features."""
    return draft.shape, draft.flat


def membrane(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take an LI or I: the Threshold after it completes the neurons."""
    if [reading.nodes[name].type for name in node.read_by] != ["Threshold"]:
        raise node.wrong("a Threshold must follow it, and reset it through a Scale: the library has no other use")
    return draft


def firing(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take an LIF or IF."""
    reset = node.by_channel("v_reset", *sizes(draft), 0.0)
    if reset.any():
        raise node.wrong(f"its v_reset is {reset.min():g} to {reset.max():g}: the library's neurons reset to 0")
    return fired(reading, node, node, draft, "hard")


def fired(reading: Reading, node: Node, fires: Node, draft: Draft, reset: Any) -> Draft:
    """Add neurons: one node, or a membrane and the node that fires."""
    draft = of_layer(reading, node, draft)
    if not draft.is_open or draft.is_empty:
        draft = reading.begun(node, draft)
    at, dt, leak = sizes(draft), reading.dt, np.ones((1, 1))
    if node.type in ("LIF", "LI"):
        tau, rest = node.by_channel("tau", *at), node.by_channel("v_leak", *at)
        if rest.any() or (tau < dt * (1 - NEAR)).any():
            raise node.wrong(f"its v_leak must be 0 and its tau at least dt = {dt:g}, a smaller one has no Euler step")
        leak = np.maximum(0.0, 1 - dt / tau)
    gain = received(reading, node, *at)
    held = fires.by_channel("threshold" if fires.type == "Threshold" else "v_threshold", *at)
    tables = []
    for what, table in (("leak", leak), ("threshold", held)):
        noted = node.note(what, (1, 1), (1, draft.shape[0]))
        if noted is not None:
            agree(node, what, noted, table)
        tables.append(table if noted is None else noted.astype(np.float64))
    if (tables[1] <= 0).any():
        raise fires.wrong("its threshold must be above 0, or it fires at rest")
    scale, shift = draft.scale if draft.gain == 1 else draft.scale * draft.gain, draft.shift
    if not np.allclose(gain, 1, NEAR, 0):
        scale, shift = scale * gain, shift * gain
    neurons = Neurons(tables[0], tables[1], "after", reset)
    name = draft.name or node.layer or node.name
    return replace(draft, neurons=neurons, scale=scale, shift=shift, name=name, gain=1.0)


def received(reading: Reading, node: Node, shape: Shape, flat: bool) -> Array:
    """Return a membrane's gain for all its inputs, feedback included: ``r dt / tau``, or ``r dt`` without a leak."""
    gain: Array = node.by_channel("r", shape, flat) * reading.dt
    return gain / node.by_channel("tau", shape, flat) if node.type in ("LIF", "LI") else gain


def delay(reading: Reading, node: Node, draft: Draft) -> Draft:
    """Take a Delay of one step after neurons: their spikes leave a step later."""
    before = reading.nodes[node.reads[0]].type
    if draft.neurons is None or before not in ("LIF", "IF", "Threshold") or len(node.reads) > 1:
        raise node.wrong("it must stand behind neurons")
    if draft.neurons.rule == "before" or not np.isclose(node.one("delay"), reading.dt, NEAR, 0):
        raise node.wrong(f"it must be one step, {reading.dt:g} s, and one for each layer")
    return replace(draft, neurons=replace(draft.neurons, rule="before"))


TAKES: dict[str, Callable[[Any, Node, Draft], Draft]] = {
    "Conv2d": convolution,
    "Linear": linear,
    "Affine": linear,
    "Scale": scaling,
    "Flatten": flattening,
    "AvgPool2d": pooling,
    "SumPool2d": pooling,
    "Threshold": threshold,
    "LI": membrane,
    "I": membrane,
    "LIF": firing,
    "IF": firing,
    "Delay": delay,
}
