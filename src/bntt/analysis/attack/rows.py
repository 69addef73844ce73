"""What attacks came to as rows: accuracy with its interval, the worst case, and which numbers are worth nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bntt.analysis.attack.fresh_noise import accuracy_of, worst_of
from bntt.analysis.attack.guards import search_does_better, still_right, weaker_than_one_step, zero_gradients
from bntt.analysis.attack.outcome import Job, Outcome
from bntt.analysis.attack.result import UNBOUNDED, WORST, AttackRow

if TYPE_CHECKING:
    from bntt.analysis.attack.measure import Setup


def attack_rows(setup: Setup, outcomes: Sequence[Outcome]) -> list[AttackRow]:
    """A row for each attack and model; then, for each ε and model, the images that no attack turned.

    Args:
        outcomes: the clean images' first.
    """
    clean, *attacked = outcomes
    faults, models = reasons(setup, attacked), range(len(setup.targets))
    rows = [
        _row(setup, one, clean, target, faults.get((one.job, target), []))
        for one in attacked
        for target in models
        if target == one.job.source or not one.job.control
    ]
    for target in models:
        for eps in setup.asked.bounds:
            some = [one for one in attacked if one.job.eps == eps and not one.job.control]
            invalid = sorted({one.job.attack for one in some if (one.job, target) in faults})
            rows.append(_worst(setup, some, clean, target, invalid))
    return rows


def _row(setup: Setup, one: Outcome, clean: Outcome, target: int, faults: Iterable[str]) -> AttackRow:
    job, threat = one.job, one.job.threat
    facts: dict[str, Any] = {}
    if threat:
        facts = {"eot": threat.draws, "step_size": threat.length}
        facts |= {key: getattr(threat, key) for key in ("steps", "restarts", "random_start")}
    return AttackRow(
        crafted_on=setup.targets[job.source].name,
        attack=UNBOUNDED if job.control else job.attack,
        estimator=job.estimator,
        **_measured(setup, one.right(target), clean, target, job.eps),
        **facts,
        queries=job.queries or None,
        queries_used=one.queries,
        zero_gradient_share=float(one.zero.double().mean()) if threat else None,
        sign_agreement=one.agreement,
        largest_change=one.change,
        seconds=one.seconds,
        invalid="; ".join(faults),
    )


def _worst(setup: Setup, attacks: Sequence[Outcome], clean: Outcome, target: int, invalid: Sequence[str]) -> AttackRow:
    right = worst_of(torch.stack([one.right(target) for one in attacks]), random=setup.targets[target].random)
    lowest = min(attacks, key=lambda one: one.share_right(target)).job
    source = f"on {setup.targets[lowest.source].name}" if len(setup.targets) > 1 else ""
    return AttackRow(
        crafted_on="any",
        attack=WORST,
        estimator="any",
        **_measured(setup, right, clean, target, attacks[0].job.eps),
        largest_change=max(one.change for one in attacks),
        seconds=sum(one.seconds for one in attacks),
        lowest_single=" ".join(word for word in (lowest.attack, lowest.estimator, source) if word),
        invalid=f"some of its attacks are invalid: {', '.join(invalid)}" if invalid else "",
    )


def _measured(setup: Setup, right: Tensor, clean: Outcome, target: int, eps: float) -> dict[str, Any]:
    found, one = accuracy_of(right), setup.targets[target]
    whole = len(setup.images) == found.samples
    return {
        "model": one.name,
        "eps": eps,
        "eps_255": 255 * eps,
        "accuracy": found.mean,
        "low_95": found.interval[0],
        "high_95": found.interval[1],
        "sd_over_draws": found.spread,
        "clean_accuracy": float(clean.right(target)[:, : found.samples].double().mean()),
        "images": found.samples,
        "chosen": setup.chosen if whole else f"the first {found.samples} of {setup.chosen}",
        "draws": len(found.correct),
        "randomness": "redrawn in every pass" if one.random else "none",
    }


def reasons(setup: Setup, outcomes: Sequence[Outcome]) -> dict[tuple[Job, int], list[str]]:
    """Why attacks are worth nothing, by job and model that it is measured on; nothing of those that are sound."""
    found: dict[tuple[Job, int], list[str]] = {}
    along = [one for one in outcomes if one.job.threat]

    def blame(some: Sequence[Outcome], why: str, targets: Sequence[int] = range(len(setup.targets))) -> None:
        for one in some if why else ():
            for target in targets:
                found.setdefault((one.job, target), []).append(why)

    for one in along:
        job, own = one.job, one.right(one.job.source)
        blame([one], zero_gradients(one.zero))
        if job.control:
            same = [other for other in along if (other.job.source, other.job.estimator) == (job.source, job.estimator)]
            blame(same, still_right(own, len(setup.images.classes)))
        elif job.attack == "pgd":
            for other in _of_the_same(along, job):
                if other.job.attack == "fgsm" and other.job.estimator == job.estimator:
                    blame([one], weaker_than_one_step(own, other.right(job.source)), [job.source])
    for one in outcomes:
        gradients, source = [other for other in _of_the_same(along, one.job) if not other.job.control], one.job.source
        if one.job.attack == "square" and gradients:
            best = min(gradients, key=lambda other: other.share_right(source))
            blame(gradients, search_does_better(best.right(source), one.right(source)), [source])
    return found


def _of_the_same(outcomes: Sequence[Outcome], job: Job) -> list[Outcome]:
    """Those made on the same model with the same ε."""
    return [one for one in outcomes if (one.job.source, one.job.eps) == (job.source, job.eps)]
