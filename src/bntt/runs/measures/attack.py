"""A trained run under attack: every attack and estimator, measured with fresh noise, and kept as it is done.

Each attack is a file of its own below ``RUN/attack``, written after every batch: what was interrupted goes on where it
stopped, and what is not complete is never averaged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.attack.descent import Attacked, descend, random_signs, require_foolbox
from bntt.analysis.attack.fresh_noise import right_under
from bntt.analysis.attack.gradient import estimators_of, input_gradient, is_random
from bntt.analysis.attack.square import search
from bntt.analysis.measurement import run_names
from bntt.data import ImageSet
from bntt.data.images.image_set import same_images
from bntt.data.subset import fair_order, how_chosen
from bntt.io.digest import digest_of_bytes
from bntt.io.lock import hold_run
from bntt.nn import SpikingClassifier
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import weights_hash
from bntt.runs.measures.attack_cell import Cell, Piece, as_bits, cell_path, numbers_or_none, read_cell, write_cell
from bntt.runs.measures.attack_plan import ALONG, CONTROL_IMAGES, EOT, IMAGES, Job, Plan, jobs
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.file import RecipeError

BATCH = 50
"""Images that are attacked together."""
SWEEP = (1, 4, 16)
"""Numbers of draws whose gradients are compared."""
SWEEP_IMAGES = 20
"""Of the first batch, that they are compared on."""


@dataclass(frozen=True)
class Subject:
    """A model that is attacked, and measured."""

    name: str
    model: SpikingClassifier
    seed: int
    weights: str
    """SHA-256."""
    random: bool
    """Whether every pass has fresh noise."""

    @property
    def estimators(self) -> tuple[str, ...]:
        """Of its gradient."""
        return estimators_of(self.model)


@dataclass(frozen=True)
class Victims:
    """All that a plan is carried out on."""

    plan: Plan
    subjects: tuple[Subject, ...]
    """The run itself, then the one that images are also made on."""
    images: ImageSet
    """Those chosen."""
    places: Tensor
    """Where in their split they are: it names their noise."""
    chosen: str
    """How they were, in words."""
    dataset: str
    folder: Path
    draws: int

    @property
    def jobs(self) -> list[Job]:
        """All that is to be done."""
        eot = tuple((self.plan.eot or EOT) if subject.random else 1 for subject in self.subjects)
        return list(jobs(self.plan, tuple(subject.estimators for subject in self.subjects), eot))

    def images_of(self, job: Job) -> int:
        """How many an attack takes; a control few."""
        return min(len(self.images), CONTROL_IMAGES) if job.control else len(self.images)

    def work(self, job: Job) -> int:
        """Passes of an image through a model, to craft it and to measure it, times images."""
        return self.images_of(job) * (job.passes + self.draws * len(self.subjects))

    @property
    def total(self) -> int:
        """Passes of all jobs, and of the sweep."""
        return sum(self.work(job) for job in self.jobs) + sum(self.sweeps(one) for one in self.subjects)

    def sweeps(self, subject: Subject) -> int:
        """Passes to find how many draws are enough."""
        wanted = subject.random and any(attack in ALONG for attack in self.plan.attacks)
        few = min(SWEEP_IMAGES, len(self.images))
        return few * len(subject.estimators) * sum(2 * count for count in SWEEP) if wanted else 0


def victims(loaded: LoadedRun, plan: Plan, other: LoadedRun | None = None) -> Victims:
    """What a plan will be carried out on, after all checks; nothing is computed but a few images' spikes.

    Raises:
        RecipeError: if more images are asked for than there are, draws of a model that draws nothing, or a run to make
            images on that has other images.
        NoFoolboxError: if an attack needs foolbox and it is not installed.
    """
    if any(attack in ALONG for attack in plan.attacks):
        require_foolbox()
    every, seed = loaded.pictures(plan.split), loaded.recipe.seed
    count = plan.images or min(IMAGES, loaded.recipe.evaluate.images or IMAGES, len(every))
    if count > len(every):
        raise RecipeError(f"--images {count}: the {plan.split} split of {loaded.path} has {len(every)}")
    places = fair_order(every, seed)[:count]  # so that a control's few, the first, are of all classes too
    if other is not None and not same_images(every, other.pictures(plan.split), places):
        raise RecipeError(
            f"--from {other.path}: its {plan.split} images are not those of {loaded.path}, so nothing carries over"
        )
    images, runs = every.select(places), [loaded] if other is None else [loaded, other]
    subjects = [_subject(name, run, images) for name, run in zip(run_names(runs), runs, strict=True)]
    fixed = not any(subject.random for subject in subjects)
    for name, asked in (("eot", plan.eot), ("draws", plan.draws)):
        if fixed and asked is not None and asked > 1:
            raise RecipeError(f"--{name} {asked}: this model draws nothing, every pass is the same; leave it away")
    draws = 1 if fixed else plan.draws or loaded.recipe.evaluate.draws
    chosen = how_chosen(every, count, seed)
    folder = loaded.path / "attack"
    return Victims(plan, tuple(subjects), images, places, chosen, loaded.data.label, folder, draws)


def _subject(name: str, loaded: LoadedRun, images: ImageSet) -> Subject:
    device = next(loaded.model.parameters()).device
    few = images.batch(torch.arange(min(16, len(images)))).to(device)
    weights = weights_hash(RunDirectory(loaded.path))
    return Subject(name, loaded.model, loaded.recipe.seed, weights, is_random(loaded.model, few))


def _digest(images: ImageSet) -> str:
    parts = (images.images.contiguous().numpy().tobytes(), images.labels.numpy().tobytes())
    return digest_of_bytes(b"".join(parts))


def attack_cells(of: Victims, *, progress: Callable[[int], None] = lambda passes: None) -> Iterator[Cell]:
    """Carry out what is missing, and give every attack as it is complete.

    Args:
        progress: called with numbers of passes that are done, or need not be, of ``of.total``.

    Raises:
        NoGradientError: if a model cannot be attacked along a gradient.
        CheckpointError: if a file that was kept is damaged.
        RunLockedError: if another process attacks this run.
    """
    of.folder.mkdir(exist_ok=True)
    data = _digest(of.images)
    with hold_run(of.folder):
        for job in of.jobs:
            settings = _settings(of, job, data)
            path = cell_path(of.folder, job, settings)
            yield Cell(job, tuple(_pieces(of, job, path, settings, progress)))


def _settings(of: Victims, job: Job, data: str) -> dict[str, Any]:
    """All that an attack's result is a function of."""
    models = [{"weights_sha256": subject.weights, "seed": subject.seed} for subject in of.subjects]
    return asdict(job) | {"models": models, "images_sha256": data, "places": of.chosen, "draws": of.draws}


