"""Defaults of PyTorch that somebody has changed, leaks that learn at the ends of their range, thresholds that learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from bntt.nn import LIF, Compute
from tests.fuzz.dice import Dice
from tests.fuzz.uses import Job

FLOATS = (torch.float64, torch.bfloat16, torch.float16)


def sometimes_plain(job: Job, dice: Dice) -> None:
    """Judge plain PyTorch itself, where what is around it may lead it astray too."""
    if dice.chance(0.2) and job.ours:
        job.net.compute = Compute("reference")


@contextmanager
def default_dtype(job: Job, dice: Dice) -> Iterator[None]:
    """The standard has PyTorch's own."""
    sometimes_plain(job, dice)
    before, chosen = torch.get_default_dtype(), dice.pick(FLOATS)
    job.notes.append(f"default dtype {chosen}")
    if job.ours:
        torch.set_default_dtype(chosen)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(job: Job, dice: Dice) -> Iterator[None]:
    """The standard has PyTorch's own."""
    way, device = dice.pick(("with", "set")), torch.device(dice.pick(("meta", "cpu"), (3, 1)))
    job.notes.append(f"{way} device {device}")
    if way == "set" and job.ours:
        torch.set_default_device(device)
    try:
        with device if way == "with" and job.ours else nullcontext():
            yield
    finally:
        torch.set_default_device(None)


LEAKS = (0.0, 0.0, 1e-30, 1e-38, 1e-42, 1.0, 0.5)
LOGITS = (-50.0, -88.0, -104.0, -200.0, float("-inf"), 20.0, 0.3)


def _neurons(job: Job) -> list[tuple[LIF, int]]:
    """Each with its number of channels."""
    return [(block.lif, len(next(block.synapse.parameters()))) for block in job.net.blocks.values()]


@contextmanager
def extreme_leaks(job: Job, dice: Dice) -> Iterator[None]:
    """Of a layer or of every channel, as λ itself or as its logit."""
    dtype = torch.float64 if job.double else torch.float32
    for lif, channels in _neurons(job):
        logit, shape = dice.chance(0.5), dice.pick(((), (channels,)))
        values = [dice.pick(LOGITS if logit else LEAKS) for _ in range(channels if shape else 1)]
        value = torch.tensor(values, dtype=dtype).reshape(shape)
        job.notes.append(f"{'logits' if logit else 'leaks'} {values}")
        if logit:
            lif.leak_logit = nn.Parameter(value)
        else:
            lif.leak_logit = None
            job.leaves.append(value.requires_grad_())
            lif.neuron = replace(lif.neuron, leak=value)
    yield


@contextmanager
def learned_thresholds(job: Job, dice: Dice) -> Iterator[None]:
    """As a leaf of the layer's neurons."""
    dtype = torch.float64 if job.double else torch.float32
    for lif, _ in _neurons(job):
        if dice.chance(0.7):
            theta: Tensor = torch.tensor(lif.neuron.threshold, dtype=dtype)
            theta = nn.Parameter(theta) if dice.chance(0.5) else theta.requires_grad_()
            job.leaves.append(theta)
            lif.neuron = replace(lif.neuron, threshold=theta)  # type: ignore[arg-type]
    yield
