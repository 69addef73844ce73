"""Measuring blocks that run as the modules they are: their layers are watched while they are called."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bntt.engine.measure import distribution, write_norms
from bntt.nn.measure import Currents, LayerMeasures, Measure, Measured, joined, over_time
from bntt.nn.stage import SpikingLayer
from bntt.ops.norm import Moments, step_moments


@contextmanager
def watching(layers: Mapping[str, SpikingLayer], steps: int, measure: Measure) -> Iterator[Measured]:
    """Inside, the block that these layers belong to is called for so many steps; what was measured is there afterwards.

    Raises:
        TypeError: if a layer's norm or neurons were not called for each of the steps.
    """
    found: Measured = {}
    watches = {name: _Watch(name, layer, steps, measure) for name, layer in layers.items()} if measure else {}
    try:
        yield found
        found |= {name: watch.result() for name, watch in watches.items()}
    finally:
        for watch in watches.values():
            watch.close()


class _Watch:
    """One layer, seen by hooks on its norm and its neurons."""

    def __init__(self, name: str, layer: SpikingLayer, steps: int, measure: Measure) -> None:
        self.name, self.steps, self.measure = name, steps, measure
        wanted = measure.gradient and layer.norm is not None
        self.gradient = torch.full((steps,), torch.nan, dtype=torch.float64) if wanted else None
        self.taken = {part: 0 for part in ("norm", "lif") if getattr(layer, part) is not None}
        self.moments: list[Moments] = []
        self.seen: list[LayerMeasures] = []
        self.thread = threading.get_ident()
        self.handles = []
        if layer.norm is not None:
            self.handles.append(layer.norm.register_forward_pre_hook(self._before_norm, with_kwargs=True))
        if layer.lif is not None:
            self.handles.append(layer.lif.register_forward_hook(self._after_lif, with_kwargs=True))

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def result(self) -> LayerMeasures:
        for part, steps in self.taken.items():
            if steps != self.steps:
                raise TypeError(
                    f"layer {self.name!r} cannot be measured: its {part} was called for {steps} of {self.steps} steps"
                )
        moments = over_time(self.moments) if self.moments else None
        seen = joined([{"": seen} for seen in self.seen])[""] if self.seen else LayerMeasures(0)
        return replace(seen, gradient=self.gradient, moments=moments)

    def _before_norm(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() != self.thread:
            return
        x: Tensor = args[0] if args else next(iter(kwargs.values()))
        first = self.taken["norm"]
        self.taken["norm"] += len(x)
        if self.measure.moments:
            self.moments.append(step_moments(x.detach()))
        if (gradient := self.gradient) is not None and x.requires_grad:
            steps = slice(first, first + len(x))
            x.register_hook(partial(write_norms, out=gradient[steps]))  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _after_lif(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        current: Tensor = args[0] if args else next(iter(kwargs.values()))
        spikes, state = result
        self.taken["lif"] += len(spikes)
        self.seen.append(
            LayerMeasures(
                neurons=spikes[0, 0].numel(),
                spikes=spikes.sum((1, *range(3, spikes.ndim)), dtype=torch.float64) if self.measure.spikes else None,
                places=spikes.sum(1, dtype=torch.float64) if self.measure.places else None,
                samples=spikes.flatten(2).sum(2, dtype=torch.float64) if self.measure.samples else None,
                current=Currents(*distribution(current, self.measure.current)) if self.measure.current else None,
                membrane=self._membrane(state),
            )
        )

    def _membrane(self, state: Any) -> Tensor | None:
        """Of the neuron that was asked for, ``[1, B]``, after a call of one step."""
        if self.measure.membrane is None or self.measure.membrane[0] != self.name:
            return None
        return membrane_at(self.name, getattr(state, "membrane", state), self.measure.membrane[1])


def membrane_at(layer: str, membrane: object, place: tuple[int, ...]) -> Tensor:
    """One neuron's membrane in every sample, ``[1, B]``, out of ``[B, C, *space]``.

    Raises:
        TypeError: if the neurons' state is no tensor and has none called ``membrane``.
        ValueError: if there is no such neuron.

    >>> membrane_at("fc1", torch.tensor([[1.0, 2.0]]), (1,))
    tensor([[2.]])
    """
    if not isinstance(membrane, Tensor):
        raise TypeError(f"the neurons of {layer!r} have no membrane to measure, but a {type(membrane).__name__}")
    shape, flat = membrane.shape[1:], 0
    for at, size in zip(place, shape, strict=False):
        flat = flat * size + at
    if len(place) != len(shape) or not all(0 <= at < size for at, size in zip(place, shape, strict=True)):
        raise ValueError(f"layer {layer!r} has neurons {list(shape)}, there is none at {list(place)}")
    return membrane.detach().flatten(1)[None, :, flat].clone()
