"""Results of attacks as rows: accuracy with its interval, the worst case, and flags for worthless numbers.

The checks for hidden gradients, and for attacks that do not work, are those of Athalye, Carlini & Wagner 2018,
Carlini et al. 2019, and AutoAttack. Each returns its reason, or "".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch import Tensor

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import paired
from bntt.analysis.attack.jobs import Job, Outcome
from bntt.analysis.attack.result import UNBOUNDED, WORST, AttackRow

if TYPE_CHECKING:
    from bntt.analysis.attack.measure import Setup

MOST_ZERO = 0.01
"""Largest share of images whose gradient may be zero everywhere."""
MARGIN = 0.002
"""Margin by which a search may outdo gradients."""
Outcomes = Mapping[Job, Outcome]


def attack_rows(setup: Setup, outcomes: Outcomes) -> list[AttackRow]:
    """Build a row for each attack and model; then, for each ε and model, the worst case of all attacks."""
    attacked = dict(outcomes)
    clean = attacked.pop(Job(0, "clean"))
    faults, models = reasons(setup, attacked), range(len(setup.models))
    rows = [
        _row(setup, job, attacked[job], clean, target, faults.get((job, target), []))
        for job in attacked
        for target in models
        if target == job.source or not job.control
    ]
    for target in models:
        for eps in setup.arguments.bounds:
            some = {job: one for job, one in attacked.items() if job.eps == eps and not job.control}
            invalid = sorted({job.attack for job in some if (job, target) in faults})
            rows.append(_worst(setup, some, clean, target, invalid))
    return rows


def _row(setup: Setup, job: Job, found: Outcome, clean: Outcome, target: int, faults: Iterable[str]) -> AttackRow:
    facts: dict[str, Any] = {}
    if threat := job.threat:
        facts = {"eot": threat.draws, "step_size": threat.length}
        facts |= {key: getattr(threat, key) for key in ("steps", "restarts", "random_start")}
    return AttackRow(
        crafted_on=setup.models[job.source].name,
        attack=UNBOUNDED if job.control else job.attack,
        estimator=job.estimator,
        **_measured(setup, found.right(target), clean, target, job.eps),
        **facts,
        queries=job.queries or None,
        queries_used=found.mean("queries"),
        zero_gradient_share=float(found.zero.double().mean()) if threat else None,
        sign_agreement=found.mean("agreement"),
        largest_change=found.change,
        seconds=found.seconds,
        invalid="; ".join(faults),
    )


def _worst(setup: Setup, attacks: Outcomes, clean: Outcome, target: int, invalid: Sequence[str]) -> AttackRow:
    random = setup.models[target].randomness != "none"
    right = worst_of(torch.stack([one.right(target) for one in attacks.values()]), random=random)
    lowest = min(attacks, key=lambda job: attacks[job].share_right(target))
    source = f"on {setup.models[lowest.source].name}" if len(setup.models) > 1 else ""
    return AttackRow(
        crafted_on="any",
        attack=WORST,
        estimator="any",
        **_measured(setup, right, clean, target, lowest.eps),
        largest_change=max(one.change for one in attacks.values()),
        seconds=sum(one.seconds for one in attacks.values()),
        lowest_single=" ".join(word for word in (lowest.attack, lowest.estimator, source) if word),
        invalid=f"some of its attacks are invalid: {', '.join(invalid)}" if invalid else "",
    )


def _measured(setup: Setup, right: Tensor, clean: Outcome, target: int, eps: float) -> dict[str, Any]:
    draws, images = right.shape
    accuracy, model = Accuracy(images, tuple((int(hits),) for hits in right.sum(1))), setup.models[target]
    return {
        "model": model.name,
        "eps": eps,
        "eps_255": 255 * eps,
        **accuracy.columns,
        "clean_accuracy": float(clean.right(target)[:, :images].double().mean()),
        "images": images,
        "chosen": setup.chosen if len(setup.images) == images else f"the first {images} of {setup.chosen}",
        "draws": draws,
        "randomness": "none" if model.randomness == "none" else "redrawn in every pass",
    }


def reasons(setup: Setup, outcomes: Outcomes) -> dict[tuple[Job, int], list[str]]:
    """Collect the reasons why attacks are worthless, by job and model measured; sound ones are left out."""
    found: dict[tuple[Job, int], list[str]] = {}
    along = [job for job in outcomes if job.threat]

    def blame(some: Sequence[Job], why: str, targets: Sequence[int] = range(len(setup.models))) -> None:
        for job in some if why else ():
            for target in targets:
                found.setdefault((job, target), []).append(why)

    def right(job: Job) -> Tensor:
        return outcomes[job].right(job.source)

    for job in along:
        blame([job], zero_gradients(outcomes[job].zero))
        if job.control:
            same = [other for other in along if (other.source, other.estimator) == (job.source, job.estimator)]
            blame(same, still_right(right(job), len(setup.images.classes)))
        elif job.attack == "pgd":
            for other in _same_attack(along, job):
                if other.attack == "fgsm" and other.estimator == job.estimator:
                    blame([job], weaker_than_one_step(right(job), right(other)), [job.source])
    for job in outcomes:
        gradients = [other for other in _same_attack(along, job) if not other.control]
        if job.attack == "square" and gradients:
            best = min(gradients, key=lambda other: float(right(other).double().mean()))
            blame(gradients, search_does_better(right(best), right(job)), [job.source])
    return found


def _same_attack(some: Sequence[Job], job: Job) -> list[Job]:
    """Select the jobs made on the same model with the same ε."""
    return [other for other in some if (other.source, other.eps) == (job.source, job.eps)]


def zero_gradients(zero: Bool[Tensor, " N"]) -> str:
    """Check for vanishing gradients: they leave images unchanged, which would look like robustness.

    >>> import torch
    >>> zero_gradients(torch.tensor([True, False]))
    'the gradient is zero in every pixel of 50.0% of the images'
    """
    share = float(zero.double().mean())
    return f"the gradient is zero in every pixel of {share:.1%} of the images" if share > MOST_ZERO else ""


def still_right(right: Bool[Tensor, "D N"], classes: int) -> str:
    """Check if an attack without a bound, which can turn any image into any other, leaves more right than chance.

    >>> import torch
    >>> still_right(torch.tensor([[True, False]]), 10)
    'PGD at eps = 1 leaves 50.0% right, above chance (10.0%)'
    """
    share = float(right.double().mean())
    if share <= 1 / classes:
        return ""
    return f"PGD at eps = 1 leaves {share:.1%} right, above chance ({1 / classes:.1%})"


def weaker_than_one_step(several: Bool[Tensor, "D N"], one: Bool[Tensor, "D N"]) -> str:
    """Check if an attack of several steps leaves more right than one step does, beyond the interval.

    >>> import torch
    >>> weaker_than_one_step(torch.ones(1, 50).bool(), torch.zeros(1, 50).bool())
    'several steps leave 100.0 points more right than one step'
    """
    more = paired(several, one)
    if more.interval[0] <= 0:
        return ""
    return f"several steps leave {100 * more.difference:.1f} points more right than one step"


def search_does_better(along: Bool[Tensor, "D N"], search: Bool[Tensor, "D N"]) -> str:
    """Check if a search without gradients leaves fewer right by more than 0.2 points, beyond the interval.

    >>> import torch
    >>> search_does_better(torch.ones(1, 50).bool(), torch.zeros(1, 50).bool())
    'the random search leaves 100.0 points fewer right than gradients'
    """
    more = paired(along, search)
    if more.difference <= MARGIN or more.interval[0] <= 0:
        return ""
    return f"the random search leaves {100 * more.difference:.1f} points fewer right than gradients"


def worst_of(right: Bool[Tensor, "A D N"], *, random: bool) -> Bool[Tensor, "D N"]:
    """Find the images that stay right under several attacks, if each image gets the attack that works best on it.

    For a model with noise, that attack is chosen on draws other than the one in which it is counted: an attacker does
    not know the noise that the model will draw. Otherwise an image would count as wrong if any attack succeeded in that
    very draw, which also happens by chance, the more so the more attacks there are. If the best single attack makes
    more images wrong than this choice, it is counted; also with one draw, which leaves no others to choose on.
    Without noise, an image is right if it is right under every attack.

    Args:
        right: images classified right, by attack and draw.
        random: True if every draw has its own noise.

    >>> worst_of(torch.tensor([[[True, False]], [[False, True]]]), random=False).tolist()
    [[False, False]]
    >>> draws = torch.tensor([[[True], [False], [True]], [[False], [True], [False]]])  # two attacks of one image
    >>> worst_of(draws, random=True).tolist()
    [[False], [True], [False]]
    """
    if not random:
        return right.all(0)
    strongest_first = right[right.flatten(1).sum(1).argsort(stable=True)]
    in_others = strongest_first.sum(1, keepdim=True) - strongest_first.long()
    each = strongest_first.gather(0, in_others.argmin(0, keepdim=True))[0]
    return min(each, strongest_first[0], key=lambda one: int(one.sum()))
