"""Measurements of a pass, returned in its state; of blocks that run as plain modules they are taken by hooks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.engine.graph.recording import (
    Arrivals,
    Currents,
    LayerMeasures,
    Measure,
    arrivals,
    distribution,
    join_steps,
    write_norms,
)
from bntt.engine.private import being_traced, is_mapped
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE
from bntt.nn.blocks import SpikingLayer
from bntt.nn.call import Measured
from bntt.ops.norm import Moments, step_moments

__all__ = ["Arrivals", "Currents", "LayerMeasures", "Measure", "Measured", "joined"]


def in_order(seen: LayerMeasures, measure: Measure, neurons: int, *, flat: bool) -> LayerMeasures:
    """Return the kernels' record of a layer in the modules' order, channels before space, and in float64."""
    places = None if seen.places is None else seen.places.double().permute(0, 3, 1, 2)
    return replace(
        seen,
        neurons=neurons,
        spikes=seen.spikes.double() if measure.spikes and seen.spikes is not None else None,
        places=places.flatten(1) if places is not None and flat else places,
        samples=None if seen.samples is None else seen.samples.double(),
    )


def joined(parts: Sequence[Measured]) -> Measured:
    """Join the measurements of consecutive steps into those of one pass over them."""
    return {name: join_steps([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class Trace:
    """Record of a network's activity at every step; returned by :meth:`bntt.nn.SpikingClassifier.trace`.

    It holds no spike tensors. ``logits[t]`` is the network's output if it stops after step t: its voltage divided by t
    + 1.
    """

    logits: Float[Tensor, "T B K"]
    """Output after every step."""
    spikes: dict[str, Float[Tensor, "T C"]]
    """Spikes per step and channel, summed over batch and space (float64), by layer."""
    neurons: dict[str, int]
    """Number of neurons (C·H·W), by layer."""

    @property
    def firing_rate(self) -> dict[str, Float[Tensor, " T"]]:
        """Spikes per neuron at every step, from 0 to 1, by layer."""
        batch = self.logits.shape[1]
        return {name: count.sum(1) / (batch * self.neurons[name]) for name, count in self.spikes.items()}


def being_captured(x: Tensor) -> bool:
    """Return True while a CUDA graph captures what is done with a tensor: its values cannot be read."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def check_finite_input(x: Tensor, first: int) -> None:
    """Refuse NaN and infinity in an input ``[T, B, ...]`` whose first step is ``first``, where it has values."""
    if not x.is_floating_point() or x.is_meta or torch.compiler.is_compiling() or being_traced() or is_mapped(x):
        return
    if being_captured(x):
        return
    seen = x[:1] if x.stride(0) == 0 else x  # one image for all steps, as direct coding gives it
    if math.isfinite(seen.detach().sum()) or bool(torch.isfinite(seen).all()):  # NaN or ∞ reaches the sum
        return
    step, sample = (~torch.isfinite(seen)).flatten(2).any(2).nonzero()[0].tolist()
    raise ValueError(
        f"the network's input is not finite, first at step t={first + step} in sample {sample} of the batch"
    )


torch.serialization.add_safe_globals([LayerMeasures, Currents, Arrivals])  # a state may hold them
torch.serialization.add_safe_globals([(kind, f"{__name__}.{kind.__name__}") for kind in (LayerMeasures, Currents)])
"""Their place in states that were saved before."""


@contextmanager
def watching(layers: Mapping[str, SpikingLayer], x: Tensor, measure: Measure) -> Iterator[Measured]:
    """Measure these layers while their block is called inside the context; results are complete afterwards."""
    found: Measured = {}
    watches = {name: _Watch(name, layer, x.shape, measure) for name, layer in layers.items()} if measure else {}
    try:
        yield found
        found |= {name: watch.result() for name, watch in watches.items()}
    finally:
        for handle in (handle for watch in watches.values() for handle in watch.handles):
            handle.remove()


