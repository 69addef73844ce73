"""Attacks on images: FGSM and PGD along gradients, the Square attack without, random signs; and their accuracies.

A random spike has no derivative, so an estimator replaces it, and the loss is averaged over fresh draws before any sign
is taken (expectation over transformation: Athalye, Carlini & Wagner 2018). Straight through is Sharmin et al. 2020's.
Each job is a file below ``RUN/attack``, written after every batch. The checks for hidden gradients, and for attacks
that do not work, are those of Athalye, Carlini & Wagner 2018, Carlini et al. 2019, and AutoAttack.
"""

from __future__ import annotations

import itertools
import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from pydantic import Field
from torch import Tensor

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_weights, paired, right_answers
from bntt.analysis.attack import UNBOUNDED, WORST, AttackArguments, AttackedModel, AttackRow
from bntt.analysis.measurement import Opened, Progress, check_same_images, refuse_repeats, run_names
from bntt.analysis.result import Record, result_from
from bntt.io.checkpoint import read_cell, write_cell
from bntt.io.files import digest_of_bytes, digest_of_values
from bntt.io.lock import hold_run
from bntt.nn.call import evaluating, index_of
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.ops.poisson import GradientEstimator, expected, straight_through
from bntt.ops.random import Purpose, sample_keys, uniform