def _pieces(
    of: Victims, job: Job, path: Path, settings: Mapping[str, Any], progress: Callable[[int], None]
) -> list[Piece]:
    pieces = list(read_cell(path, settings))
    batches = torch.arange(of.images_of(job)).tensor_split(math.ceil(of.images_of(job) / BATCH))
    each = of.work(job) // of.images_of(job)
    for number, rows in enumerate(batches):
        if number >= len(pieces):
            pieces.append(_attacked(of, job, rows))
            write_cell(path, pieces, settings, complete=number + 1 == len(batches))
        progress(each * len(rows))
    return pieces


def _attacked(of: Victims, job: Job, rows: Tensor) -> Piece:
    began, source = time.monotonic(), of.subjects[job.source]
    device = next(source.model.parameters()).device
    images, labels, index = of.images.batch(rows).to(device), of.images.labels[rows].to(device), of.places[rows]
    found = _crafted(source, job, images, labels, index.to(device))
    right = tuple(
        tuple(
            as_bits(row)
            for row in right_under(one.model, found.images, labels, draws=of.draws, seed=one.seed, index=index)
        )
        for one in of.subjects
    )
    return Piece(
        right,
        "" if found.zero is None else as_bits(found.zero),
        () if found.agreement is None else numbers_or_none(found.agreement),
        tuple((found.images - images).abs().flatten(1).amax(1).tolist()),
        () if found.queries is None else tuple(found.queries.tolist()),
        time.monotonic() - began,
    )


def _crafted(source: Subject, job: Job, images: Tensor, labels: Tensor, index: Tensor) -> Attacked:
    noise: dict[str, Any] = {"index": index, "seed": source.seed}
    if job.threat is not None:
        return descend(source.model, images, labels, job.threat, estimator=job.estimator, **noise)
    if job.attack == "square":
        return search(source.model, images, labels, job.eps, queries=job.queries, **noise)
    return Attacked(images if job.attack == "clean" else random_signs(images, job.eps, **noise))


def enough_draws(of: Victims, *, progress: Callable[[int], None] = lambda passes: None) -> list[dict[str, object]]:
    """How alike the signs of two gradients are, each the mean of so many draws of its own: a row for each number.

    Nothing where the models draw nothing, or no attack follows gradients.
    """
    found = list[dict[str, object]]()
    for subject in of.subjects:
        if not of.sweeps(subject):
            continue
        rows = torch.arange(min(SWEEP_IMAGES, len(of.images)))
        device = next(subject.model.parameters()).device
        images, labels = of.images.batch(rows).to(device), of.images.labels[rows].to(device)
        noise: dict[str, Any] = {"seed": subject.seed, "index": of.places[rows]}
        for estimator in subject.estimators:
            for count in SWEEP:
                gradient = input_gradient(subject.model, images, labels, estimator=estimator, draws=2 * count, **noise)
                alike = float(gradient.agreement.nanmean())
                row: dict[str, object] = {"model": subject.name, "estimator": estimator, "draws": count}
                found.append(row | {"images": len(rows), "sign_agreement": None if math.isnan(alike) else alike})
                progress(2 * count * len(rows))
    return found


def clean_of(cells: Sequence[Cell]) -> Cell:
    """The cell of the images as they are."""
    return next(cell for cell in cells if cell.job.attack == "clean")
