"""One way to change images, and what it came to, image by image; kept batch by batch, so that it can go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field, model_validator
from torch import Tensor

from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.threat import Threat
from bntt.analysis.result import Number, Record

ALONG = ("fgsm", "pgd")
"""The attacks that follow gradients."""
Bits = Annotated[str, Field(pattern="^[01]*$")]
"""A 1 for each image of which something is true, and a 0 for any other."""


@dataclass(frozen=True)
class Job:
    """One way to change the images. Its fields are part of the settings that files are found by."""

    source: int
    """The model on which images are made: 0 is the run itself."""
    attack: str
    """"clean", "signs" (random ones), "fgsm", "pgd" or "square"."""
    eps: float = 0.0
    estimator: str = ""
    """Stands in for the derivative of a spike, where gradients are followed."""
    threat: Threat | None = None
    """None without gradients."""
    queries: int = 0
    control: bool = False
    """Whether it is PGD without a bound, ε = 1, which only tells whether the attack works."""

    @property
    def passes(self) -> int:
        """How often an image goes through the model, about."""
        return self.queries + (self.threat.passes if self.threat else 0)


def jobs(asked: AttackArguments, estimators: tuple[tuple[str, ...], ...], eot: tuple[int, ...]) -> Iterator[Job]:
    """Everything that is done, in order: clean images, the control, then each ε.

    Args:
        estimators: those of every model's gradient.
        eot: draws behind a gradient of every model.

    >>> [job.attack for job in jobs(AttackArguments(("0.1",), ("fgsm",)), (("exact",),), (1,))]
    ['clean', 'pgd', 'signs', 'fgsm']
    """
    yield Job(0, "clean")
    attacks = dict.fromkeys(asked.attack)
    along = [attack for attack in attacks if attack in ALONG]
    models = list(enumerate(zip(estimators, eot, strict=True)))
    for source, (names, draws) in models if along else ():
        for name in names:
            threat = Threat(1.0, steps=asked.steps, draws=draws, random_start=True)
            yield Job(source, "pgd", 1.0, name, threat, control=True)
    for eps in asked.bounds:
        yield Job(0, "signs", eps)
        several = (asked.steps, asked.length, asked.restarts)
        for source, (names, draws) in models:
            threats = {"fgsm": Threat(eps, draws=draws), "pgd": Threat(eps, *several, draws, random_start=True)}
            for attack, name in itertools.product(along, names):
                yield Job(source, attack, eps, name, threats[attack])
            if "square" in attacks:
                yield Job(source, "square", eps, queries=asked.queries)


class Batch(Record):
    """Images that were attacked together, and measured."""

    right: tuple[tuple[Bits, ...], ...]
    """For every model and draw, which images are classified right."""
    zero: Bits
    """Which images have a gradient that is zero everywhere; "" without gradients."""
    agreement: tuple[Number, ...]
    """Of each image, see :class:`~bntt.analysis.attack.gradient.InputGradient`."""
    change: tuple[float, ...]
    """The largest change of a pixel of each image."""
    queries: tuple[int, ...]
    """How often a search asked the model of each image."""
    seconds: float

    @model_validator(mode="after")
    def _is_whole(self) -> Batch:
        if len({len(row) for rows in self.right for row in rows}) != 1:
            raise ValueError("a batch has rows of several lengths")
        return self


class Batches(Record):
    """The file of a job: the batches that are done, and whether they are all."""

    complete: bool
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Outcome:
    """All batches of a job."""

    job: Job
    batches: tuple[Batch, ...]

    def right(self, model: int) -> Bool[Tensor, "D N"]:
        """Which images a model classifies right in each draw."""
        draws = zip(*(batch.right[model] for batch in self.batches), strict=True)
        return torch.stack([from_bits("".join(parts)) for parts in draws])

    def share_right(self, model: int) -> float:
        """The mean of that."""
        return float(self.right(model).double().mean())

    @property
    def zero(self) -> Bool[Tensor, " N"]:
        """Which images have a gradient that is zero everywhere."""
        return from_bits("".join(batch.zero for batch in self.batches))

    @property
    def agreement(self) -> float | None:
        """Mean over the images that have one."""
        return _mean([one for batch in self.batches for one in batch.agreement if one is not None])

    @property
    def change(self) -> float:
        """The largest of any pixel."""
        return max(one for batch in self.batches for one in batch.change)

    @property
    def queries(self) -> float | None:
        """How often a search asked of an image, on average."""
        return _mean([one for batch in self.batches for one in batch.queries])

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return sum(batch.seconds for batch in self.batches)


def to_bits(flags: Bool[Tensor, " N"]) -> str:
    """Write truths as digits.

    >>> to_bits(torch.tensor([True, False]))
    '10'
    """
    return "".join("01"[flag] for flag in flags.tolist())


def from_bits(text: str) -> Bool[Tensor, " N"]:
    """Read truths from digits."""
    return torch.tensor([one == "1" for one in text], dtype=torch.bool)


def _mean(found: list[float]) -> float | None:
    return sum(found) / len(found) if found else None