ATTACK_DRAW = FIRST_DRAW << 8
"""First draw number of an attack, which does not know the noise that it is measured with."""
SEARCH_DRAW = 2 * ATTACK_DRAW
ESTIMATORS: dict[str, GradientEstimator] = {"straight_through": straight_through, "expected": expected}
EXACT = "exact"
OVERSHOOT = 2.5
"""Total length of all steps in units of ε, if no step size is given: enough to get from any start to any corner."""
SHARE = 0.8
"""Share of an image's area that the first squares of a search cover."""
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Rounds, out of 10,000, after which the area is halved."""
SURE = 4
"""Number of consecutive wrong draws after which an image leaves a search."""
ALONG = ("fgsm", "pgd")
IMAGES = 500
CONTROL_IMAGES = 100
EOT = 16
BATCH = 50
GRADIENT = 3
"""Cost of a gradient with respect to an image, in forward passes."""
MOST_ZERO = 0.01
"""Largest share of images whose gradient may be zero everywhere."""
MARGIN = 0.002
Bits = Annotated[str, Field(pattern="^[01]*$")]
"""A 1 for each image for which something is true, and a 0 for any other."""


@dataclass(frozen=True)
class Threat:
    """``‖x' - x‖∞ ≤ ε`` with x' in [0, 1], pixels before normalisation; one step from the image itself is FGSM."""

    eps: float
    steps: int = 1
    step_size: float | None = None
    restarts: int = 1
    draws: int = 16
    random_start: bool = False

    @property
    def length(self) -> float:
        if self.step_size is not None:
            return self.step_size
        return self.eps if self.steps == 1 else OVERSHOOT * self.eps / self.steps

    @property
    def passes(self) -> int:
        """Forward and backward passes per image, including those that choose among restarts."""
        return self.restarts * self.draws * (self.steps + (self.restarts > 1))


class AttackedImages(NamedTuple):
    """Changed images; where the first gradient was zero in every pixel; or the number of queries."""

    images: Float[Tensor, "B *shape"]
    zero: Bool[Tensor, " B"] | None = None
    queries: Int[Tensor, " B"] | None = None


def estimators_of(model: SpikingClassifier) -> tuple[str, ...]:
    """List the estimators that an attack can use: all, for random spikes; "exact" for any other encoder."""
    return tuple(ESTIMATORS) if encoder_facts(model.encoder).estimated else (EXACT,)


def input_gradient(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    estimator: str,
    draws: int = 1,
    seed: int = 0,
    draw: int = ATTACK_DRAW,
    index: Integer[Tensor, " B"] | None = None,
) -> Float[Tensor, "B *shape"]:
    """Return ``d/dx mean_d L(x; draw d)``, L the cross entropy, x pixels in [0, 1], for draws from ``draw`` on."""
    halves = [torch.zeros_like(images) for _ in range(2)]  # one sum would have other bits
    with torch.enable_grad(), _estimating(model, estimator):
        for number in range(draws):
            x = images.detach().clone().requires_grad_()
            each = F.cross_entropy(model(x, seed=seed, index=index, draw=draw + number), labels, reduction="none")
            slope = torch.autograd.grad(each.sum(), x, allow_unused=True)[0] if each.requires_grad else None
            if slope is None:
                raise ValueError("no gradient connects the output with the images: attack only by random search")
            halves[2 * number // draws] += slope
    return (halves[0] + halves[1]) / draws


@contextmanager
def _estimating(model: SpikingClassifier, estimator: str) -> Iterator[None]:
    """Set evaluation mode and this estimator, without parameter gradients, inside the block; then restore all."""
    encoder: Any = model.encoder
    own, compute = getattr(encoder, "gradient", None), model.network.compute
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with evaluating(model):
        try:
            model.requires_grad_(False)
            model.network.compute = replace(compute, input_grad="direct")  # Winograd's error is that of a whole tile
            if estimator != EXACT:
                encoder.gradient = ESTIMATORS[estimator]
            yield
        finally:
            model.network.compute = compute
            if estimator != EXACT:
                encoder.gradient = own
            for parameter in wanted:
                parameter.requires_grad_()


def mean_loss(
    model: SpikingClassifier, images: Tensor, labels: Tensor, *, draws: int, draw: int, **noise: Any
) -> Float[Tensor, " B"]:
    """Return the cross entropy of each image, mean over draws, without a gradient."""
    loss = images.new_zeros(len(images))
    with torch.no_grad(), evaluating(model):
        for number in range(draws):
            loss += F.cross_entropy(model(images, draw=draw + number, **noise), labels, reduction="none")
    return loss / draws


def descend(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    threat: Threat,
    *,
    estimator: str,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
) -> AttackedImages:
    """Run FGSM or PGD (Goodfellow 2015; Madry 2018): ``x ← clip(x + α sign(dL/dx))``, within ε and [0, 1]."""
    images, places = images.detach(), index_of(index, len(images), images.device)
    noise: dict[str, Any] = {"seed": seed, "index": places, "draws": threat.draws}
    seen, tried = list[Tensor](), list[Tensor]()
    for restart in range(threat.restarts):
        x = images
        if threat.random_start:  # other numbers for each restart than those of random_signs
            keys = sample_keys(seed, Purpose.START, 1 + restart, places)
            x = (images + threat.eps * (2 * uniform(keys, *images.shape[1:]).to(images.dtype) - 1)).clamp(0, 1)
        for _ in range(threat.steps):
            draw = ATTACK_DRAW + len(seen) * threat.draws
            seen.append(input_gradient(model, x, labels, estimator=estimator, draw=draw, **noise))
            x = x + threat.length * seen[-1].sign()
            x = torch.clamp(x, images - threat.eps, images + threat.eps).clamp(0, 1)
        tried.append(x)
    found = tried[0]
    if threat.restarts > 1:
        draw = ATTACK_DRAW + threat.restarts * threat.steps * threat.draws
        losses = [mean_loss(model, x, labels, draw=draw, **noise) for x in tried]
        found = torch.stack(tried)[torch.stack(losses).argmax(0), torch.arange(len(images), device=images.device)]
    return AttackedImages(found, (seen[0] == 0).flatten(1).all(1))


def random_signs(
    images: Float[Tensor, "B *shape"], eps: float, *, index: Integer[Tensor, " B"], seed: int = 0
) -> Float[Tensor, "B *shape"]:
    """Return ``clip(x ± ε)`` with fair signs: a change as large as FGSM's but uninformed, for comparison."""
    keys = sample_keys(seed, Purpose.START, 0, index)
    return _moved(images, eps, uniform(keys, *images.shape[1:]))


def _moved(images: Tensor, eps: float, numbers: Tensor) -> Tensor:
    """Move pixels by ε: up where a uniform number is below one half, else down; within [0, 1]."""
    return (images + eps * ((numbers < 0.5).to(images.dtype) * 2 - 1)).clamp(0, 1)


