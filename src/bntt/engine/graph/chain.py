"""Layers one behind another for calls without gradients, of any number of samples: jobs and buffers are made once.

The kernels are those of :mod:`bntt.engine.graph.layer_pass`, in the same order, and so are the bits. What is left out
is what only backward passes and statistics of a batch need: for one sample that is most of a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.cpu.launch import CPU, scan_job
from bntt.engine.cpu.library import Events, Scan, call
from bntt.engine.crossover import goes_by_events, limits
from bntt.engine.door import address
from bntt.engine.graph.fire import density
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import Node, Start
from bntt.engine.graph.normalisation import as_given
from bntt.engine.graph.spans import sizes
from bntt.engine.layer_spec import neuron_steps
from bntt.engine.packed_weights import Prepared
from bntt.engine.scan import pooled_shape
from bntt.engine.synapse import Spikes


def is_link(node: Node) -> bool:
    """Return True if a node can be part of a chain: a layer with neurons, whose normalisation is given."""
    if not isinstance(node, Layer) or node.reads != (-1,):
        return False
    return node.neuron is not None and not node.batch_statistics and node.sample_eps is None


class Chain:
    """Layers in order; one call at a time may use it, since its buffers are its own.

    Args:
        layers: with a row of their tables for every step that may come.
        x: an input of the shape to come, without values; of as many samples as a call may have.
        prepared: the packed weights, which chains of other shapes may share.
    """

    def __init__(self, layers: Sequence[Layer], x: Spikes, compute: Compute, prepared: Prepared) -> None:
        self._links: list[_Link] = []
        self.most = self._samples = x.values.shape[1]
        """The most samples of a call; those of the last."""
        floats = len(x.values) * max(one.floats for one in sizes(layers, x))
        with torch.inference_mode(False), torch.no_grad():  # it outlives the mode, see Workspace
            current = torch.empty(floats, dtype=torch.float32, device=CPU)
            for layer in layers:
                before = self._links[-1] if self._links else None
                of = x if before is None else before.spikes
                self._links.append(_Link(layer, of, compute, prepared, before, current))

    def run(self, x: Spikes, first: int, starts: Sequence[Start]) -> tuple[Spikes, list[Start]]:
        """Return the last layer's spikes, which the next call writes over, and the state of every layer.

        Args:
            first: row of the tables for the first step of x.
            starts: state before that step, which is not modified.
        """
        if x.values.shape[1] != self._samples:
            self._samples, spikes = x.values.shape[1], x
            for link in self._links:
                spikes = link.fit(spikes)
        ends = []
        for link, start in zip(self._links, starts, strict=True):
            link.weigh(x)
            ends.append(Start(link.fire(first, start.membrane)))
        return self._links[-1].spikes, ends

    @property
    def fired(self) -> list[Tensor]:
        """Spikes of every layer by step and channel, which the next call writes over."""
        return [link.fired for link in self._links]


class _Link:
    """One layer of a chain, with the buffers that it writes, and the link that it reads; None: the input."""

    def __init__(
        self, layer: Layer, x: Spikes, compute: Compute, prepared: Prepared, before: _Link | None, current: Tensor
    ) -> None:
        self.layer, self.compute, self.before = layer, compute, before
        self.synapse = prepared.synapse(layer.weight, layer.bias, layer.geometry, compute.precision)
        self.affine, self.scans = as_given(layer, slice(None), (False, False)).affine, dict[int, Scan]()
        entered = layer.enter(x)
        shape = layer.current_shape(entered)
        counts, (steps, *_, channels) = (
            pooled_shape(torch.empty(shape, dtype=torch.float32, device="meta"), layer.window),
            shape,
        )
        self._current = current  # of all links in turn
        self._counts = torch.empty(math.prod(counts), dtype=torch.uint8, device=CPU)
        self._moved: Tensor | None = None
        if entered is not x and before is not None:  # flattened, into a buffer of its own
            self._moved = torch.empty(entered.values.numel(), dtype=torch.uint8, device=CPU)
        self.fired = torch.empty(steps, channels, dtype=torch.int64, device=CPU)
        self.events: Events | None = None
        self.fit(x)
        self.limit = 0.0 if before is None else limits(self.synapse, self.source, compute).forward
        self.events = self.synapse.events(self.source, self.current) if self.limit > 0 else None

    def fit(self, x: Spikes) -> Spikes:
        """Take inputs of as many samples as x, in the buffers of the most; return the spikes of as many."""
        layer, (down, across), (steps, samples, height, width, channels) = self.layer, self.layer.window, x.values.shape
        self.source, self.moves = x, None
        if self._moved is not None:
            values, channels_first = _part(self._moved, (steps, samples, channels, height, width)), x.values
            self.moves = values, channels_first.permute(0, 1, 4, 2, 3)
            self.source = replace(x, values=values.flatten(2)[:, :, None, None, :])
        entered = self.source if self.before is not None else layer.enter(x)
        self.current = _part(self._current, layer.current_shape(entered))
        counts = _part(self._counts, pooled_shape(self.current, layer.window))
        self.spikes = Spikes(counts, 1 / (down * across), down * across)
        for scan in self.scans.values():
            scan.images = samples
        if self.events is not None:
            self.events.images = steps * samples
        return self.spikes

    def weigh(self, x: Spikes) -> None:
        """Compute the synaptic current."""
        if self.before is None:
            source = self.layer.enter(x)
            events = goes_by_events(self.synapse, source, self.compute)[0]
        else:
            source, events = self.source, False
            if self.moves is not None:
                self.moves[0].copy_(self.moves[1])
            if self.events is not None and self.before.density() < self.limit:
                call("bntt_events_forward", self.events)
                return
        given = self.synapse.forward(source, events=events, out=self.current)
        if not (events or self.synapse.linear):  # a dense convolution writes elsewhere
            self.current.copy_(given)

    def fire(self, first: int, start: Tensor | None) -> Tensor:
        """Scan the current into the spikes; return the membrane after the last step."""
        shape = self.current.shape[1:]
        membrane = torch.empty(shape, dtype=torch.float32, device=CPU)
        if start is None:
            membrane.zero_()
        else:
            membrane.copy_(start)  # what it is, a subclass of a tensor too
        job = self.scans.get(first) or self._scan(first)
        job.membrane = address((membrane, torch.float32, shape.numel()), "membrane")
        call("bntt_scan_forward", job)
        return membrane

    def density(self) -> float:
        """Return events per place of the spikes."""
        return density(self.compute, self.fired, self.spikes.values)

    def _scan(self, first: int) -> Scan:
        """Return the scan of the steps whose first row of the tables this is."""
        layer, last = self.layer, first + len(self.current)
        assert layer.neuron is not None
        neuron, affine = neuron_steps(layer.neuron, first, last), self.affine.steps(first, last)
        job = scan_job(self.current, affine, neuron, layer.window, self.spikes.values, self.fired)
        self.scans[first] = job
        return job


def _part(buffer: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the beginning of a flat buffer."""
    return buffer[: math.prod(shape)].view(*shape)
