"""Defaults of PyTorch that somebody has changed: a float32 network on the processor is to know of none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bntt.nn import Compute
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
    if not job.ours:
        yield
    elif way == "with":
        with device:
            yield
    else:
        torch.set_default_device(device)
        try:
            yield
        finally:
            torch.set_default_device(None)