def search(
    model: SpikingClassifier,
    images: Float[Tensor, "B C H W"],
    labels: Int[Tensor, " B"],
    eps: float,
    *,
    queries: int,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
) -> AttackedImages:
    """Run the Square attack (Andriushchenko 2020): keep squares of ±ε that reduce the margin ``z_y - max_{k≠y} z_k``.

    Each round queries with and without the square in the same fresh draw: a lucky draw is never taken for progress.
    """
    places = index_of(index, len(images), images.device)
    stripes = uniform(sample_keys(seed, Purpose.SEARCH, 0, places), images.shape[1], 1, images.shape[3])
    best, asked = _moved(images, eps, stripes), torch.zeros_like(places)
    wrong, alive = torch.zeros_like(places), torch.arange(len(images), device=images.device)
    with torch.no_grad(), evaluating(model):
        for number in range(queries // 2):
            few, truth, names = best[alive], labels[alive], places[alive]
            side = _side(images.shape[2:], number, queries // 2)
            tried = _with_square(few, images[alive], eps, side, sample_keys(seed, Purpose.SEARCH, 1 + number, names))
            noise = {"seed": seed, "index": names, "draw": SEARCH_DRAW + number}
            before, after = (_margin(model(x, **noise), truth) for x in (few, tried))
            best[alive] = torch.where((after < before).reshape(-1, 1, 1, 1), tried, few)
            asked[alive] += 2
            wrong[alive] = torch.where(torch.minimum(before, after) < 0, wrong[alive] + 1, 0)
            alive = alive[wrong[alive] < SURE]
            if len(alive) == 0:
                break
    return AttackedImages(best, queries=asked)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    others = logits.scatter(1, labels[:, None], -math.inf)
    return logits.gather(1, labels[:, None])[:, 0] - others.amax(1)


def _side(size: torch.Size, number: int, rounds: int) -> int:
    """Return the side of a square: the root of its share of the area, at least a pixel, at most the shorter side."""
    share = SHARE / 2 ** bisect_left(HALVINGS, 10_000 * number / rounds)
    return max(1, min(size[0], size[1], round(math.sqrt(share * size[0] * size[1]))))


def _with_square(x: Tensor, images: Tensor, eps: float, side: int, keys: Tensor) -> Tensor:
    """Place one square on each image, with each channel's ±ε relative to the original image."""
    _, channels, height, width = x.shape
    numbers = uniform(keys, 2 + channels)
    top, left = ((numbers[:, i] * (n - side + 1)).long()[:, None] for i, n in enumerate((height, width)))
    rows, columns = (torch.arange(n, device=x.device)[None] for n in (height, width))
    inside = ((rows >= top) & (rows < top + side))[:, :, None] & ((columns >= left) & (columns < left + side))[:, None]
    return torch.where(inside[:, None], _moved(images, eps, numbers[:, 2:, None, None]), x)


@dataclass(frozen=True)
class Job:
    """One way to change the images ("signs" are random ones); ``control`` is PGD without a bound, a check."""

    source: int
    attack: str
    eps: float = 0.0
    estimator: str = ""
    threat: Threat | None = None
    queries: int = 0
    control: bool = False


def jobs(arguments: AttackArguments, estimators: Sequence[Sequence[str]], eot: Sequence[int]) -> Iterator[Job]:
    """List all jobs: clean images, the control, then each ε; with the estimators and draws of each model."""
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


@dataclass(frozen=True)
class Setup:
    """The runs, the images of a split, and what is done with them."""

    arguments: AttackArguments
    runs: Sequence[Opened]
    models: Sequence[AttackedModel]
    images: Any
    places: Tensor
    """Indices in their split, which identify their noise."""
    chosen: str
    draws: int
    jobs: Sequence[Job] = ()

    def images_of(self, job: Job) -> int:
        return min(len(self.images), CONTROL_IMAGES) if job.control else len(self.images)

    def passes(self, job: Job) -> int:
        """Return the approximate number of forward passes to change an image and to measure it."""
        changing = job.queries + (GRADIENT * job.threat.passes if job.threat else 0)
        return changing + self.draws * len(self.runs)

    @property
    def total(self) -> int:
        return sum(self.images_of(job) * self.passes(job) for job in self.jobs)


def prepare(opened: Sequence[Opened], arguments: AttackArguments) -> Setup:
    """Choose the targets of the attacks, after all checks; nothing is computed yet."""
    run = opened[0]
    every, count = run.pictures(arguments.split), arguments.images or len(run.loader(arguments.split, IMAGES).places)
    places, chosen = run.balanced_places(arguments.split, count)
    check_same_images(opened, arguments.split, places)
    random = {i: one for i, one in enumerate(opened) if one.facts.is_random}
    for flag, wanted in () if random else (("eot", arguments.eot), ("draws", arguments.draws)):
        refuse_repeats(flag, wanted, "this model is not random")
    draws = arguments.draws or next((one.facts.draws for one in random.values()), 1)
    models = [
        AttackedModel(
            name=name, weights_sha256=one.weights_sha256, randomness="redrawn" if one.facts.is_random else "none"
        )
        for name, one in zip(run_names(opened), opened, strict=True)
    ]
    estimators = [estimators_of(one.model) for one in opened]
    eot = [(arguments.eot or EOT) if i in random else 1 for i in range(len(opened))]
    todo = list(jobs(arguments, estimators, eot))
    return Setup(arguments, opened, models, every.select(places), places, chosen, draws, todo)


class Batch(Record):
    """Images that were attacked together; by model and draw, those classified right, and those of zero gradients."""

    right: tuple[tuple[Bits, ...], ...]
    zero: Bits
    change: tuple[float, ...]
    queries: tuple[int, ...]
    seconds: float


class Outcome(Record):
    """The file of a job: its completed batches, and whether they are all of them."""

    complete: bool
    batches: tuple[Batch, ...]

    def right(self, model: int) -> Bool[Tensor, "D N"]:
        """Return the images that a model classifies right in each draw."""
        draws = zip(*(batch.right[model] for batch in self.batches), strict=True)
        return torch.stack([from_bits("".join(rows)) for rows in draws])

    def share_right(self, model: int) -> float:
        return float(self.right(model).double().mean())

    @property
    def zero(self) -> float:
        return float(from_bits("".join(batch.zero for batch in self.batches)).double().mean())

    @property
    def change(self) -> float:
        return max(one for batch in self.batches for one in batch.change)

    @property
    def seconds(self) -> float:
        return sum(batch.seconds for batch in self.batches)

    @property
    def queries(self) -> float | None:
        """The mean over the images; None for an attack that does not count them."""
        found = [one for batch in self.batches for one in batch.queries]
        return sum(found) / len(found) if found else None


Outcomes = Mapping[Job, Outcome]


def to_bits(flags: Bool[Tensor, " N"]) -> str:
    """Write booleans as digits."""
    return "".join("01"[flag] for flag in flags.tolist())


def from_bits(text: str) -> Bool[Tensor, " N"]:
    """Read booleans from digits."""
    return torch.tensor([one == "1" for one in text], dtype=torch.bool)


def outcomes(setup: Setup, progress: Progress) -> dict[Job, Outcome]:
    """Carry out the missing batches of every job; earlier work counts as progress."""
    contents = (setup.images.images.contiguous().numpy().tobytes(), setup.images.labels.numpy().tobytes())
    models: list[dict[str, Any]] = []
    for run in setup.runs:  # precision and overridden options stand only where they are unusual, as in older files
        precision, options = run.model.network.compute.precision, dict(run.measured_with)
        unusual = {"precision": "" if precision == "fp32" else precision, "measured_with": options}
        models.append({"weights_sha256": run.weights_sha256, "seed": run.seed})
        models[-1] |= {key: value for key, value in unusual.items() if value}
    images = digest_of_bytes(b"".join(contents))
    shared = {"models": models, "images_sha256": images, "places": setup.chosen, "draws": setup.draws}
    done = dict[Job, Outcome]()
    with hold_run(folder := setup.runs[0].path / "attack"):
        for job in setup.jobs:
            settings, count, passes = asdict(job) | shared, setup.images_of(job), setup.passes(job)
            path = cell_path(folder, job, settings)
            found = read_cell(path, settings, partial(result_from, Outcome)) or Outcome(complete=False, batches=())
            wanted = torch.arange(count).tensor_split(math.ceil(count / BATCH))
            kept = len(found.batches)
            progress.skip(passes * sum(map(len, wanted[:kept])))
            for number, rows in enumerate(wanted[kept:], kept + 1):
                images, labels = setup.images.batch(rows), setup.images.labels[rows]
                batch = run_job(job, setup.runs, images, labels, setup.places[rows], setup.draws)
                found = Outcome(complete=number == len(wanted), batches=(*found.batches, batch))
                write_cell(path, settings, found.model_dump(mode="json"))
                progress(passes * len(rows))
            done[job] = found
    return done


def cell_path(folder: Path, job: Job, settings: Mapping[str, Any]) -> Path:
    """Return the path of a job's file: its name describes the job, and ends in a digest of all its settings."""
    digest = digest_of_values(settings)[:12]
    words = [job.attack, job.estimator, f"{255 * job.eps:.4g}" if job.eps else "", digest]
    return folder / f"{'-'.join(word for word in words if word)}.json"


def run_job(job: Job, runs: Sequence[Opened], images: Tensor, labels: Tensor, places: Tensor, draws: int) -> Batch:
    """Change some images as a job specifies, on its source, and measure every run ``draws`` times with fresh noise."""
    start, source = time.monotonic(), runs[job.source]
    device = next(source.model.parameters()).device
    images, labels = images.to(device), labels.to(device)
    noise: dict[str, Any] = {"index": places.to(device), "seed": source.seed}
    if job.threat is not None:
        found = descend(source.model, images, labels, job.threat, estimator=job.estimator, **noise)
    elif job.attack == "square":
        found = search(source.model, images, labels, job.eps, queries=job.queries, **noise)
    else:
        found = AttackedImages(images if job.attack == "clean" else random_signs(images, job.eps, **noise))
    right = [right_under(one.model, found.images, labels, draws=draws, seed=one.seed, index=places) for one in runs]
    return Batch(
        right=tuple(tuple(map(to_bits, each)) for each in right),
        zero="" if found.zero is None else to_bits(found.zero),
        change=tuple((found.images - images).abs().flatten(1).amax(1).tolist()),
        queries=() if found.queries is None else tuple(found.queries.tolist()),
        seconds=time.monotonic() - start,
    )


def right_under(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    labels: Int[Tensor, " B"],
    *,
    draws: int,
    seed: int = 0,
    index: Integer[Tensor, " B"] | None = None,
) -> Bool[Tensor, "draws B"]:
    """Return which images are classified right, in every draw of the noise of :func:`~bntt.analysis.evaluate`."""
    check_weights(model)
    found = []
    with torch.no_grad(), evaluating(model):
        for draw in range(draws):
            logits = model(images, seed=seed, index=index, draw=FIRST_DRAW + draw)
            found.append(right_answers(logits, labels))
    return torch.stack(found)


def attack_rows(setup: Setup, found: Outcomes) -> list[AttackRow]:
    """Build a row for each attack and model; then, for each ε and model, the worst case of all attacks."""
    attacked = {job: one for job, one in found.items() if job.attack != "clean"}
    clean, faults = found[Job(0, "clean")], reasons(setup, attacked)

    def row(target: int, right: Tensor, some: Outcomes, **facts: Any) -> AttackRow:
        (draws, images), model, eps = right.shape, setup.models[target], next(iter(some)).eps
        facts |= Accuracy(images, tuple((int(hits),) for hits in right.sum(1))).columns
        return AttackRow(
            model=model.name,
            eps=eps,
            eps_255=255 * eps,
            clean_accuracy=float(clean.right(target)[:, :images].double().mean()),
            images=images,
            chosen=setup.chosen if len(setup.images) == images else f"the first {images} of {setup.chosen}",
            draws=draws,
            largest_change=max(one.change for one in some.values()),
            seconds=sum(one.seconds for one in some.values()),
            **facts,
        )

    rows, models = list[AttackRow](), range(len(setup.models))
    for job, one in attacked.items():
        facts: dict[str, Any] = {"crafted_on": setup.models[job.source].name, "estimator": job.estimator}
        if threat := job.threat:
            facts |= {key: getattr(threat, key) for key in ("steps", "restarts")}
            facts |= {"eot": threat.draws, "step_size": threat.length, "zero_gradient_share": one.zero}
        facts |= {"queries": job.queries or None, "queries_used": one.queries}
        facts |= {"attack": UNBOUNDED if job.control else job.attack}
        for target in [job.source] if job.control else models:
            why = "; ".join(faults.get((job, target), []))
            rows.append(row(target, one.right(target), {job: one}, **facts, invalid=why))
    for target, eps in itertools.product(models, setup.arguments.bounds):
        some = {job: one for job, one in attacked.items() if job.eps == eps and not job.control}
        right = torch.stack([one.right(target) for one in some.values()])
        right = worst_of(right, random=setup.models[target].randomness != "none")
        wrong = ", ".join(sorted({job.attack for job in some if (job, target) in faults}))
        why = f"some of its attacks are invalid: {wrong}" if wrong else ""
        rows.append(row(target, right, some, crafted_on="any", attack=WORST, estimator="any", invalid=why))
    return rows


def reasons(setup: Setup, found: Outcomes) -> dict[tuple[Job, int], list[str]]:
    """Collect the reasons why attacks are worthless, by job and model measured; sound ones are left out."""
    faults: dict[tuple[Job, int], list[str]] = {}
    along = [job for job in found if job.threat]

    def blame(some: Iterable[Job], why: str, targets: Iterable[int]) -> None:
        for job, target in itertools.product(some, targets):
            faults.setdefault((job, target), []).append(why)

    def right(job: Job) -> Tensor:
        return found[job].right(job.source)

    everywhere, chance = range(len(setup.models)), 1 / len(setup.images.classes)
    for job in along:
        if (share := found[job].zero) > MOST_ZERO:
            blame([job], f"the gradient is zero in every pixel of {share:.1%} of the images", everywhere)
        same = [other for other in along if (other.source, other.estimator) == (job.source, job.estimator)]
        if job.control and (share := found[job].share_right(job.source)) > chance:
            blame(same, f"PGD at eps = 1 leaves {share:.1%} right, above chance ({chance:.1%})", everywhere)
        for other in same if job.attack == "pgd" and not job.control else ():
            if (other.attack, other.eps) == ("fgsm", job.eps):
                more = paired(right(job), right(other))
                if more.interval[0] > 0:
                    why = f"several steps leave {100 * more.difference:.1f} points more right than one step"
                    blame([job], why, [job.source])
    for job in found:
        gradients = [one for one in along if (one.source, one.eps, one.control) == (job.source, job.eps, False)]
        if job.attack == "square" and gradients:
            best = min(gradients, key=lambda one: found[one].share_right(one.source))
            more = paired(right(best), right(job))
            if more.difference > MARGIN and more.interval[0] > 0:
                why = f"the random search leaves {100 * more.difference:.1f} points fewer right than gradients"
                blame(gradients, why, [job.source])
    return faults


def worst_of(right: Bool[Tensor, "A D N"], *, random: bool) -> Bool[Tensor, "D N"]:
    """Return the images that stay right under the attack that works best on each, or the best single one.

    With noise it is chosen on draws other than the one in which it counts: no attacker knows the noise to come.
    """
    if not random:
        return right.all(0)
    strongest_first = right[right.flatten(1).sum(1).argsort(stable=True)]
    in_others = strongest_first.sum(1, keepdim=True) - strongest_first.long()
    each = strongest_first.gather(0, in_others.argmin(0, keepdim=True))[0]
    return min(each, strongest_first[0], key=lambda one: int(one.sum()))
