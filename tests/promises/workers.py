"""Trainings over a loader of PyTorch's with any number of processes."""

from __future__ import annotations

import itertools

import torch
from torch.utils.data import DataLoader, TensorDataset

from bntt.training import Method, Session
from tests.training.test_fit import build, data

STOPS = (1, 4)
"""Updates, in the midst of epochs of three."""


def same_by_workers() -> tuple[int, int]:
    """A training that stops and goes on, for every pair of numbers of loader processes: how many end alike, of what."""
    whole = _state(_session(0))
    found = [
        all(torch.equal(value, whole[name]) for name, value in _stopped(stop, before, after).items())
        for stop, before, after in itertools.product(STOPS, (0, 1, 2), (0, 1, 2))
    ]
    return sum(found), len(found)


def _session(workers: int) -> Session:
    pairs = TensorDataset(data().images.float() / 255, data().labels)
    loader = DataLoader(pairs, batch_size=10, num_workers=workers, generator=torch.Generator())
    return Session(build(), loader, epochs=2, method=Method(lr=0.1), seed=3)


def _stopped(stop: int, before: int, after: int) -> dict[str, torch.Tensor]:
    first, second = _session(before), _session(after)
    records = first.records()
    while first.position.updates < stop:
        next(records)
    tensors, facts = first.state()
    second.load({name: value.clone() for name, value in tensors.items()}, facts)
    return _state(second)


def _state(session: Session) -> dict[str, torch.Tensor]:
    """At the end of the training."""
    list(session.records())
    return {name: value.clone() for name, value in session.state()[0].items()}
