"""A trained run under attack: every attack and estimator, measured with fresh noise, and saved as it proceeds.

Each job is a file below ``RUN/attack``, written after every batch: interrupted jobs resume where they stopped, and
incomplete ones are never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.attack.descent import require_foolbox
from bntt.analysis.attack.gradient import estimators_of, input_gradient
from bntt.analysis.attack.jobs import ALONG, GRADIENT, Job, Outcome, jobs, run_job
from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.result import AttackedModel, AttackResult, SignAgreement
from bntt.analysis.attack.rows import attack_rows
from bntt.analysis.measurement import ArgumentError, Opened, Progress, origin, run_names
from bntt.analysis.result import result_from
from bntt.io.cells import hold_cells, read_cell, write_cell
from bntt.io.files import digest_of_bytes, digest_of_values

IMAGES = 500
"""Default number of images, if there are that many."""
CONTROL_IMAGES = 100
"""Largest number of images for the attack without a bound."""
EOT = 16
"""Default number of draws averaged in a gradient."""
BATCH = 50
"""Number of images attacked together."""
SWEEP = (1, 4, 16)
"""Numbers of draws whose gradients are compared."""
SWEEP_IMAGES = 20
"""Number of images, from the first batch, on which they are compared."""


@dataclass(frozen=True)
class Setup:
    """Everything that the attacks are carried out on."""

    arguments: AttackArguments
    runs: Sequence[Opened]
    """The run itself, then the one on which images are also made."""
    models: Sequence[AttackedModel]
    """Records of the runs for the result."""
    images: Any
    """The chosen images, as a set of labelled images."""
    places: Tensor
    """Indices in their split, which identify their noise."""
    chosen: str
    """Description of how they were chosen."""
    draws: int
    """Repetitions with fresh noise to measure with."""

    @property
    def jobs(self) -> list[Job]:
        """List all jobs."""
        eot = [(self.arguments.eot or EOT) if run.facts.is_random else 1 for run in self.runs]
        return list(jobs(self.arguments, [estimators_of(run.model) for run in self.runs], eot))

    def images_of(self, job: Job) -> int:
        """Return the number of images that a job takes; a control takes few."""
        return min(len(self.images), CONTROL_IMAGES) if job.control else len(self.images)

    def passes(self, job: Job) -> int:
        """Return the number of passes through a model to change an image and to measure it."""
        return job.passes + self.draws * len(self.runs)

    @property
    def sweeps(self) -> list[tuple[int, str, int]]:
        """List model, estimator and number of draws of the gradients that are compared with one another."""
        along = any(attack in ALONG for attack in self.arguments.attack)
        return [
            (i, estimator, count)
            for i, run in enumerate(self.runs)
            if along and run.facts.is_random
            for estimator in estimators_of(run.model)
            for count in SWEEP
        ]

    @property
    def total(self) -> int:
        """Count the passes of all jobs and of the sweep."""
        few = min(SWEEP_IMAGES, len(self.images))
        swept = sum(2 * GRADIENT * count * few for _, _, count in self.sweeps)
        return swept + sum(self.images_of(job) * self.passes(job) for job in self.jobs)


def measure_attack(opened: Sequence[Opened], arguments: AttackArguments, progress: Progress) -> AttackResult:
    """Attack a run; with a second run, also measure each on the images made on the other.

    Raises:
        ArgumentError: if more images are requested than there are, several draws although nothing is random, or a
            second run that has other images.
        NoFoolboxError: if an attack needs foolbox and it is not installed.
        NoGradientError: if a model cannot be attacked along a gradient.
        CheckpointError: if a saved file is damaged.
        RunLockedError: if another process is attacking this run.
    """
    setup = prepare(opened, arguments)
    progress.expect(setup.total)
    sweep = enough_draws(setup, progress)
    return AttackResult(
        **origin(opened[0], arguments),
        chosen=setup.chosen,
        classes=len(setup.images.classes),
        models=setup.models,
        rows=attack_rows(setup, outcomes(setup, progress)),
        enough_draws=sweep,
    )


def prepare(opened: Sequence[Opened], arguments: AttackArguments) -> Setup:
    """Choose the targets of the attacks, after all checks; nothing is computed yet."""
    run, *others = opened
    if any(attack in ALONG for attack in arguments.attack):
        require_foolbox()
    every, count = run.pictures(arguments.split), arguments.images or len(run.loader(arguments.split, IMAGES).places)
    places, chosen = run.balanced_places(arguments.split, count)
    for other in others:
        if not run.has_same_images(other, arguments.split, places):
            raise ArgumentError(
                f"--from {other.path}: its {arguments.split} images are not those of {run.path}: no attack transfers"
            )
    random = [one for one in opened if one.facts.is_random]
    for flag, wanted in (("eot", arguments.eot), ("draws", arguments.draws)):
        if not random and (wanted or 1) > 1:
            raise ArgumentError(f"--{flag} {wanted}: this model is not random, every pass is the same; leave it out")
    draws = arguments.draws or random[0].facts.draws if random else 1
    models = [
        AttackedModel(
            name=name, weights_sha256=one.weights_sha256, randomness="redrawn" if one.facts.is_random else "none"
        )
        for name, one in zip(run_names(opened), opened, strict=True)
    ]
    return Setup(arguments, opened, models, every.select(places), places, chosen, draws)


def outcomes(setup: Setup, progress: Progress) -> dict[Job, Outcome]:
    """Carry out the missing parts of every job; earlier work counts as progress."""
    contents = (setup.images.images.contiguous().numpy().tobytes(), setup.images.labels.numpy().tobytes())
    shared = {
        "models": [
            {"weights_sha256": model.weights_sha256, "seed": run.seed, **_rounded(run), **_overridden(run)}
            for model, run in zip(setup.models, setup.runs, strict=True)
        ],
        "images_sha256": digest_of_bytes(b"".join(contents)),
        "places": setup.chosen,
        "draws": setup.draws,
    }
    folder = setup.runs[0].path / "attack"
    with hold_cells(folder):
        return {job: _outcome(setup, job, folder, asdict(job) | shared, progress) for job in setup.jobs}


def _rounded(run: Opened) -> dict[str, str]:
    """Return the precision of a run as a setting; nothing for fp32, as in older files, which lack the setting."""
    precision = run.model.network.compute.precision
    return {} if precision == "fp32" else {"precision": precision}


def _overridden(run: Opened) -> dict[str, Any]:
    """Return the overridden options of a run as a setting; nothing without any, as in older files."""
    return {"measured_with": dict(run.measured_with)} if run.measured_with else {}


def cell_path(folder: Path, job: Job, settings: Mapping[str, Any]) -> Path:
    """Return the path of a job's file: its name describes the job, and ends in a digest of all its settings."""
    digest = digest_of_values(settings)[:12]
    words = [job.attack, job.estimator, f"{255 * job.eps:.4g}" if job.eps else "", digest]
    return folder / f"{'-'.join(word for word in words if word)}.json"


