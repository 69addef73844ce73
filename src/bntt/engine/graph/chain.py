"""Layers in a chain for calls without gradients, with any number of samples: jobs and buffers are made once.

The kernels are those of :mod:`bntt.engine.graph.layer`, in the same order, so the bits are the same. A chain
leaves out what only backward passes and batch statistics need: for one sample that is most of the work of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.cpu.launch import CPU, scan_job
from bntt.engine.cpu.library import Events, Scan, call
from bntt.engine.graph.layer import Layer, as_given, density
from bntt.engine.graph.node import Node, Start
from bntt.engine.graph.stack import largest_step, sizes, steps_at_once
from bntt.engine.layer_spec import neuron_steps, pooled_shape
from bntt.engine.synapse import Prepared, Spikes, goes_by_events, limits
from bntt.engine.workspace import address, is_plain


def is_link(node: Node) -> bool:
    """Return True if a node can be part of a chain: a layer with neurons, whose normalisation is given."""
    if not isinstance(node, Layer) or node.reads != (-1,):
        return False
    return node.neuron is not None and not node.batch_statistics and node.sample_eps is None


def room_of(nodes: Sequence[Node], x: Spikes) -> tuple[int, int, int]:
    """Return the room for calls like x, or with fewer samples: steps go through the layers a few at a time.

    It is the values of a sample's largest step, the rows (steps times samples) of the buffers, and their bytes.
    """
    (steps, samples), each = x.values.shape[:2], sizes(nodes, x)
    largest = largest_step(each) // samples
    rows = min(steps * samples, max(samples, steps_at_once(largest)))
    values = 4 * max(one.floats for one in each) + sum(one.bytes for one in each)
    return largest, rows, rows * values // samples


class Chain:
    """Layers in order; only one call at a time may use a chain, since it owns its buffers."""

    def __init__(
        self, blocks: Mapping[str, Any], layers: Sequence[Layer], x: Spikes, compute: Compute, prepared: Prepared
    ) -> None:
        self.blocks, self.layers, self._links = blocks, layers, list[_Link]()
        """The blocks, by name, and the layer of each."""
        self.most, (self._each, rows, self.size) = x.values.shape[1], room_of(layers, x)
        """The most samples of a call; the bytes of the buffers."""
        self._shape: tuple[int, ...] = ()
        like = replace(x, values=x.values[:1, :1].expand(rows, 1, *x.values.shape[2:]))
        with torch.inference_mode(False), torch.no_grad():  # it outlives inference mode, see Workspace
            floats = max(one.floats for one in sizes(layers, like))
            current = torch.empty(rows * floats, dtype=torch.float32, device=CPU)
            for layer in layers:
                before = self._links[-1] if self._links else None
                of = like if before is None else before.spikes
                self._links.append(_Link(layer, of, compute, prepared, before, current))

    def run(
        self, x: Spikes, first: int, starts: Sequence[Start], out: Callable[[Spikes], None], *, in_place: bool = False
    ) -> tuple[Sequence[Start], list[Tensor]]:
        """Return the state of every layer, and its spikes by step and channel."""
        size = steps_at_once(max(self._each * x.values.shape[1], x.values[0].numel()))
        fired: list[list[Tensor]] = [[] for _ in self._links]
        for begin in range(0, len(x.values), size):
            some, ends = x.steps(begin, begin + size), []
            if (shape := some.values.shape[:2]) != self._shape:
                self._shape, spikes = (), some
                for link in self._links:
                    spikes = link.fit(spikes)
                self._shape = shape  # only when all fit: an interrupt leaves none
            for link, start, counts in zip(self._links, starts, fired, strict=True):
                link.apply_weights(some)
                ends.append(Start(link.fire(first + begin, start.membrane, in_place=in_place or begin > 0)))
                counts.append(link.fired.clone())
            starts = ends
            out(self._links[-1].spikes)
        return starts, [counts[0] if len(counts) == 1 else torch.cat(counts) for counts in fired]


class _Link:
    """One layer of a chain, with the buffers that it writes, and the link that it reads; None: the input."""

    def __init__(
        self, layer: Layer, x: Spikes, compute: Compute, prepared: Prepared, before: _Link | None, current: Tensor
    ) -> None:
        self.layer, self.compute, self.before = layer, compute, before
        self.synapse = prepared.synapse(layer.weight, layer.bias, layer.geometry, compute.precision)
        self.affine, self.scans = as_given(layer, slice(None), (False, False)).affine, dict[tuple[int, int], Scan]()
        entered = layer.enter(x)
        shape = layer.current_shape(entered)
        counts = pooled_shape(torch.empty(shape, dtype=torch.float32, device="meta"), layer.window)
        self._current = current  # shared by all links in turn
        self._counts = torch.empty(math.prod(counts), dtype=torch.uint8, device=CPU)
        self._moved: Tensor | None = None
        if entered is not x and before is not None:  # flattened, into a buffer of its own
            self._moved = torch.empty(entered.values.numel(), dtype=torch.uint8, device=CPU)
        self._fired = torch.empty(shape[0], shape[-1], dtype=torch.int64, device=CPU)
        self.events: Events | None = None
        self.fit(x)
        self.limit = 0.0 if before is None else limits(self.synapse, self.source, compute)[0]
        self.events = self.synapse.events(self.source, self.current) if self.limit > 0 else None

    def fit(self, x: Spikes) -> Spikes:
        """Fit the buffers to inputs with as many samples as x, at most those they were made for; return the spikes."""
        layer, (down, across), (steps, samples, height, width, channels) = self.layer, self.layer.window, x.values.shape
        self.source, self.moves = x, None
        if self._moved is not None:
            values, channels_first = _part(self._moved, (steps, samples, channels, height, width)), x.values
            self.moves = values, channels_first.permute(0, 1, 4, 2, 3)
            self.source = replace(x, values=values.flatten(2)[:, :, None, None, :])
        entered = self.source
        if self.before is None:  # the caller's own: each call brings another, and none is held until the next
            entered, self.source = layer.enter(x), replace(x, values=x.values.to("meta"))
        self.current = _part(self._current, layer.current_shape(entered))
        counts = _part(self._counts, pooled_shape(self.current, layer.window))
        self.spikes, self.fired = Spikes(counts, 1 / (down * across), down * across), self._fired[:steps]
        for scan in self.scans.values():
            scan.images = samples
        if self.events is not None:
            self.events.images = steps * samples
        return self.spikes

    def apply_weights(self, x: Spikes) -> None:
        """Compute the synaptic current."""
        if self.before is None:
            source = self.layer.enter(x)
            events = goes_by_events(self.synapse, source, self.compute)[0]
        else:
            source, events = self.source, False
            if self.moves is not None:
                self.moves[0].copy_(self.moves[1])
            counts = self.before.spikes.values
            if self.events is not None and density(self.compute, self.before.fired, counts) < self.limit:
                call("bntt_events_forward", self.events)
                return
        given = self.synapse.forward(source, events=events, out=self.current)
        if not (events or self.synapse.linear):  # a dense convolution writes elsewhere
            self.current.copy_(given)

    def fire(self, first: int, start: Tensor | None, *, in_place: bool) -> Tensor:
        """Scan the current into the spikes; return the membrane after the last step."""
        shape, membrane = self.current.shape[1:], start
        if start is None or not (in_place and is_plain(start)):
            membrane = torch.empty(shape, dtype=torch.float32, device=CPU)
            membrane = membrane.zero_() if start is None else membrane.copy_(start)  # a subclass of a tensor too
        assert membrane is not None
        job = self.scans.get((first, len(self.current))) or self._scan(first)
        job.membrane = address((membrane, torch.float32, shape.numel()), "membrane")
        call("bntt_scan_forward", job)
        if membrane is start and not start.is_inference():  # so that a graph that still needs it raises
            torch.autograd.graph.increment_version(start)
        return membrane

    def _scan(self, first: int) -> Scan:
        """Return the scan of the steps that begin at this row of the tables."""
        layer, last = self.layer, first + len(self.current)
        assert layer.neuron is not None
        neuron, affine = neuron_steps(layer.neuron, first, last), self.affine.steps(first, last)
        job = scan_job(self.current, affine, neuron, layer.window, self.spikes.values, self.fired)
        self.scans[first, len(self.current)] = job
        return job


def _part(buffer: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the beginning of a flat buffer."""
    return buffer[: math.prod(shape)].view(*shape)
