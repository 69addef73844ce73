"""The individual attacks on a run: the changes to the images, and the models' answers.

A job is done batch by batch, and its outcome is a file, so that interrupted work can resume.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float, Int, Integer
from pydantic import Field, model_validator
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_labels, check_logits, check_weights
from bntt.analysis.attack.descent import AttackedImages, Threat, descend, random_signs
from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.square import search
from bntt.analysis.measurement import Opened
from bntt.analysis.result import Number, Record
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.measured import evaluating

ALONG = ("fgsm", "pgd")
"""The attacks that follow gradients."""
GRADIENT = 3
"""Cost of a gradient with respect to an image, in forward passes."""
Bits = Annotated[str, Field(pattern="^[01]*$")]
"""A 1 for each image for which something is true, and a 0 for any other."""


@dataclass(frozen=True)
class Job:
    """One way to change the images. Its fields are part of the settings that identify its file."""

    source: int
    """Index of the model on which images are made: 0 is the run itself."""
    attack: str
    """"clean", "signs" (random ones), "fgsm", "pgd" or "square"."""
    eps: float = 0.0
    estimator: str = ""
    """Name of the estimator of a spike's derivative; "" without gradients."""
    threat: Threat | None = None
    """The threat; None without gradients."""
    queries: int = 0
    control: bool = False
    """True for PGD without a bound, ε = 1, which only checks that the attack works."""

    @property
    def passes(self) -> int:
        """The approximate cost for each image, in forward passes."""
        return self.queries + (GRADIENT * self.threat.passes if self.threat else 0)


def jobs(arguments: AttackArguments, estimators: Sequence[Sequence[str]], eot: Sequence[int]) -> Iterator[Job]:
    """List all jobs, in order: clean images, the control, then each ε.

    Args:
        estimators: gradient estimators of every model.
        eot: number of draws behind a gradient, for every model.

    >>> [job.attack for job in jobs(AttackArguments(("0.1",), ("fgsm",)), (("exact",),), (1,))]
    ['clean', 'pgd', 'signs', 'fgsm']
    """
    yield Job(0, "clean")
    attacks = dict.fromkeys(arguments.attack)
    along = [attack for attack in attacks if attack in ALONG]
    models = list(enumerate(zip(estimators, eot, strict=True)))
    for source, (names, draws) in models if along else ():
        for name in names:
            threat = Threat(1.0, steps=arguments.steps, draws=draws, random_start=True)
            yield Job(source, "pgd", 1.0, name, threat, control=True)
    for eps in arguments.bounds:
        yield Job(0, "signs", eps)
        several = (arguments.steps, arguments.length, arguments.restarts)
        for source, (names, draws) in models:
            threats = {"fgsm": Threat(eps, draws=draws), "pgd": Threat(eps, *several, draws, random_start=True)}
            for attack, name in itertools.product(along, names):
                yield Job(source, attack, eps, name, threats[attack])
            if "square" in attacks:
                yield Job(source, "square", eps, queries=arguments.queries)


class Batch(Record):
    """Images that were attacked together, and measured."""

    right: tuple[tuple[Bits, ...], ...]
    """For every model and draw, the images that are classified right."""
    zero: Bits
    """Images whose gradient is zero everywhere; "" without gradients."""
    agreement: tuple[Number, ...]
    """Sign agreement of each image, see :class:`~bntt.analysis.attack.gradient.InputGradient`."""
    change: tuple[float, ...]
    """The largest change of a pixel of each image."""
    queries: tuple[int, ...]
    """Number of queries of a search to the model, for each image."""
    seconds: float

    @model_validator(mode="after")
    def _is_whole(self) -> Batch:
        if len({len(row) for rows in self.right for row in rows}) != 1:
            raise ValueError("a batch has rows of several lengths")
        return self