def _outcome(setup: Setup, job: Job, folder: Path, settings: Mapping[str, Any], progress: Progress) -> Outcome:
    path = cell_path(folder, job, settings)
    done = read_cell(path, settings, partial(result_from, Outcome)) or Outcome(complete=False, batches=())
    count = setup.images_of(job)
    wanted = torch.arange(count).tensor_split(math.ceil(count / BATCH))
    progress.skip(setup.passes(job) * sum(map(len, wanted[: len(done.batches)])))
    for number, rows in list(enumerate(wanted))[len(done.batches) :]:
        images, labels = setup.images.batch(rows), setup.images.labels[rows]
        batch = run_job(job, setup.runs, images, labels, setup.places[rows], setup.draws)
        done = Outcome(complete=number + 1 == len(wanted), batches=(*done.batches, batch))
        write_cell(path, settings, done.model_dump(mode="json"))
        progress(setup.passes(job) * len(rows))
    return done


def enough_draws(setup: Setup, progress: Progress) -> list[SignAgreement]:
    """Return the share of equal signs in two gradients, each the mean over its own draws.

    The list is empty if nothing is random, or no attack follows gradients.
    """
    found, rows = [], torch.arange(min(SWEEP_IMAGES, len(setup.images)))
    for i, estimator, count in setup.sweeps:
        model = setup.runs[i].model
        device = next(model.parameters()).device
        images, labels = setup.images.batch(rows).to(device), setup.images.labels[rows].to(device)
        noise: dict[str, Any] = {"seed": setup.runs[i].seed, "index": setup.places[rows]}
        gradient = input_gradient(model, images, labels, estimator=estimator, draws=2 * count, **noise)
        agreement = SignAgreement(
            model=setup.models[i].name,
            estimator=estimator,
            draws=count,
            images=len(rows),
            sign_agreement=float(gradient.agreement.nanmean()),
        )
        found.append(agreement)
        progress(2 * GRADIENT * count * len(rows))
    return found
