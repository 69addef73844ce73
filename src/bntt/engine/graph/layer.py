"""The nodes of a fused run: a layer, and what is between two: firing from a summed current, sums, pools, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute, KernelName
from bntt.engine.graph.node import Gradients, GradState, Learned, Node, PassContext, Passed, Size, Start
from bntt.engine.graph.recording import LayerMeasures, Measure, arrivals, histogram, join_steps, write_norms
from bntt.engine.kernels import open_kernels
from bntt.engine.layer_spec import (
    Affine,
    PoolSize,
    Reverse,
    SpikeGrad,
    learned_leak,
    neuron_steps,
    pooled_shape,
)
from bntt.engine.synapse import Geometry, Spikes, Synapse, goes_by_events
from bntt.engine.winograd import InputGrad, takes
from bntt.engine.workspace import WORKSPACE, Lease
from bntt.ops.folded import AnyNeuron
from bntt.ops.norm import Moments, add_up, joined_moments
from bntt.ops.pooling import Pooling, Window

CHUNK_BYTES = 16 << 20
"""Bytes of a layer's current in one chunk of time steps: the size of a processor's last-level cache."""


@dataclass(frozen=True)
class Resolved:
    """The findings of the first forward pass over some steps; a second pass reuses them."""

    affine: Affine
    inverse: Tensor
    """1/√(σ² + ε), ``[T, C]``."""
    moments: Moments | None
    """The batch moments that normalised these steps, if they were taken; over all processes."""
    event_driven: tuple[bool, bool]
    """True where events were used: in the forward pass, in the weight gradient."""
    own: Moments | None = None
    """Moments of every single step, where several steps' were pooled."""
    past: Moments | None = None
    """Pooled moments of the steps before."""
    carried: Moments | None = None
    """Pooled moments kept for the steps that follow."""


def joined(parts: Sequence[Resolved]) -> Resolved:
    """Join the findings of consecutive steps into those of one run."""
    if len(parts) == 1:
        return parts[0]
    affine, inverse = join_steps([part.affine for part in parts]), join_steps([part.inverse for part in parts])
    moments, own = join_steps([part.moments for part in parts]), join_steps([part.own for part in parts])
    return Resolved(affine, inverse, moments, parts[0].event_driven, own, parts[0].past, parts[-1].carried)


@dataclass
class Saved:
    """The state that one layer of one forward pass saves for the backward pass."""

    source: Spikes
    """The input, in the layer's layout."""
    moved: Tensor | None
    """The buffer that it was moved to; None: it was not."""
    before: torch.Size
    """The input's shape before the layer flattened it."""
    current: Tensor | None
    """The synaptic current; None: it is recomputed from the input."""
    found: Resolved
    start: Tensor | None
    """The membrane before the first of these steps, ``[B, H, W, C]``; None is rest."""
    spread: Tensor | None
    """1/σ of every sample and step, ``[T, B, 1, 1, 1]``, where the current was normalised by itself."""