class Outcome(Record):
    """The file of a job: its completed batches, and whether they are all of them."""

    complete: bool
    batches: tuple[Batch, ...]

    def right(self, model: int) -> Bool[Tensor, "D N"]:
        """Return the images that a model classifies right in each draw."""
        draws = zip(*(batch.right[model] for batch in self.batches), strict=True)
        return torch.stack([from_bits("".join(rows)) for rows in draws])

    def share_right(self, model: int) -> float:
        """Return the mean share of right answers of a model."""
        return float(self.right(model).double().mean())

    @property
    def zero(self) -> Bool[Tensor, " N"]:
        """Return the images whose gradient is zero everywhere."""
        return from_bits("".join(batch.zero for batch in self.batches))

    @property
    def change(self) -> float:
        """The largest change of any pixel."""
        return max(one for batch in self.batches for one in batch.change)

    @property
    def seconds(self) -> float:
        """The total time taken."""
        return sum(batch.seconds for batch in self.batches)

    def mean(self, key: str) -> float | None:
        """Return the mean of "agreement" or "queries" over the images that have one."""
        found = [one for batch in self.batches for one in getattr(batch, key) if one is not None]
        return sum(found) / len(found) if found else None


def to_bits(flags: Bool[Tensor, " N"]) -> str:
    """Write booleans as digits.

    >>> to_bits(torch.tensor([True, False]))
    '10'
    """
    return "".join("01"[flag] for flag in flags.tolist())


def from_bits(text: str) -> Bool[Tensor, " N"]:
    """Read booleans from digits."""
    return torch.tensor([one == "1" for one in text], dtype=torch.bool)


def run_job(job: Job, runs: Sequence[Opened], images: Tensor, labels: Tensor, places: Tensor, draws: int) -> Batch:
    """Change some images as a job specifies, on its source, and measure every run with fresh noise.

    Args:
        places: indices of the images in their split, which identify their noise.
        draws: repetitions to measure with.
    """
    start, source = time.monotonic(), runs[job.source]
    device = next(source.model.parameters()).device
    images, labels = images.to(device), labels.to(device)
    found = _attack(source, job, images, labels, places.to(device))
    noise: dict[str, Any] = {"draws": draws, "index": places}
    right = [right_under(one.model, found.images, labels, seed=one.seed, **noise) for one in runs]
    return Batch(
        right=tuple(tuple(map(to_bits, each)) for each in right),
        zero="" if found.zero is None else to_bits(found.zero),
        agreement=() if found.agreement is None else tuple(found.agreement.tolist()),
        change=tuple((found.images - images).abs().flatten(1).amax(1).tolist()),
        queries=() if found.queries is None else tuple(found.queries.tolist()),
        seconds=time.monotonic() - start,
    )


def _attack(source: Opened, job: Job, images: Tensor, labels: Tensor, index: Tensor) -> AttackedImages:
    noise: dict[str, Any] = {"index": index, "seed": source.seed}
    if job.threat is not None:
        return descend(source.model, images, labels, job.threat, estimator=job.estimator, **noise)
    if job.attack == "square":
        return search(source.model, images, labels, job.eps, queries=job.queries, **noise)
    return AttackedImages(images if job.attack == "clean" else random_signs(images, job.eps, **noise))


def right_under(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    draws: int,
    seed: int = 0,
    index: Integer[Tensor, " B"] | None = None,
) -> Bool[Tensor, "draws B"]:
    """Find which images are classified right, in every draw of the noise of :func:`~bntt.analysis.evaluate`.

    The model is left unchanged.

    Raises:
        ValueError: if draws is below 1, or labels are not classes.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3))
    >>> right_under(model, torch.rand(5, 1, 2, 2), torch.arange(5), draws=2).shape
    torch.Size([2, 5])
    """
    check_classifier(model, "right_under() takes")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    check_weights(model)
    found = []
    with torch.no_grad(), evaluating(model):
        for draw in range(draws):
            logits = model(images, seed=seed, index=index, draw=FIRST_DRAW + draw)
            check_labels(labels, logits.shape[1])
            check_logits(logits)
            found.append(logits.argmax(1) == labels)
    return torch.stack(found)
