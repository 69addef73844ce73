"""One layer in one pass: some time steps forward, chunk by chunk, and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.crossover import goes_by_events
from bntt.engine.graph.fire import Firing, fired
from bntt.engine.graph.layer import Layer, Resolved, Saved, chunks, joined
from bntt.engine.graph.node import BackwardCall, Carry, How, Learned, NodePass, Passed, Start, Towards
from bntt.engine.graph.normalisation import (
    as_given,
    by_batch,
    by_sample,
    current_moments,
    through_samples,
    towards_current,
)
from bntt.engine.graph.recording import Measure, Seen, arrivals, joined_seen, write_norms
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, leak_gradient, neuron_steps
from bntt.engine.scan import drive, scan_reverse, scan_sums
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE, Lease
from bntt.ops.norm import Moments, add_up, joined_moments


class _Work(NamedTuple):
    """The tensors that a forward pass works on."""

    source: Spikes
    current: Tensor
    firing: Firing | None
    drive: Tensor | None
    """Buffer for the normalised current where there are no neurons, ``[S, B, H, W, C]``."""
    by_events: tuple[bool, bool]


@dataclass(frozen=True)
class LayerPass(NodePass):
    """A layer in one pass, with its weights in the layout of the pass."""

    node: Layer
    synapse: Synapse

    @staticmethod
    def begin(layer: Layer, how: How) -> LayerPass:
        """Begin a pass, with prepared weights where there are some."""
        make = Synapse if how.prepared is None else how.prepared.synapse
        return LayerPass(layer, how, make(layer.weight, layer.bias, layer.geometry, how.compute.precision))

    @property
    def compute(self) -> Compute:
        return self.how.compute

    @property
    def lease(self) -> Lease:
        return self.how.lease

    @property
    def agrees(self) -> bool:
        """True if the statistics are of a batch of which this process has a part."""
        return self.compute.reduce is not None and self.node.batch_statistics

    @property
    def waits(self) -> bool:
        """True if no step can be normalised before all currents are there."""
        return self.agrees or self.node.looks_ahead

    def forward(self, inputs: Sequence[Spikes], first: int, start: Start, known: Resolved | None = None) -> Passed:
        """See :class:`~bntt.engine.graph.node.NodePass`."""
        layer, (x,), how = self.node, inputs, self.how
        work = self._begin(x, first, start.membrane, known)
        measure, waits, past = how.measure if known is None else Measure(), known is None and self.waits, start.past
        found, parts, seen, spread = self._waited(work, first, past) if waits else known, [], [], []
        for begin, end in chunks(self.compute, work.current, work.source.values):
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
            seen.append(replace(self._on(work, given, affine, begin, measure), moments=raw))
        found = joined(parts) if found is None else found
        whole, moved = joined_seen(seen), work.source.values if work.source is not x else None
        if measure.arrivals:
            whole = replace(whole, arrivals=arrivals(x, self.lease, places=not self.synapse.linear))
        if measure.gradient:  # the backward pass writes it there
            nan = torch.full((len(work.current),), torch.nan, dtype=torch.float64, device=work.current.device)
            whole = replace(whole, gradient=nan)
        current: Tensor | None = work.current
        if how.drops:
            self.lease.give(current)
            current = None
        spreads = torch.cat(spread) if spread else None
        saved = Saved(work.source, moved, x.values.shape, current, found, start.membrane, spreads)
        keeps, firing, buffers = (moved is None,), work.firing, (current, moved)
        if firing is None:
            assert work.drive is not None
            return Passed(Spikes(work.drive), saved, keeps, Start(None, found.carried), whole, buffers, found)
        after = Start(firing.membrane, found.carried)
        return Passed(firing.spikes(fired(seen)), saved, keeps, after, whole, buffers, found)

    def _on(self, work: _Work, current: Tensor, affine: Affine, begin: int, measure: Measure) -> Seen:
        """Run what follows the normalisation of some steps."""
        if work.firing is not None:
            return work.firing.chunk(current, affine, begin, measure)
        assert work.drive is not None
        drive(current, affine, work.drive[begin : begin + len(current)])
        return Seen()

    def backward(self, done: Saved, towards: Towards, learned: Learned, call: BackwardCall) -> list[Towards | None]:
        """See :class:`~bntt.engine.graph.node.NodePass`; the input's gradient lies where the saved current did."""
        layer, found, (first, carry, keep, wants, norms) = self.node, done.found, call
        weight, bias, gamma, beta, leak = learned
        current = self._made_again(done) if done.current is None else done.current
        done_with = done.current is None or not keep  # it may be written over
        apart = not done_with or done.spread is not None
        out = self.lease.take(*current.shape, dtype=current.dtype, device=current.device) if apart else current
        reverse, kernels = self._reverse(done, current, towards.grad, first, carry), self.compute.kernels
        summed = any(one is not None for one in (found.moments, gamma, beta, leak, bias))  # attacks need none
        sums = scan_sums(reverse, leak=leak is not None, kernels=kernels) if summed else found.inverse[:0]
        offset = slope = None
        shifts = found.past is not None or carry.past is not None  # the statistics include other steps
        if found.moments is not None:
            reduce = self.compute.reduce
            offset, slope, carry.past = towards_current(
                layer, found, sums[:2] if reduce is None else reduce(sums[:2].clone()), carry.past
            )
        scan_reverse(reverse, out, offset, slope, kernels=kernels)
        last = first + len(current)
        if gamma is not None:
            gamma[first:last] = sums[1]
        if beta is not None:
            beta[first:last] = sums[0]
        if leak is not None:
            leak += leak_gradient(sums[2], leak.shape)
        if done.spread is not None:
            for begin, end in chunks(self.compute, out):
                through_samples(out[begin:end], current[begin:end], done.spread[begin:end])
            if done_with:
                self.lease.give(current)
        if bias is not None and (shifts or not layer.batch_statistics):  # else a constant cancels in them
            whole = shifts or done.spread is not None
            bias += out.sum((0, 1, 2, 3)) if whole else (found.affine.scale * sums[0]).sum(0)
        if norms is not None:
            write_norms(out, norms[first:last])
        input_grad, held = self._synapse_backward(done, out, weight, wants_input=wants[0])
        if not keep:
            self.lease.give(done.moved)
        if input_grad is None:
            self.lease.give(held)
            return [None]
        left = layer.leave(input_grad, done.before)
        if left.untyped_storage().data_ptr() != held.untyped_storage().data_ptr():  # a flattened one is moved back
            self.lease.give(held)
            return [Towards(SpikeGrad(left))]
        return [Towards(SpikeGrad(left), held)]

    def _reverse(self, done: Saved, current: Tensor, grad: SpikeGrad, first: int, carry: Carry) -> Reverse:
        """Return the reverse of what followed the normalisation, for the backward pass."""
        layer, neuron = self.node, self.node.neuron
        if neuron is not None:
            grad, neuron = grad.of_type(current.dtype), neuron_steps(neuron, first, first + len(current))
        affine, inverse = done.found.affine, done.found.inverse
        return Reverse(current, affine, inverse, neuron, layer.window, grad, done.start, carry.membrane)

    def _made_again(self, done: Saved) -> Tensor:
        """Recompute the current of a pass that did not keep it."""
        shape, source = self.node.current_shape(done.source), done.source
        current = self.lease.take(*shape, dtype=self.synapse.forward_dtype, device=source.values.device)
        for begin, end in chunks(self.compute, current, source.values):
            out = current[begin:end]
            given, copy = self._current(source.steps(begin, end), out, done.found.by_events)
            if self.node.sample_eps is not None:
                by_sample(given, self.node.sample_eps, out)
            elif copy is not None:
                copy.copy_(given)
        return current

    def _moments(self, current: Tensor, copy: Tensor | None = None) -> Moments:
        return current_moments(current, copy, kernels=self.compute.kernels)

    def _normalisation(
        self, current: Tensor, copy: Tensor | None, steps: slice, past: Moments | None, by_events: tuple[bool, bool]
    ) -> Resolved:
        """Resolve some steps; ``copy`` receives their current on the way."""
        if self.node.batch_statistics:
            own = self._moments(current, copy)
            return by_batch(self.node, steps, own, past, by_events)
        if copy is not None:
            copy.copy_(current)
        return as_given(self.node, steps, by_events)

    def _begin(self, x: Spikes, first: int, start: Tensor | None, known: Resolved | None) -> _Work:
        layer, lease, device = self.node, self.lease, x.values.device
        source = layer.enter(x, lease)
        current = lease.take(*layer.current_shape(source), dtype=self.synapse.forward_dtype, device=device)
        by_events = goes_by_events(self.synapse, source, self.compute) if known is None else known.by_events
        if layer.neuron is None:
            return _Work(source, current, None, lease.take(*current.shape, device=device), by_events)
        return _Work(
            source, current, Firing.begin(layer.neuron, layer.window, self.how, current, start, first), None, by_events
        )

    def _current(self, source: Spikes, out: Tensor, by_events: tuple[bool, bool]) -> tuple[Tensor, Tensor | None]:
        """Return the synaptic current of some steps, and ``out`` if it has yet to be copied there."""
        given = self.synapse.forward(source, events=by_events[0], out=out)
        return given, None if given.data_ptr() == out.data_ptr() else out

    def _waited(self, work: _Work, first: int, past: Moments | None) -> Resolved:
        """Compute all currents, then their normalisation, by the moments of all processes."""
        own = joined_moments(
            [
                self._moments(*self._current(work.source.steps(begin, end), work.current[begin:end], work.by_events))
                for begin, end in chunks(self.compute, work.current, work.source.values)
            ]
        )
        if self.compute.reduce is not None:
            own = add_up(own, self.compute.reduce)
        return by_batch(self.node, slice(first, first + len(work.current)), own, past, work.by_events)

    def _synapse_backward(
        self, done: Saved, grad_current: Tensor, weight_grad: Tensor | None, *, wants_input: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Add the weight gradient to ``weight_grad``; return the input's gradient and its buffer."""
        synapse, source, events = self.synapse, done.source.values, done.found.by_events[1]
        input_grad, held = None, grad_current
        if wants_input:
            if source.numel() > grad_current.numel():
                held = self.lease.take(source.numel(), dtype=grad_current.dtype, device=source.device)
            input_grad = held.flatten()[: source.numel()].view(source.shape)
        with WORKSPACE.lease() as lease:
            fast = input_grad is not None and takes(synapse, source.shape, self.compute)
            winograd = InputGrad.begin(synapse, source.shape[2], source.shape[3], lease) if fast else None
            for first, last in chunks(self.compute, grad_current, source):
                part = grad_current[first:last]
                low = part.to(synapse.backward_dtype)
                if weight_grad is not None:
                    given = part if events else low
                    synapse.add_weight_grad(weight_grad, done.source.steps(first, last), given, events=events)
                if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
                    self._input_grad(low, input_grad[first:last], winograd, lease)
        if held is not grad_current:
            self.lease.give(grad_current)
        return input_grad, held

    def _input_grad(self, grad: Tensor, out: Tensor, winograd: InputGrad | None, lease: Lease) -> None:
        """Write the input's gradient of some steps into ``out``, which may lie over ``grad``."""
        if winograd is None:
            out.copy_(self.synapse.input_grad(grad, (out.shape[2], out.shape[3], out.shape[4])))
            return
        alike = out.data_ptr() == grad.data_ptr() and out.shape == grad.shape
        if alike or out.data_ptr() + out.nbytes <= grad.data_ptr() or grad.data_ptr() + grad.nbytes <= out.data_ptr():
            winograd.into(grad, out)
            return
        apart = lease.take(*out.shape)
        winograd.into(grad, apart)
        out.copy_(apart)
        lease.give(apart)
