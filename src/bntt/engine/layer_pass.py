"""One layer in one pass: some time steps forward, chunk by chunk, and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.crossover import goes_by_events
from bntt.engine.layer import Gradients, Layer, Resolved, Saved, chunk_steps, joined
from bntt.engine.measure import Measure, Seen, histogram, joined_seen, write_norms
from bntt.engine.neuron import Affine, Reverse, SpikeGrad
from bntt.engine.normalisation import current_moments, normalisation, of_all_processes
from bntt.engine.scan import pooled_shape, scan, scan_reverse
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.workspace import Lease


class Passed(NamedTuple):
    """What the forward pass of a layer gives; its buffers are the lease's."""

    spikes: Spikes
    saved: Saved
    membrane: Tensor
    """After the last step, ``[B, H, W, C]``."""
    seen: Seen


class _Work(NamedTuple):
    """What a forward pass works on."""

    source: Spikes
    current: Tensor
    membrane: Tensor
    counts: Tensor
    by_events: tuple[bool, bool]


@dataclass(frozen=True)
class LayerPass:
    """A layer, its weights as this pass takes them, and where its buffers come from."""

    layer: Layer
    synapse: Synapse
    compute: Compute
    lease: Lease
    measure: Measure = Measure()

    @property
    def agrees(self) -> bool:
        """Whether its statistics are those of a batch of which this process has a part."""
        return self.compute.reduce is not None and self.layer.batch_statistics

    def forward(self, x: Spikes, first: int, start: Tensor | None = None, known: Resolved | None = None) -> Passed:
        """The steps from ``first`` on.

        Args:
            x: the input before it is flattened. Where it lies in the lease it is this layer's from here on.
            start: the membrane before these steps; it is left as it is. None is rest.
            known: what an earlier pass over the same steps found; that pass measured.
        """
        layer, work = self.layer, self._begin(x, start, known)
        measure, agrees = self.measure if known is None else Measure(), known is None and self.agrees
        found, parts, seen = self._agreed(work, first) if agrees else known, [], []
        for begin, end in self._chunks(work.current, work.source.values):
            given, copy = (work.current[begin:end], None) if agrees else self._current(work, begin, end)
            batch = None
            if found is None and layer.batch_statistics:
                batch = current_moments(given, copy, kernels=self.compute.kernels)
            elif copy is not None:
                copy.copy_(given)
            if found is None:
                parts.append(normalisation(layer, slice(first + begin, first + end), batch, work.by_events))
            affine = parts[-1].affine if found is None else found.affine.steps(begin, end)
            before = self._copied(work.membrane) if measure.every_place else None
            fired = self._scan(given, affine, work.counts[begin:end], work.membrane)
            seen.append(self._see(given, affine, fired, before) if measure.looks else Seen(fired))
        found = joined(parts) if found is None else found
        whole = _completed(joined_seen(seen), measure)
        held = work.source.values if self.lease.owns(work.source.values) else None
        saved = Saved(work.source, held, x.values.shape, work.current, found, start)
        spikes = layer.spikes(work.counts, density(self.compute, whole.spikes, work.counts))
        return Passed(spikes, saved, work.membrane, whole)

    def backward(
        self,
        done: Saved,
        grad: SpikeGrad,
        learned: Gradients,
        first: int,
        *,
        carry: Tensor | None,
        keep: bool,
        wants_input: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradient of the steps from ``first`` on towards the layer's input, before it was flattened.

        Args:
            learned: the gradients of what the layer learns; these steps' part is added.
            carry: dL/d(membrane after these steps); it becomes the one before them. None: nothing follows or precedes.
            keep: leave the saved current as it is, for another backward pass; else the gradients are written over it.

        Returns:
            The input's gradient, and the buffer of the lease that it lies in.
        """
        layer, found, current = self.layer, done.found, done.current
        out = self.lease.take(*current.shape, dtype=current.dtype, device=current.device) if keep else current
        reverse = Reverse(current, found.affine, found.inverse, layer.neuron, layer.window, grad, done.start, carry)
        rows, reduce = None if found.moments is None else found.moments.count[0], self.compute.reduce
        sum_grad, sum_product = scan_reverse(reverse, out, rows=rows, reduce=reduce, kernels=self.compute.kernels)
        last = first + len(sum_grad)
        learned.gamma[first:last] = sum_product
        if learned.beta is not None:
            learned.beta[first:last] = sum_grad
        if learned.bias is not None and not layer.batch_statistics:  # a constant before them changes nothing
            learned.bias += (found.affine.scale * sum_grad).sum(0)
        if learned.norms is not None:
            write_norms(out, learned.norms[first:last])
        input_grad, held = self._synapse_backward(done, out, learned.weight, wants_input=wants_input)
        return None if input_grad is None else layer.leave(input_grad, done.before), held

    def _begin(self, x: Spikes, start: Tensor | None, known: Resolved | None) -> _Work:
        layer, lease, device = self.layer, self.lease, x.values.device
        source = layer.enter(x, lease)
        if source is not x and lease.owns(x.values):
            lease.give(x.values)
        current = lease.take(*layer.current_shape(source), dtype=self.synapse.forward_dtype, device=device)
        membrane = lease.take(*current.shape[1:], device=device)
        membrane = membrane.zero_() if start is None else membrane.copy_(start)
        counts = lease.take(*pooled_shape(current, layer.window), dtype=torch.uint8, device=device)
        by_events = goes_by_events(self.synapse, source, self.compute) if known is None else known.by_events
        return _Work(source, current, membrane, counts, by_events)

    def _chunks(self, *values: Tensor) -> Iterator[tuple[int, int]]:
        """The first step and the one after the last of each chunk."""
        steps, size = len(values[0]), chunk_steps(self.compute, *values)
        return ((begin, min(steps, begin + size)) for begin in range(0, steps, size))

    def _current(self, work: _Work, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """The synaptic current of some steps, and where it is to be copied if it does not lie there."""
        out = work.current[begin:end]
        given = self.synapse.forward(work.source.steps(begin, end), events=work.by_events[0], out=out)
        return given, None if given.data_ptr() == out.data_ptr() else out

    def _agreed(self, work: _Work, first: int) -> Resolved:
        """All currents, and their normalisation by the moments of all processes."""
        parts = [
            current_moments(*self._current(work, begin, end), kernels=self.compute.kernels)
            for begin, end in self._chunks(work.current, work.source.values)
        ]
        assert self.compute.reduce is not None
        batch = of_all_processes(parts, self.compute.reduce)
        return normalisation(self.layer, slice(first, first + len(work.current)), batch, work.by_events)

    def _scan(self, current: Tensor, affine: Affine, counts: Tensor, membrane: Tensor) -> Tensor:
        layer = self.layer
        return scan(current, affine, layer.neuron, layer.window, counts, membrane, kernels=self.compute.kernels)

    def _copied(self, membrane: Tensor) -> Tensor:
        return self.lease.take(*membrane.shape, device=membrane.device).copy_(membrane)

    def _see(self, current: Tensor, affine: Affine, fired: Tensor, before: Tensor | None) -> Seen:
        """What is measured of a chunk; ``before`` is the membrane that it started from, for a scan without pooling."""
        measure, layer, seen = self.measure, self.layer, Seen(fired)
        if before is not None:
            every = self.lease.take(*current.shape, dtype=torch.uint8, device=current.device)
            scan(current, affine, layer.neuron, (1, 1), every, before, kernels=self.compute.kernels)
            places = every.sum(1, dtype=torch.int64) if measure.places else None
            samples = every.flatten(2).sum(2, dtype=torch.int64) if measure.samples else None
            seen = replace(seen, places=places, samples=samples)
            self.lease.give(every, before)
        if measure.current:
            counts, largest = histogram(current, affine, measure.current)
            seen = replace(seen, current=counts, largest=largest)
        if measure.moments:
            seen = replace(seen, moments=current_moments(current, kernels=self.compute.kernels))
        return seen

    def _synapse_backward(
        self, done: Saved, grad_current: Tensor, weight_grad: Tensor | None, *, wants_input: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Weight gradient into ``weight_grad``; the input's over ``grad_current`` where it has room, and where it
        lies."""
        synapse, source, events = self.synapse, done.source.values, done.found.by_events[1]
        input_grad, held = None, grad_current
        if wants_input:
            if source.numel() > grad_current.numel():
                held = self.lease.take(source.numel(), dtype=grad_current.dtype, device=source.device)
            input_grad = held.flatten()[: source.numel()].view(source.shape)
        for first, last in self._chunks(grad_current, source):
            part = grad_current[first:last]
            low = part.to(synapse.backward_dtype)
            if weight_grad is not None:
                given = part if events else low
                synapse.add_weight_grad(weight_grad, done.source.steps(first, last), given, events=events)
            if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
                shape = (source.shape[2], source.shape[3], source.shape[4])
                input_grad[first:last].copy_(synapse.input_grad(low, shape))
        if held is not grad_current:
            self.lease.give(grad_current)
        return input_grad, held


def _completed(seen: Seen, measure: Measure) -> Seen:
    """With room for what the backward pass measures."""
    if measure.gradient:
        nan = torch.full((len(seen.spikes),), torch.nan, dtype=torch.float64, device=seen.spikes.device)
        seen = replace(seen, gradient=nan)
    return seen


def density(compute: Compute, fired: Tensor, counts: Tensor) -> float:
    """Events per place. A GPU is not asked: it would have to be waited for, and a graph cannot answer."""
    return float(fired.sum()) / max(1, counts.numel()) if compute.kernels == "cpu" else 1.0
