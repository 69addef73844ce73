"""Per-sample early exit in full batches: samples that remain from several batches are merged.

A step of few samples takes almost as long as one of many. So samples wait for others that have taken the same number of
steps, until enough have come. Answers do not change: neither a sample nor its noise depends on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.analysis.accuracy.batches import Leaves
from bntt.engine.graph.layer import CHUNK_BYTES
from bntt.nn.fusion.plan import samples_at_once
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.measured import Measure, Measured
from bntt.nn.network.spiking_network import STEPS_AT_ONCE
from bntt.nn.network.state import NetworkState, can_join

Presented = tuple[int, Tensor, Tensor, dict[str, Any]]
"""Number of the draw, inputs, labels, and noise of a batch, as an evaluation presents it."""


class Step(NamedTuple):
    """One step of some samples, and those that leave after it."""

    steps: int
    """Number of steps that they have taken, 1 to T."""
    measured: Measured
    """Measurements of all samples that took the step."""
    logits: Float[Tensor, "gone K"]
    labels: Int[Tensor, " gone"]
    place: Int[Tensor, " gone"]
    """Place of each in the order in which the samples arrived."""


def each_step(
    model: SpikingClassifier, batches: Iterable[Presented], measure: Measure, leaves: Leaves
) -> Iterator[Step]:
    """Yield the steps of all samples, until each has left.

    Args:
        leaves: called after every step but the last to choose the samples that leave.
    """
    for _, draw in groupby(_placed(batches), key=itemgetter(0)):  # states of different draws cannot be merged
        yield from _of_one_draw(model, (group for _, group in draw), measure, leaves)


@dataclass(frozen=True)
class _Group:
    """Samples that have taken the same number of steps."""

    own: Sequence[Tensor]
    """Their inputs, indices of their noise, labels, and places."""
    noise: dict[str, Any]
    """Seed and draw."""
    state: NetworkState | None = None

    @property
    def steps(self) -> int:
        return 0 if self.state is None else self.state.steps

    @property
    def held(self) -> int:
        """Number of samples with a state."""
        return 0 if self.state is None else len(self)

    def can_join(self, other: _Group) -> bool:
        """Return True if the two can be merged: their inputs and the states of their blocks have the same form."""
        mine, others = ((tuple(one.own), one.state and (one.state.blocks, one.state.readout)) for one in (self, other))
        return can_join(mine, others)

    def __len__(self) -> int:
        return len(self.own[0])

    def rows(self, keep: Tensor) -> list[Tensor]:
        return [part.index_select(0, keep.to(part.device)) for part in self.own]

    def join(self, others: Sequence[_Group]) -> _Group:
        if not others:
            return self
        state = self.state and self.state.join(*(one.state for one in others if one.state))
        own = zip(self.own, *(one.own for one in others), strict=True)
        return _Group([torch.cat(parts) for parts in own], self.noise, state)


def _placed(batches: Iterable[Presented]) -> Iterator[tuple[int, _Group]]:
    done = 0
    for draw, inputs, labels, noise in batches:
        place = torch.arange(done, done := done + len(labels), device="cpu")
        own = (inputs.clone(), noise["index"].clone(), labels.clone(), place)  # a loader may reuse its tensors
        yield draw, _Group(own, {key: noise[key] for key in ("seed", "draw")})


def _of_one_draw(model: SpikingClassifier, fresh: Iterator[_Group], measure: Measure, leaves: Leaves) -> Iterator[Step]:
    waiting, full = dict[int, list[_Group]](), 0
    for new in fresh:
        group: _Group | None = new
        full = full or _full(model, new)
        while group is not None:
            there = waiting.get(group.steps, [])
            held = group.held + sum(one.held for groups in waiting.values() for one in groups)
            can_wait = group.can_join(there[0] if there else group)
            if can_wait and len(group) + sum(map(len, there)) < full and held <= full:
                waiting[group.steps], group = [*there, group], None
                continue
            step, group = _advance(model, _joined(group, waiting), measure, leaves)
            yield step
    while waiting:  # no more samples come: those with the fewest steps first, which then join the next
        first, *others = waiting.pop(min(waiting))
        group = first.join(others)
        while group is not None:
            step, group = _advance(model, _joined(group, waiting), measure, leaves)
            yield step


def _joined(group: _Group, waiting: dict[int, list[_Group]]) -> _Group:
    """Merge a group with those that wait at its step; groups of other shapes continue separately."""
    there = waiting.get(group.steps)
    return group if there is None or not there[0].can_join(group) else group.join(waiting.pop(group.steps))


def _full(model: SpikingClassifier, group: _Group) -> int:
    """Return how many samples a group needs to stop waiting: as many as fill the memory of a pass, or of inputs."""
    (inputs, index, *_), batch = group.own, len(group)
    shape = model.encoder(inputs[:1], index=index[:1], steps=range(1), **group.noise).shape
    at_once = samples_at_once(model.network.plan(shape), shape[2:])
    return max(batch, min(at_once, STEPS_AT_ONCE * batch, CHUNK_BYTES // max(1, inputs[0].nbytes)))


def _advance(model: SpikingClassifier, group: _Group, measure: Measure, leaves: Leaves) -> tuple[Step, _Group | None]:
    """Take a step; return it and the samples that stay."""
    inputs, index, *_ = group.own
    noise = {**group.noise, "index": index} if group.state is None else {}
    logits, state = model.advance(inputs, group.state, measure=measure, in_place=True, **noise)
    done = state.steps == model.encoder.num_steps
    gone = torch.ones_like(logits[-1, :, 0], dtype=torch.bool) if done else leaves(logits[-1])
    out = gone.nonzero().flatten()
    labels, place = (part.index_select(0, out.to(part.device)) for part in group.own[2:])
    step = Step(state.steps, state.measured or {}, logits[-1].index_select(0, out), labels, place)
    if len(out) == 0:
        return step, replace(group, state=state)
    stay = (~gone).nonzero().flatten()
    own = group.rows(stay)
    return step, _Group(own, group.noise, state.rows(stay)) if len(stay) else None