class _Watch:
    """One layer, seen by hooks on its norm, its neurons and its weights."""

    def __init__(self, name: str, layer: SpikingLayer, shape: Sequence[int], measure: Measure) -> None:
        self.name, (self.steps, self.batch, *_), self.measure = name, shape, measure
        wanted = measure.gradient and layer.norm is not None
        self.gradient = torch.full((self.steps,), torch.nan, dtype=torch.float64) if wanted else None
        self.taken = dict[str, int]()
        self.arrived, self.moments, self.seen = list[Arrivals](), list[Moments](), list[LayerMeasures]()
        self.handles = list[Any]()
        weights = weights_of(layer) if measure.arrivals else None
        for part, module, hook in (
            ("norm", layer.norm, self._before_norm),
            ("lif", layer.lif, self._after_lif),
            ("synapse", weights, self._before_weights),
        ):
            if module is not None:
                self.taken[part] = 0
                register = module.register_forward_hook if part == "lif" else module.register_forward_pre_hook
                self.handles.append(register(_of_this_thread(hook), with_kwargs=True))

    def result(self) -> LayerMeasures:
        for part, steps in self.taken.items():
            if steps != self.steps:
                raise TypeError(
                    f"layer {self.name!r} cannot be measured: its {part} was called for {steps} of {self.steps} steps"
                )
        seen = join_steps(self.seen) or LayerMeasures(0)
        moments, arrived = join_steps(self.moments), join_steps(self.arrived)
        return replace(seen, gradient=self.gradient, moments=moments, arrivals=arrived)

    @torch.no_grad()
    def _before_weights(self, x: Tensor) -> None:
        images = x.reshape(-1, self.batch, *x.shape[1:])
        self.taken["synapse"] += len(images)
        values = images.movedim(2, -1) if x.ndim == 4 else images[:, :, None, None, :]
        with WORKSPACE.lease() as lease:
            self.arrived.append(arrivals(Spikes(values), lease))

    def _before_norm(self, x: Tensor) -> None:
        first = self.taken["norm"]
        self.taken["norm"] += len(x)
        if self.measure.moments:
            self.moments.append(step_moments(x.detach()))
        if (gradient := self.gradient) is not None and x.requires_grad:
            steps = slice(first, first + len(x))
            x.register_hook(partial(write_norms, out=gradient[steps]))  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _after_lif(self, current: Tensor, result: Any) -> None:
        spikes, state = result
        self.taken["lif"] += len(spikes)
        place = self.measure.membrane or ("", ())
        wanted = self.measure.membrane is not None and place[0] == self.name
        self.seen.append(
            LayerMeasures(
                neurons=spikes[0, 0].numel(),
                spikes=spikes.sum((1, *range(3, spikes.ndim)), dtype=torch.float64) if self.measure.spikes else None,
                places=spikes.sum(1, dtype=torch.float64) if self.measure.places else None,
                samples=spikes.flatten(2).sum(2, dtype=torch.float64) if self.measure.samples else None,
                current=distribution(current, self.measure.current) if self.measure.current else None,
                membrane=membrane_at(self.name, getattr(state, "membrane", state), place[1]) if wanted else None,
            )
        )


def _of_this_thread(hook: Callable[..., None]) -> Callable[..., None]:
    """Return a hook that passes on a module's input, and its result if there is one, of calls in this thread alone."""
    thread = threading.get_ident()

    def seen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *result: Any) -> None:
        if threading.get_ident() == thread:
            hook(args[0] if args else next(iter(kwargs.values())), *result)

    return seen


def weights_of(layer: SpikingLayer) -> nn.Conv2d | nn.Linear | None:
    """Return the one convolution or fully connected layer in a layer's weights; None if it has no weights."""
    if layer.synapse is None:
        return None
    known = [part for part in layer.synapse.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    others = {id(p) for p in layer.synapse.parameters()} - {id(p) for part in known for p in part.parameters()}
    if len(known) != 1 or others:
        kind = type(layer.synapse).__name__
        raise TypeError(
            f"what arrives at layer {layer.name!r} cannot be counted: its {kind} is not one Conv2d or Linear"
        )
    return known[0]


def membrane_at(layer: str, membrane: object, place: tuple[int, ...]) -> Tensor:
    """Return one neuron's membrane in every sample, ``[1, B]``, out of ``[B, C, *space]``."""
    if not isinstance(membrane, Tensor):
        raise TypeError(f"the neurons of {layer!r} have no membrane to measure, but a {type(membrane).__name__}")
    shape = membrane.shape[1:]
    if len(place) != len(shape) or not all(0 <= at < size for at, size in zip(place, shape, strict=True)):
        raise ValueError(f"layer {layer!r} has neurons {list(shape)}, there is none at {list(place)}")
    everyone: Any = (slice(None), *place)
    return membrane.detach()[everyone][None].clone()
