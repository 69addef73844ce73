"""A trained run under attack: every attack and estimator, measured with fresh noise, and kept as it is done.

Each job is a file below ``RUN/attack``, written after every batch: what was interrupted goes on where it stopped, and
what is not complete is never averaged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.attack.descent import Attacked, descend, random_signs, require_foolbox
from bntt.analysis.attack.fresh_noise import right_under
from bntt.analysis.attack.gradient import estimators_of, input_gradient
from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.outcome import ALONG, Batch, Batches, Job, Outcome, jobs, to_bits
from bntt.analysis.attack.result import AttackedModel, AttackResult, SignAgreement
from bntt.analysis.attack.rows import attack_rows
from bntt.analysis.attack.square import search
from bntt.analysis.measurement import ArgumentError, Opened, Progress, run_names
from bntt.analysis.result import result_from
from bntt.io.cells import hold_cells, read_cell, write_cell
from bntt.io.files import digest_of_bytes, digest_of_values
from bntt.nn import SpikingClassifier

IMAGES = 500
"""By default, if there are so many."""
CONTROL_IMAGES = 100
"""For the attack without a bound, at most."""
EOT = 16
"""Draws behind a gradient by default."""
BATCH = 50
"""Images that are attacked together."""
SWEEP = (1, 4, 16)
"""Numbers of draws whose gradients are compared."""
SWEEP_IMAGES = 20
"""Of the first batch, that they are compared on."""


@dataclass(frozen=True)
class Target:
    """A model that is attacked, and measured."""

    name: str
    model: SpikingClassifier
    seed: int
    weights_sha256: str
    random: bool
    """Whether every pass has fresh noise."""

    @property
    def estimators(self) -> tuple[str, ...]:
        """What may stand in for the derivative of its spikes."""
        return estimators_of(self.model)


@dataclass(frozen=True)
class Setup:
    """All that the attacks are carried out on."""

    asked: AttackArguments
    targets: tuple[Target, ...]
    """The run itself, then the one that images are also made on."""
    images: Any
    """Those chosen, a set of labelled images."""
    places: Tensor
    """Where in their split they are: it names their noise."""
    chosen: str
    """How they were, in words."""
    folder: Path
    """Where batches are kept."""
    draws: int
    """Repetitions with fresh noise to measure with."""

    @property
    def jobs(self) -> list[Job]:
        """All that is to be done."""
        eot = tuple((self.asked.eot or EOT) if target.random else 1 for target in self.targets)
        return list(jobs(self.asked, tuple(target.estimators for target in self.targets), eot))

    def images_of(self, job: Job) -> int:
        """How many a job takes; a control few."""
        return min(len(self.images), CONTROL_IMAGES) if job.control else len(self.images)

    def passes(self, job: Job) -> int:
        """How often an image goes through a model, to change it and to measure it."""
        return job.passes + self.draws * len(self.targets)

    def sweep_passes(self, target: Target) -> int:
        """Passes of all images to find how many draws are enough."""
        wanted = target.random and any(attack in ALONG for attack in self.asked.attack)
        few = min(SWEEP_IMAGES, len(self.images))
        return few * len(target.estimators) * sum(2 * count for count in SWEEP) if wanted else 0

    @property
    def total(self) -> int:
        """Passes of all jobs, and of the sweep."""
        return sum(self.images_of(job) * self.passes(job) for job in self.jobs) + sum(
            self.sweep_passes(target) for target in self.targets
        )


def measure_attack(opened: Sequence[Opened], asked: AttackArguments, progress: Progress) -> AttackResult:
    """Attack a run; with a second one, each also with the images made on the other.

    Raises:
        ArgumentError: if more images are asked for than there are, draws of a model that draws nothing, or a second
            run that has other images.
        NoFoolboxError: if an attack needs foolbox and it is not installed.
        NoGradientError: if a model cannot be attacked along a gradient.
        CheckpointError: if a file that was kept is damaged.
        RunLockedError: if another process attacks this run.
    """
    setup = set_up(opened, asked)
    progress.expect(setup.total)
    sweep = enough_draws(setup, progress)
    rows = attack_rows(setup, list(outcomes(setup, progress)))
    models = [
        AttackedModel(name=one.name, weights_sha256=one.weights_sha256, randomness="redrawn" if one.random else "none")
        for one in setup.targets
    ]
    return AttackResult(
        arguments=asked,
        dataset=opened[0].dataset,
        split=asked.split,
        epoch=opened[0].epoch,
        chosen=setup.chosen,
        classes=len(setup.images.classes),
        models=models,
        rows=rows,
        enough_draws=sweep,
    )


def set_up(opened: Sequence[Opened], asked: AttackArguments) -> Setup:
    """What the attacks will be carried out on, after all checks; nothing is computed yet."""
    run, *others = opened
    if any(attack in ALONG for attack in asked.attack):
        require_foolbox()
    every = run.pictures(asked.split)
    places, chosen = run.fair_places(asked.split, asked.images or len(run.loader(asked.split, IMAGES).places))
    images = every.select(places)
    for other in others:
        theirs = other.pictures(asked.split)
        if len(theirs) != len(every) or _digest(theirs.select(places)) != _digest(images):
            raise ArgumentError(
                f"--from {other.path}: its {asked.split} images are not those of {run.path}, so nothing carries over"
            )
    random = [one for one in opened if one.facts.is_random]
    for flag, wanted in (("eot", asked.eot), ("draws", asked.draws)):
        if not random and (wanted or 1) > 1:
            raise ArgumentError(f"--{flag} {wanted}: this model draws nothing, every pass is the same; leave it out")
    draws = asked.draws or random[0].facts.draws if random else 1
    targets = tuple(
        Target(name, one.model, one.seed, one.weights_sha256, one.facts.is_random)
        for name, one in zip(run_names(opened), opened, strict=True)
    )
    return Setup(asked, targets, images, places, chosen, run.path / "attack", draws)


def _digest(images: Any) -> str:
    parts = (images.images.contiguous().numpy().tobytes(), images.labels.numpy().tobytes())
    return digest_of_bytes(b"".join(parts))


def outcomes(setup: Setup, progress: Progress) -> Iterator[Outcome]:
    """Carry out what is missing, and give every job as it is complete; what was done before counts as progress."""
    models = [{"weights_sha256": target.weights_sha256, "seed": target.seed} for target in setup.targets]
    shared = {"models": models, "images_sha256": _digest(setup.images), "places": setup.chosen, "draws": setup.draws}
    with hold_cells(setup.folder):
        for job in setup.jobs:
            yield Outcome(job, tuple(_batches(setup, job, asdict(job) | shared, progress)))


def cell_path(folder: Path, job: Job, settings: Mapping[str, Any]) -> Path:
    """Where a job is kept: the name says what it is, and ends in a digest of all its settings."""
    digest = digest_of_values(settings)[:12]
    words = [job.attack, job.estimator, f"{255 * job.eps:.4g}" if job.eps else "", digest]
    return folder / f"{'-'.join(word for word in words if word)}.json"


def _batches(setup: Setup, job: Job, settings: Mapping[str, Any], progress: Progress) -> list[Batch]:
    path, count = cell_path(setup.folder, job, settings), setup.images_of(job)
    kept = read_cell(path, settings, partial(result_from, Batches))
    done = list(kept.batches) if kept else []
    wanted = torch.arange(count).tensor_split(math.ceil(count / BATCH))
    for number, rows in enumerate(wanted):
        if number >= len(done):
            done.append(_attacked(setup, job, rows))
            whole = Batches(complete=number + 1 == len(wanted), batches=tuple(done))
            write_cell(path, settings, whole.model_dump(mode="json"))
        progress(setup.passes(job) * len(rows))
    return done


def _attacked(setup: Setup, job: Job, rows: Tensor) -> Batch:
    start, source = time.monotonic(), setup.targets[job.source]
    device = next(source.model.parameters()).device
    images, labels = setup.images.batch(rows).to(device), setup.images.labels[rows].to(device)
    index = setup.places[rows]
    found = _changed(source, job, images, labels, index.to(device))
    measured = partial(right_under, images=found.images, labels=labels, draws=setup.draws, index=index)
    right = tuple(tuple(map(to_bits, measured(one.model, seed=one.seed))) for one in setup.targets)
    return Batch(
        right=right,
        zero="" if found.zero is None else to_bits(found.zero),
        agreement=() if found.agreement is None else tuple(found.agreement.tolist()),
        change=tuple((found.images - images).abs().flatten(1).amax(1).tolist()),
        queries=() if found.queries is None else tuple(found.queries.tolist()),
        seconds=time.monotonic() - start,
    )


def _changed(source: Target, job: Job, images: Tensor, labels: Tensor, index: Tensor) -> Attacked:
    noise: dict[str, Any] = {"index": index, "seed": source.seed}
    if job.threat is not None:
        return descend(source.model, images, labels, job.threat, estimator=job.estimator, **noise)
    if job.attack == "square":
        return search(source.model, images, labels, job.eps, queries=job.queries, **noise)
    return Attacked(images if job.attack == "clean" else random_signs(images, job.eps, **noise))


def enough_draws(setup: Setup, progress: Progress) -> list[SignAgreement]:
    """How alike the signs of two gradients are, each the mean of so many draws of its own; nothing where the models
    draw nothing, or no attack follows gradients."""
    found = []
    rows = torch.arange(min(SWEEP_IMAGES, len(setup.images)))
    for target in setup.targets:
        device = next(target.model.parameters()).device
        images, labels = setup.images.batch(rows).to(device), setup.images.labels[rows].to(device)
        noise: dict[str, Any] = {"seed": target.seed, "index": setup.places[rows]}
        for estimator in target.estimators if setup.sweep_passes(target) else ():
            for count in SWEEP:
                gradient = input_gradient(target.model, images, labels, estimator=estimator, draws=2 * count, **noise)
                alike = float(gradient.agreement.nanmean())
                facts: dict[str, Any] = {
                    "model": target.name,
                    "estimator": estimator,
                    "draws": count,
                    "images": len(rows),
                }
                found.append(SignAgreement(**facts, sign_agreement=alike))
                progress(2 * count * len(rows))
    return found