def chunks(compute: Compute, *values: Tensor) -> Iterator[tuple[int, int]]:
    """Yield first and end of each chunk of steps, by the largest of values with equally many; on a GPU all are one."""
    steps = size = len(values[0])
    if compute.kernels == "cpu":
        size = max(1, CHUNK_BYTES // (4 * max(math.prod(one.shape[1:]) for one in values)))
    return ((begin, min(steps, begin + size)) for begin in range(0, steps, size))


def current_moments(current: Tensor, copy: Tensor | None = None, *, kernels: KernelName = "cpu") -> Moments:
    """Return Algorithm 1's statistics of a current ``[T, B, H, W, C]``; ``copy`` receives its values on the way."""
    steps, *places, _ = current.shape
    mean, var = open_kernels(kernels).moments(current, copy)
    return Moments(mean, var, (math.prod(places),) * steps)


def by_batch(
    layer: Layer, steps: slice, own: Moments, past: Moments | None, event_driven: tuple[bool, bool]
) -> Resolved:
    """Normalise some steps (Eq. 9) by the batch's statistics, pooled over time as the layer says."""
    if layer.pooling == Window(0):
        return _resolved(layer, steps, own.mean, own.var, own, event_driven)
    pooled, carried = layer.pooling.extend(past, own)
    rows = len(own.count), own.mean.shape[1]
    found = _resolved(layer, steps, pooled.mean.expand(rows), pooled.var.expand(rows), pooled, event_driven)
    return replace(found, own=own, past=past, carried=carried)


def as_given(layer: Layer, steps: slice, event_driven: tuple[bool, bool]) -> Resolved:
    """Normalise some steps (Eq. 9) by the layer's given statistics."""
    assert layer.mean is not None
    assert layer.var is not None
    mean, var = layer.mean[steps].clone(), layer.var[steps]  # the running mean itself may move on
    return _resolved(layer, steps, mean, var, None, event_driven)


def _resolved(
    layer: Layer, steps: slice, mean: Tensor, var: Tensor, moments: Moments | None, event_driven: tuple[bool, bool]
) -> Resolved:
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[steps] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[steps]
    affine = Affine(mean.contiguous(), scale.contiguous(), shift.contiguous())
    return Resolved(affine, inverse.contiguous(), moments, event_driven)


def towards_current(
    layer: Layer, found: Resolved, sums: Tensor, later: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Return what Eq. 10 subtracts from ``scale g`` to get dL/d(current): ``offset + slope (current - mean)``.

    For statistics of one step it is ``a (mean(g) + x̂ mean(g x̂))``; through pooled ones gradients come by autograd.
    ``sums`` are over rows of g and of g x̂, ``[2, T, C]``, of all processes; ``later`` and the last result are
    dL/d(mean, variance) that the pooling keeps of these steps, and kept of those before.
    """
    assert found.moments is not None
    scale, inverse = found.affine.scale, found.inverse
    if found.own is None:
        rows = found.moments.count[0]
        return (scale * (sums[0] / rows)).float(), (scale * inverse * (sums[1] / rows)).float(), None
    towards_mean, towards_var = -scale * sums[0], -0.5 * scale * inverse * sums[1]
    with torch.enable_grad():
        own, past = _leaves(found.own), None if found.past is None else _leaves(found.past)
        pooled, carried = layer.pooling.extend(past, own)
        pairs = [(pooled.mean.expand_as(scale), towards_mean), (pooled.var.expand_as(scale), towards_var)]
        if carried is not None and later is not None:
            pairs += [(carried.mean, later[0]), (carried.var, later[1])]
        leaves = [own.mean, own.var] + ([] if past is None else [past.mean, past.var])
        into = torch.autograd.grad([out for out, _ in pairs], leaves, [grad for _, grad in pairs])
    counts = torch.tensor(own.count, dtype=torch.float64, device=scale.device)[:, None]
    slope = -2 * into[1] / counts
    offset = slope * (found.affine.mean - own.mean.detach()) - into[0] / counts
    return offset.float(), slope.float(), None if past is None else (into[2], into[3])


def _leaves(moments: Moments) -> Moments:
    mean, var = (rows.detach().double().requires_grad_() for rows in (moments.mean, moments.var))
    return Moments(mean, var, moments.count)


def by_sample(current: Tensor, eps: float, out: Tensor) -> Tensor:
    """Normalise each sample and step, ``(x - μ) / √(σ² + ε)`` over channels and places: LayerNorm without its scale."""
    normal, _, spread = torch.native_layer_norm(current.float(), current.shape[2:], None, None, eps)
    out.copy_(normal)
    return spread


def through_samples(grad: Tensor, normal: Tensor, spread: Tensor) -> None:
    """Write the gradient of :func:`by_sample` over that of its result: ``(g - mean(g) - x̂ mean(g x̂)) / σ``."""
    dims = (2, 3, 4)
    mean, product = grad.mean(dims, keepdim=True), (grad * normal).mean(dims, keepdim=True)
    grad.sub_(mean).addcmul_(normal, product, value=-1).mul_(spread)


def drive(current: Tensor, affine: Affine, out: Tensor) -> None:
    """Write ``z = scale (current - mean) + shift`` into ``out``, float32: a layer without neurons."""
    for t, values in enumerate(current):
        torch.sub(values, affine.mean[t], out=out[t]).mul_(affine.scale[t]).add_(affine.shift[t])


def drive_sums(reverse: Reverse) -> Tensor:
    """Return what ``scan_sums`` does, of :func:`drive`."""
    inverse, current = reverse.inverse, reverse.current
    sums = torch.empty(2, *inverse.shape, dtype=torch.float64, device=current.device)
    for t, values in enumerate(current):
        g = reverse.grad.at(t)
        sums[0, t] = g.sum((0, 1, 2))
        sums[1, t] = (g * (values - reverse.affine.mean[t])).sum((0, 1, 2)) * inverse[t]
    return sums


def drive_reverse(reverse: Reverse, out: Tensor, offset: Tensor | None, slope: Tensor | None) -> None:
    """Write what ``scan_reverse`` does, of :func:`drive`."""
    affine = reverse.affine
    for t, values in enumerate(reverse.current):
        grad = reverse.grad.at(t) * affine.scale[t]
        if offset is not None and slope is not None:
            grad -= (values - affine.mean[t]).mul_(slope[t]).add_(offset[t])
        out[t] = grad


class Firing:
    """The neurons of one node while chunks of steps go through it: ``membrane`` moves on, ``counts`` are the spikes."""

    def __init__(
        self, neuron: AnyNeuron, window: PoolSize, how: PassContext, current: Tensor, start: Tensor | None, first: int
    ) -> None:
        """Start on a current of all steps, ``[S, B, H, W, C]``, from a membrane; None is rest."""
        self.neuron, self.window, self.how, self.first, lease = neuron, window, how, first, how.lease
        if start is not None and how.in_place and lease.owns(start):
            self.membrane = start
        else:
            membrane = lease.take(*current.shape[1:], device=current.device)
            self.membrane = membrane.zero_() if start is None else membrane.copy_(start)
        self.counts = lease.take(*pooled_shape(current, window), dtype=torch.uint8, device=current.device)

    def chunk(self, current: Tensor, affine: Affine, begin: int, measure: Measure) -> LayerMeasures:
        """Run the next steps, of which ``begin`` is the first, counted from the pass's first."""
        before, lease, scan = None, self.how.lease, open_kernels(self.how.compute.kernels).scan
        if measure.every_place:
            before = lease.take(*self.membrane.shape, device=self.membrane.device).copy_(self.membrane)
        end = begin + len(current)
        counts, neuron = self.counts[begin:end], neuron_steps(self.neuron, self.first + begin, self.first + end)
        seen = LayerMeasures(spikes=scan(current, affine, neuron, self.window, counts, self.membrane))
        if before is not None:
            every = lease.take(*current.shape, dtype=torch.uint8, device=current.device)
            scan(current, affine, neuron, (1, 1), every, before)
            places = every.sum(1, dtype=torch.int64) if measure.places else None
            samples = every.flatten(2).sum(2, dtype=torch.int64) if measure.samples else None
            seen = replace(seen, places=places, samples=samples)
            lease.give(every, before)
        if measure.current:
            seen = replace(seen, current=histogram(current, affine.before(neuron), measure.current))
        return seen

    def spikes(self, seen: LayerMeasures) -> Spikes:
        """Return the output spikes, given what was measured in all steps."""
        assert seen.spikes is not None
        area = self.window[0] * self.window[1]
        return Spikes(self.counts, 1 / area, area, density(self.how.compute, seen.spikes, self.counts))


def density(compute: Compute, fired: Tensor, counts: Tensor) -> float:
    """Return events per place. A GPU is not queried: that would block, and cannot be captured in a graph."""
    return float(fired.sum()) / max(1, counts.numel()) if compute.kernels == "cpu" else 1.0


@dataclass(frozen=True)
class Layer(Node):
    """One layer of a run. ``gamma`` and ``beta`` are ``[T, C]``; the statistics are given, or None: the batch's."""

    geometry: Geometry
    flatten: bool
    """True if the input is flattened to ``C·H·W`` features first."""
    window: PoolSize
    neuron: AnyNeuron | None
    """Neuron of the run's steps; a folded one's gain and bias are ``gamma`` and ``beta``. None: no neuron; the layer
    outputs its normalised current."""
    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float
    pooling: Pooling = Window(0)
    """Rule that pools the batch's statistics of several steps into those of one."""
    sample_eps: float | None = None
    """ε of a normalisation of every sample and step over its channels and places, before the one by the tables above,
    which then only scales (layer normalisation); None: there is none."""
    rectifies: bool = False
    """True if there are no neurons, and the normalised current is rectified, and averaged over windows: an ANN's."""

    @property
    def looks_ahead(self) -> bool:
        """True if a step's normalisation needs the currents of all steps."""
        return self.batch_statistics and self.pooling.looks_ahead

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        """Weight, bias, γ, β and leak; None where there is none."""
        return self.weight, self.bias, self.gamma, self.beta, self.learned_leak

    @property
    def learned_leak(self) -> Tensor | None:
        """λ, of the layer or of every channel, where it learns."""
        return None if self.neuron is None else learned_leak(self.neuron)

    @property
    def batch_statistics(self) -> bool:
        """True if mean and variance are the batch's, and not given."""
        return self.mean is None or self.var is None

    def enter(self, x: Spikes, lease: Lease | None = None) -> Spikes:
        """Return the layer's input in its own layout: itself, or moved, to a buffer of the lease if there is one."""
        steps, batch, height, width, channels = x.values.shape
        if not self.flatten or height * width == 1:
            return x
        values, features = x.values.permute(0, 1, 4, 2, 3), height * width * channels
        if lease is None:
            moved = values.flatten(2)
        else:
            moved = lease.take(steps, batch, features, dtype=values.dtype, device=values.device)
            moved.view(values.shape).copy_(values)
        return Spikes(moved[:, :, None, None, :], x.scale, x.largest, x.density)

    def leave(self, grad: Tensor, before: torch.Size) -> Tensor:
        """Return the gradient of :meth:`enter`, for an input that was ``before``."""
        if not self.flatten:
            return grad
        steps, batch, height, width, channels = before
        return grad.reshape(steps, batch, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()

    def current_shape(self, x: Spikes) -> tuple[int, ...]:
        """Return the shape of the synaptic current for an input that was entered."""
        kernel = (1, 1) if self.weight.ndim == 2 else (self.weight.shape[2], self.weight.shape[3])
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), kernel)
        return (*x.values.shape[:2], *size, self.weight.shape[0])

    def size(self, inputs: Sequence[Spikes]) -> Size:
        """Return the memory that one step needs, see :class:`~bntt.engine.graph.node.Node`."""
        current = torch.empty(self.current_shape(self.enter(inputs[0])), dtype=torch.float32, device="meta")
        counted, shape = self.neuron is not None, pooled_shape(current, self.window)
        out = torch.empty(shape, dtype=torch.uint8 if counted else torch.float32, device="meta")
        floats, counts = (0, out.numel()) if counted else (out.numel(), 0)
        return Size(Spikes(out), current.numel() + floats, counts)

    def waits(self, compute: Compute) -> bool:
        """Return True if no step can be normalised before all currents are there, in this process or in others."""
        return self.looks_ahead or (compute.reduce is not None and self.batch_statistics)

    def synapse(self, how: PassContext) -> Synapse:
        """Return the weights for a pass, with prepared layouts where there are some."""
        if id(self) not in how.synapses:
            make = Synapse if how.prepared is None else how.prepared.synapse
            how.synapses[id(self)] = make(self.weight, self.bias, self.geometry, how.compute.precision)
        return how.synapses[id(self)]

    def forward(
        self, how: PassContext, inputs: Sequence[Spikes], first: int, start: Start, known: Resolved | None = None
    ) -> Passed:
        (x,), lease, compute, synapse = inputs, how.lease, how.compute, self.synapse(how)
        source, device, past = self.enter(x, lease), x.values.device, start.past
        current = lease.take(*self.current_shape(source), dtype=synapse.forward_dtype, device=device)
        event_driven = goes_by_events(synapse, source, compute) if known is None else known.event_driven
        measure = how.measure if known is None else Measure()
        found, parts, seen, spread = known, list[Resolved](), list[LayerMeasures](), list[Tensor]()
        firing = None
        if self.neuron is not None:
            firing = Firing(self.neuron, self.window, how, current, start.membrane, first)
        out = lease.take(*current.shape, device=device) if firing is None else firing.counts
        made = self._currents(how, source, current, event_driven)
        if known is None and self.waits(compute):  # all currents first, then their moments, of all processes
            own = joined_moments([current_moments(y, copy, kernels=compute.kernels) for _, y, copy in made])
            own = own if compute.reduce is None else add_up(own, compute.reduce)
            found = by_batch(self, slice(first, first + len(current)), own, past, event_driven)
            made = ((begin, current[begin:end], None) for begin, end in chunks(compute, current, source.values))
        for begin, y, copy in made:
            end = begin + len(y)
            raw = current_moments(y, kernels=compute.kernels) if measure.moments else None
            if self.sample_eps is not None:
                spread.append(by_sample(y, self.sample_eps, current[begin:end]))
                y, copy = current[begin:end], None
            steps = slice(first + begin, first + end)
            if found is None and self.batch_statistics:  # they copy on the way
                parts.append(
                    by_batch(self, steps, current_moments(y, copy, kernels=compute.kernels), past, event_driven)
                )
                past = parts[-1].carried
            elif copy is not None:
                copy.copy_(y)
            if found is None and not self.batch_statistics:
                parts.append(as_given(self, steps, event_driven))
            affine = parts[-1].affine if found is None else found.affine.steps(begin, end)
            if firing is not None:
                seen.append(replace(firing.chunk(y, affine, begin, measure), moments=raw))
            else:
                drive(y, affine, out[begin:end])
                seen.append(LayerMeasures(moments=raw))
        found = joined(parts) if found is None else found
        whole, moved = join_steps(seen), source.values if source is not x else None
        spikes, membrane = (Spikes(out), None) if firing is None else (firing.spikes(whole), firing.membrane)
        if measure.arrivals:
            whole = replace(whole, arrivals=arrivals(x, lease, places=not synapse.linear))
        if measure.gradient:  # the backward pass writes it there
            nan = torch.full((len(current),), torch.nan, dtype=torch.float64, device=device)
            whole = replace(whole, gradient=nan)
        kept, dropped = (None, current) if how.drops else (current, None)
        lease.give(dropped)
        saved = Saved(source, moved, x.values.shape, kept, found, start.membrane, join_steps(spread))
        return Passed(spikes, saved, (moved is None,), Start(membrane, found.carried), whole, (kept, moved), found)

    def _currents(
        self, how: PassContext, source: Spikes, out: Tensor, event_driven: tuple[bool, bool]
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield chunks of the synaptic current: the first step, the values, and their place in ``out`` if not there."""
        for begin, end in chunks(how.compute, out, source.values):
            place = out[begin:end]
            y = self.synapse(how).forward(source.steps(begin, end), events=event_driven[0], out=place)
            yield begin, y, None if y.data_ptr() == place.data_ptr() else place

    def backward(
        self,
        how: PassContext,
        done: Saved,
        grad: SpikeGrad,
        learned: Learned,
        *,
        first: int,
        carry: GradState,
        wants: Sequence[bool],
        norms: Tensor | None = None,
    ) -> Gradients:
        """Return the input's gradient; it lies where the saved current did."""
        lease, compute, found, kernels = how.lease, how.compute, done.found, open_kernels(how.compute.kernels)
        (weight, bias, gamma, beta, leak), neuron = learned, self.neuron
        current = self._made_again(how, done) if done.current is None else done.current
        last, out = first + len(current), current
        if done.spread is not None:
            out = lease.take(*current.shape, dtype=current.dtype, device=current.device)
        if neuron is not None:
            grad, neuron = grad.of_type(current.dtype), neuron_steps(neuron, first, last)
        reverse = Reverse(current, found.affine, found.inverse, neuron, self.window, grad, done.start, carry.membrane)
        sums = found.inverse[:0]
        if any(one is not None for one in (found.moments, gamma, beta, leak, bias)):  # attacks need none
            sums = drive_sums(reverse) if neuron is None else kernels.scan_sums(reverse, leak=leak is not None)
        offset = slope = None
        shifts = found.past is not None or carry.past is not None  # the statistics include other steps
        if found.moments is not None:
            whole_sums = sums[:2] if compute.reduce is None else compute.reduce(sums[:2].clone())
            offset, slope, carry.past = towards_current(self, found, whole_sums, carry.past)
        (drive_reverse if neuron is None else kernels.scan_reverse)(reverse, out, offset, slope)
        if gamma is not None:
            gamma[first:last] = sums[1]
        if beta is not None:
            beta[first:last] = sums[0]
        if leak is not None:
            leak += sums[2].sum(0).sum_to_size(leak.shape)
        if done.spread is not None:
            for begin, end in chunks(compute, out):
                through_samples(out[begin:end], current[begin:end], done.spread[begin:end])
            lease.give(current)
        if bias is not None and (shifts or not self.batch_statistics):  # else a constant cancels in them
            whole = shifts or done.spread is not None
            bias += out.sum((0, 1, 2, 3)) if whole else (found.affine.scale * sums[0]).sum(0)
        if norms is not None:
            write_norms(out, norms[first:last])
        input_grad, held = _synapse_backward(how, self.synapse(how), done, out, weight, wants_input=wants[0])
        lease.give(done.moved)
        if input_grad is None:
            lease.give(held)
            return [None]
        left = self.leave(input_grad, done.before)
        if left.untyped_storage().data_ptr() != held.untyped_storage().data_ptr():  # a flattened one is moved back
            lease.give(held)
            return [SpikeGrad(left)]
        return [SpikeGrad(left, held=held)]

    def _made_again(self, how: PassContext, done: Saved) -> Tensor:
        """Recompute the current of a pass that did not keep it."""
        shape, dtype, source = self.current_shape(done.source), self.synapse(how).forward_dtype, done.source
        current = how.lease.take(*shape, dtype=dtype, device=source.values.device)
        for begin, y, copy in self._currents(how, source, current, done.found.event_driven):
            if self.sample_eps is not None:
                by_sample(y, self.sample_eps, current[begin : begin + len(y)])
            elif copy is not None:
                copy.copy_(y)
        return current


def _synapse_backward(
    how: PassContext,
    synapse: Synapse,
    done: Saved,
    grad_current: Tensor,
    weight_grad: Tensor | None,
    *,
    wants_input: bool,
) -> tuple[Tensor | None, Tensor]:
    """Add the weight gradient to ``weight_grad``; return the input's gradient and its buffer."""
    source, events = done.source.values, done.found.event_driven[1]
    input_grad, held = None, grad_current
    if wants_input:
        if source.numel() > grad_current.numel():
            held = how.lease.take(source.numel(), dtype=grad_current.dtype, device=source.device)
        input_grad = held.flatten()[: source.numel()].view(source.shape)
    with WORKSPACE.lease() as lease:
        fast = input_grad is not None and takes(synapse, source.shape, how.compute)
        winograd = InputGrad(synapse, source.shape[2], source.shape[3], lease) if fast else None
        for first, last in chunks(how.compute, grad_current, source):
            part = grad_current[first:last]
            low = part.to(synapse.backward_dtype)
            if weight_grad is not None:
                given = part if events else low
                synapse.add_weight_grad(weight_grad, done.source.steps(first, last), given, events=events)
            if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
                _input_grad(synapse, low, input_grad[first:last], winograd, lease)
    if held is not grad_current:
        how.lease.give(grad_current)
    return input_grad, held


def _input_grad(synapse: Synapse, grad: Tensor, out: Tensor, winograd: InputGrad | None, lease: Lease) -> None:
    """Write the input's gradient of some steps into ``out``, which may lie over ``grad``."""
    if winograd is None:
        out.copy_(synapse.input_grad(grad, (out.shape[2], out.shape[3], out.shape[4])))
        return
    alike = out.data_ptr() == grad.data_ptr() and out.shape == grad.shape
    if alike or out.data_ptr() + out.nbytes <= grad.data_ptr() or grad.data_ptr() + grad.nbytes <= out.data_ptr():
        winograd.into(grad, out)
        return
    apart = lease.take(*out.shape)
    winograd.into(grad, apart)
    out.copy_(apart)
    lease.give(apart)


LARGEST_COUNT = 255
"""The largest value of a byte."""


@dataclass(frozen=True)
class Fire(Node):
    """Neurons driven by a value as it is, or after ``scale`` and ``shift``, of which only the scale may learn."""

    neuron: AnyNeuron
    window: PoolSize = (1, 1)
    scale: Tensor | None = None
    """``[T, C]``, for all steps; None: 1."""
    shift: Tensor | None = None
    """``[T, C]``, for all steps; None: 0."""

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        scale = self.scale if self.scale is not None and self.scale.requires_grad else None
        return learned_leak(self.neuron), scale

    def affine(self, first: int, last: int, current: Tensor) -> Affine:
        """Return the affine map that some steps of the current go through first."""
        found = Affine.identity(last - first, current.shape[-1], current.device)
        scale = found.scale if self.scale is None else self.scale[first:last].contiguous()
        return Affine(found.mean, scale, found.shift if self.shift is None else self.shift[first:last].contiguous())

    def size(self, inputs: Sequence[Spikes]) -> Size:
        shape = pooled_shape(inputs[0].values, self.window)
        counts = torch.empty(shape, dtype=torch.uint8, device="meta")
        return Size(Spikes(counts), 0, counts.numel())

    def forward(
        self, how: PassContext, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None
    ) -> Passed:
        current, seen = _floats(inputs[0]), []
        firing = Firing(self.neuron, self.window, how, current, start.membrane, first)
        for begin, end in chunks(how.compute, current):
            affine = self.affine(first + begin, first + end, current)
            seen.append(firing.chunk(current[begin:end], affine, begin, how.measure))
        saved, whole = (inputs[0], start.membrane), join_steps(seen)
        return Passed(firing.spikes(whole), saved, (True,), Start(firing.membrane), whole)

    def backward(
        self, how: PassContext, done: Any, grad: SpikeGrad, learned: Learned, *, first: int, carry: GradState, **_: Any
    ) -> Gradients:
        (source, membrane), (leak, scale), kernels = done, learned, open_kernels(how.compute.kernels)
        current = _floats(source)
        last = first + len(current)
        affine, neuron = self.affine(first, last, current), neuron_steps(self.neuron, first, last)
        plain = torch.ones_like(affine.scale)  # the sums are then over the unscaled current
        grad = grad.of_type(current.dtype)
        reverse = Reverse(current, affine, plain, neuron, self.window, grad, membrane, carry.membrane)
        if leak is not None:
            sums = kernels.scan_sums(reverse, leak=True)
            leak += sums[2].sum(0).sum_to_size(leak.shape)
            if scale is not None:
                scale[first:last] = sums[1]
        out = how.lease.take(*current.shape, device=current.device)
        kernels.scan_reverse(reverse, out, None, None)
        return [SpikeGrad(out, held=out)]


@dataclass(frozen=True)
class Sum(Node):
    """Two values of the same shape, added up: counts stay counts if a byte can hold them."""

    reads: tuple[int, ...]

    def size(self, inputs: Sequence[Spikes]) -> Size:
        one, other = inputs
        elements = one.values.numel()
        return Size(one, 0, elements) if one.counted and other.counted else Size(Spikes(one.values), elements, 0)

    def forward(
        self, how: PassContext, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None
    ) -> Passed:
        one, other = inputs
        take, device = how.lease.take, one.values.device
        largest, counted = one.largest + other.largest, one.counted and other.counted
        if counted and one.scale == other.scale and largest <= LARGEST_COUNT:
            counts = torch.add(one.values, other.values, out=take(*one.values.shape, dtype=torch.uint8, device=device))
            return Passed(Spikes(counts, one.scale, largest, one.density + other.density), None, (False, False))
        total = one.floats_into(take(*one.values.shape, device=device)).add_(other.values, alpha=other.scale)
        return Passed(Spikes(total), None, (False, False))

    def backward(
        self, how: PassContext, done: None, grad: SpikeGrad, learned: Learned, *, wants: Sequence[bool], **_: Any
    ) -> Gradients:
        """Pass all of the gradient to both."""
        if grad.held is None or not all(wants):
            return [grad if wanted else None for wanted in wants]
        copy = how.lease.take(*grad.values.shape, dtype=grad.values.dtype, device=grad.values.device)
        return [grad, SpikeGrad(copy.copy_(grad.values), grad.scale, copy)]


@dataclass(frozen=True)
class MaxPool(Node):
    """The largest of every window; in the backward pass, PyTorch tells which one it was."""

    window: PoolSize

    def size(self, inputs: Sequence[Spikes]) -> Size:
        values = torch.empty(pooled_shape(inputs[0].values, self.window), dtype=inputs[0].values.dtype, device="meta")
        return Size(Spikes(values), 0, values.numel() * values.element_size())

    def forward(
        self, how: PassContext, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None
    ) -> Passed:
        (x,), (down, across) = inputs, self.window
        shape = pooled_shape(x.values, self.window)
        out = how.lease.take(*shape, dtype=x.values.dtype, device=x.values.device)
        inside = x.values[:, :, : shape[2] * down, : shape[3] * across]
        windows = inside.view(*shape[:2], shape[2], down, shape[3], across, shape[4])
        torch.amax(windows, (3, 5), out=out)
        dense = min(1.0, x.density * down * across)
        return Passed(Spikes(out, x.scale, x.largest, dense), x, (True,))

    def backward(self, how: PassContext, done: Spikes, grad: SpikeGrad, learned: Learned, **_: Any) -> Gradients:
        """Pass all of the gradient to the place that PyTorch says was the largest."""
        x = done.values
        out = how.lease.take(*x.shape, device=x.device)
        for t, step in enumerate(x):
            images = step.permute(0, 3, 1, 2).float()
            given = grad.values[t if len(grad.values) > 1 else 0].float().permute(0, 3, 1, 2)
            where = F.max_pool2d(images, self.window, return_indices=True)[1]
            rest = (self.window, self.window, (0, 0), (1, 1), False, where)
            found = torch.ops.aten.max_pool2d_with_indices_backward(given, images, *rest)
            out[t] = found.permute(0, 2, 3, 1)
        return [SpikeGrad(out, grad.scale, out)]


@dataclass(frozen=True)
class Mask(Node):
    """Dropout of the same places in all steps; what is left is scaled by 1 / (1 - p)."""

    draw: Callable[[], Tensor]
    """Returns the places that stay, ``[B, H, W, C]``, 0 or 1 in bytes; the same whenever it is called."""
    p: float

    def size(self, inputs: Sequence[Spikes]) -> Size:
        values = inputs[0].values
        return Size(inputs[0], 0, values.numel() * values.element_size())

    def forward(
        self, how: PassContext, inputs: Sequence[Spikes], first: int, start: Start, known: Any = None
    ) -> Passed:
        (x,), stays = inputs, self.draw()
        out = how.lease.take(*x.values.shape, dtype=x.values.dtype, device=x.values.device)
        torch.mul(x.values, stays.to(x.values.dtype), out=out)
        left = 1 - self.p
        return Passed(Spikes(out, x.scale / left, x.largest, x.density * left), None, (False,))

    def backward(self, how: PassContext, done: None, grad: SpikeGrad, learned: Learned, **_: Any) -> Gradients:
        """Pass the gradient to the places that stayed, with the same scale."""
        values = grad.values
        out = how.lease.take(*values.shape, dtype=values.dtype, device=values.device)
        torch.mul(values, self.draw().to(values.dtype), out=out)
        return [SpikeGrad(out, grad.scale / (1 - self.p), out)]


def _floats(x: Spikes) -> Tensor:
    """Return the neurons' input as floats; a value that has them already is not copied."""
    return x.values if x.values.dtype == torch.float32 and x.values.is_contiguous() else x.floats()
