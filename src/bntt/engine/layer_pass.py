"""One layer in one pass: some time steps forward, chunk by chunk, and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.crossover import goes_by_events
from bntt.engine.layer import Carry, Gradients, Layer, Resolved, Saved, Start, chunk_steps, joined
from bntt.engine.measure import Measure, Seen, histogram, joined_seen, write_norms
from bntt.engine.neuron import Affine, Reverse, SpikeGrad, neuron_tables
from bntt.engine.normalisation import (
    as_given,
    by_batch,
    by_sample,
    current_moments,
    through_samples,
    towards_current,
)
from bntt.engine.scan import pooled_shape, scan, scan_reverse, scan_sums
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.workspace import Lease
from bntt.ops.folded import AnyNeuron
from bntt.ops.norm import Moments, add_up, joined_moments


class Passed(NamedTuple):
    """What the forward pass of a layer gives; its buffers are the lease's."""

    spikes: Spikes
    saved: Saved
    end: Start
    """After the last step."""
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

    drops: bool = False
    """Whether the current is not kept for the backward pass, which makes it again."""

    @property
    def agrees(self) -> bool:
        """Whether its statistics are those of a batch of which this process has a part."""
        return self.compute.reduce is not None and self.layer.batch_statistics

    @property
    def waits(self) -> bool:
        """Whether no step can be normalised before all currents are there."""
        return self.agrees or self.layer.looks_ahead

    def forward(self, x: Spikes, first: int, start: Start, known: Resolved | None = None) -> Passed:
        """The steps from ``first`` on.

        Args:
            x: the input before it is flattened. Where it lies in the lease it is this layer's from here on.
            start: what the layer carries from the steps before; it is left as it is.
            known: what an earlier pass over the same steps found; that pass measured.
        """
        layer, work = self.layer, self._begin(x, start.membrane, known)
        measure, waits, past = self.measure if known is None else Measure(), known is None and self.waits, start.past
        found, parts, seen, spread = self._waited(work, first, past) if waits else known, [], [], []
        for begin, end in self._chunks(work.current, work.source.values):
            out = work.current[begin:end]
            given, copy = (out, None) if waits else self._current(work.source.steps(begin, end), out, work.by_events)
            raw = self._moments(given) if measure.moments else None
            if layer.sample_eps is not None:
                spread.append(by_sample(given, layer.sample_eps, out))
                given, copy = out, None
            if found is None:
                parts.append(self._normalisation(given, copy, slice(first + begin, first + end), past, work.by_events))
                past = parts[-1].carried
            elif copy is not None:
                copy.copy_(given)
            affine = parts[-1].affine if found is None else found.affine.steps(begin, end)
            before = self._copied(work.membrane) if measure.every_place else None
            neuron = layer.neuron_at(first + begin, first + end)
            fired = self._scan(given, affine, neuron, work.counts[begin:end], work.membrane)
            looked = self._see(given, affine, neuron, fired, before) if measure.looks else Seen(fired)
            seen.append(looked if raw is None else replace(looked, moments=raw))
        found = joined(parts) if found is None else found
        whole = _completed(joined_seen(seen), measure)
        held = work.source.values if self.lease.owns(work.source.values) else None
        current: Tensor | None = work.current
        if self.drops:
            self.lease.give(current)
            current = None
        spreads = torch.cat(spread) if spread else None
        saved = Saved(work.source, held, x.values.shape, current, found, start.membrane, spreads)
        spikes = layer.spikes(work.counts, density(self.compute, whole.spikes, work.counts))
        return Passed(spikes, saved, Start(work.membrane, found.carried), whole)

    def backward(
        self,
        done: Saved,
        grad: SpikeGrad,
        learned: Gradients,
        first: int,
        *,
        carry: Carry,
        keep: bool,
        wants_input: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradient of the steps from ``first`` on towards the layer's input, before it was flattened.

        Args:
            learned: the gradients of what the layer learns; these steps' part is added.
            carry: the gradients of what follows these steps; they become those of what came before.
            keep: leave the saved current as it is, for another backward pass; else the gradients are written over it.

        Returns:
            The input's gradient, and the buffer of the lease that it lies in.
        """
        layer, found = self.layer, done.found
        current, keep = (self._made_again(done), False) if done.current is None else (done.current, keep)
        apart = keep or done.spread is not None
        out = self.lease.take(*current.shape, dtype=current.dtype, device=current.device) if apart else current
        neuron = layer.neuron_at(first, first + len(current))
        reverse = Reverse(current, found.affine, found.inverse, neuron, layer.window, grad, done.start, carry.membrane)
        sums = scan_sums(reverse, leak=learned.leak is not None, kernels=self.compute.kernels)
        offset, slope = torch.zeros_like(found.inverse), torch.zeros_like(found.inverse)
        if found.moments is not None:
            reduce = self.compute.reduce
            offset, slope, carry.past = towards_current(
                layer, found, sums[:2] if reduce is None else reduce(sums[:2].clone()), carry.past
            )
        scan_reverse(reverse, out, offset, slope, kernels=self.compute.kernels)
        last = first + sums.shape[1]
        learned.gamma[first:last] = sums[1]
        if learned.beta is not None:
            learned.beta[first:last] = sums[0]
        if learned.leak is not None:  # of one leak, or of every channel's
            leak = neuron_tables(neuron, sums.shape[2], sums.device).leak[0]
            learned.leak += (sums[2].sum(0) / leak).sum_to_size(learned.leak.shape)
        if done.spread is not None:
            self._through_samples(out, current, done.spread)
            if not keep:
                self.lease.give(current)
        if learned.bias is not None and not layer.batch_statistics:  # a constant before them changes nothing
            one_step = (found.affine.scale * sums[0]).sum(0) if done.spread is None else out.sum((0, 1, 2, 3))
            learned.bias += one_step
        if learned.norms is not None:
            write_norms(out, learned.norms[first:last])
        input_grad, held = self._synapse_backward(done, out, learned.weight, wants_input=wants_input)
        return None if input_grad is None else layer.leave(input_grad, done.before), held

    def _made_again(self, done: Saved) -> Tensor:
        """The current of a pass that did not keep it."""
        shape, source = self.layer.current_shape(done.source), done.source
        current = self.lease.take(*shape, dtype=self.synapse.forward_dtype, device=source.values.device)
        for begin, end in self._chunks(current, source.values):
            out = current[begin:end]
            given, copy = self._current(source.steps(begin, end), out, done.found.by_events)
            if self.layer.sample_eps is not None:
                by_sample(given, self.layer.sample_eps, out)
            elif copy is not None:
                copy.copy_(given)
        return current

    def _through_samples(self, grad: Tensor, normal: Tensor, spread: Tensor) -> None:
        for begin, end in self._chunks(grad):
            through_samples(grad[begin:end], normal[begin:end], spread[begin:end])

    def _moments(self, current: Tensor, copy: Tensor | None = None) -> Moments:
        return current_moments(current, copy, kernels=self.compute.kernels)

    def _normalisation(
        self, current: Tensor, copy: Tensor | None, steps: slice, past: Moments | None, by_events: tuple[bool, bool]
    ) -> Resolved:
        """Of some steps; ``copy`` takes their current on the way."""
        if self.layer.batch_statistics:
            own = self._moments(current, copy)
            return by_batch(self.layer, steps, own, past, by_events)
        if copy is not None:
            copy.copy_(current)
        return as_given(self.layer, steps, by_events)

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

    def _current(self, source: Spikes, out: Tensor, by_events: tuple[bool, bool]) -> tuple[Tensor, Tensor | None]:
        """The synaptic current of some steps, and ``out`` if it is yet to be copied there."""
        given = self.synapse.forward(source, events=by_events[0], out=out)
        return given, None if given.data_ptr() == out.data_ptr() else out

    def _waited(self, work: _Work, first: int, past: Moments | None) -> Resolved:
        """All currents, and then their normalisation, by the moments of all processes."""
        own = joined_moments(
            [
                self._moments(*self._current(work.source.steps(begin, end), work.current[begin:end], work.by_events))
                for begin, end in self._chunks(work.current, work.source.values)
            ]
        )
        if self.compute.reduce is not None:
            own = add_up(own, self.compute.reduce)
        return by_batch(self.layer, slice(first, first + len(work.current)), own, past, work.by_events)

    def _scan(self, current: Tensor, affine: Affine, neuron: AnyNeuron, counts: Tensor, membrane: Tensor) -> Tensor:
        return scan(current, affine, neuron, self.layer.window, counts, membrane, kernels=self.compute.kernels)

    def _copied(self, membrane: Tensor) -> Tensor:
        return self.lease.take(*membrane.shape, device=membrane.device).copy_(membrane)

    def _see(self, current: Tensor, affine: Affine, neuron: AnyNeuron, fired: Tensor, before: Tensor | None) -> Seen:
        """What is measured of a chunk; ``before`` is the membrane that it started from, for a scan without pooling."""
        measure, seen = self.measure, Seen(fired)
        if before is not None:
            every = self.lease.take(*current.shape, dtype=torch.uint8, device=current.device)
            scan(current, affine, neuron, (1, 1), every, before, kernels=self.compute.kernels)
            places = every.sum(1, dtype=torch.int64) if measure.places else None
            samples = every.flatten(2).sum(2, dtype=torch.int64) if measure.samples else None
            seen = replace(seen, places=places, samples=samples)
            self.lease.give(every, before)
        if measure.current:
            counts, largest = histogram(current, self.layer.before_neuron(affine), measure.current)
            seen = replace(seen, current=counts, largest=largest)
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
