"""What attacks came to as rows: accuracy with its interval, the worst case, and which numbers are worth nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.attack.fresh_noise import accuracy_of, worst_of
from bntt.analysis.attack.guards import search_does_better, still_right, weaker_than_one_step, zero_gradients
from bntt.runs.measures.attack import Victims, clean_of
from bntt.runs.measures.attack_cell import Cell
from bntt.runs.measures.attack_plan import Job

NOTE = "an upper bound of the robust accuracy, found by these attacks: no guarantee, a better one may find less"
WORST = "worst case"
"""The name of the rows that count an image as right that no attack turned."""
UNBOUNDED = "pgd, no bound"
"""The name of the control's rows, ε = 1."""
Row = dict[str, Any]


class InvalidAttackError(RuntimeError):
    """Attacks whose numbers are worth nothing; the message says why."""


def attack_rows(of: Victims, cells: Sequence[Cell]) -> list[Row]:
    """A row for each attack and model; then, for each ε and model, the images that no attack turned."""
    faults, clean = reasons(of, cells), clean_of(cells)
    attacked = [cell for cell in cells if cell is not clean]
    rows = []
    for cell in attacked:
        for target in range(len(of.subjects)):
            if target == cell.job.source or not cell.job.control:
                rows.append(_row(of, cell, clean, target, faults.get((cell.job, target), [])))
    for target in range(len(of.subjects)):
        for eps in of.plan.eps:
            some = [cell for cell in attacked if cell.job.eps == eps and not cell.job.control]
            rows.append(_worst(of, some, clean, target, [faults.get((cell.job, target), []) for cell in some]))
    return rows


def _row(of: Victims, cell: Cell, clean: Cell, target: int, faults: Sequence[str]) -> Row:
    job, threat = cell.job, cell.job.threat
    facts = {
        "eot": threat and threat.draws,
        "steps": threat and threat.steps,
        "step_size": threat and threat.length,
        "restarts": threat and threat.restarts,
        "random_start": threat and threat.random_start,
        "queries": job.queries or None,
        "queries_used": cell.queries,
        "zero_gradient_share": float(cell.zero.double().mean()) if job.along else None,
        "sign_agreement": cell.agreement,
        "largest_change": cell.change,
        "seconds": cell.seconds,
        "lowest_single": None,
    }
    by = of.subjects[job.source].name
    head = _head(of, target, by, UNBOUNDED if job.control else job.attack, job.estimator, job.eps)
    return head | _measured(of, cell.right(target), clean, target) | facts | _tail(faults)


def _worst(of: Victims, cells: Sequence[Cell], clean: Cell, target: int, faults: Sequence[Sequence[str]]) -> Row:
    right = worst_of(torch.stack([cell.right(target) for cell in cells]), random=of.subjects[target].random)
    invalid = sorted({cell.job.attack for cell, some in zip(cells, faults, strict=True) if some})
    lowest = min(cells, key=lambda cell: float(cell.right(target).double().mean()))
    head = _head(of, target, "any", WORST, "any", cells[0].job.eps)
    facts: Row = dict.fromkeys(
        ("eot", "steps", "step_size", "restarts", "random_start", "queries", "queries_used", "zero_gradient_share")
    )
    facts |= {"sign_agreement": None, "largest_change": max(cell.change for cell in cells)}
    facts |= {"seconds": sum(cell.seconds for cell in cells), "lowest_single": _called(of, lowest.job)}
    said = [f"some of its attacks are invalid: {', '.join(invalid)}"] if invalid else []
    return head | _measured(of, right, clean, target) | facts | _tail(said)


def _head(of: Victims, target: int, by: str, attack: str, estimator: str, eps: float) -> Row:
    return {
        "model": of.subjects[target].name,
        "crafted_on": by,
        "attack": attack,
        "estimator": estimator,
        "eps": eps,
        "eps_255": 255 * eps,
    }


def _measured(of: Victims, right: Tensor, clean: Cell, target: int) -> Row:
    found = accuracy_of(right)
    whole = len(of.images) == found.samples
    return {
        "accuracy": found.mean,
        "low_95": found.interval[0],
        "high_95": found.interval[1],
        "sd_over_draws": found.spread,
        "clean_accuracy": float(clean.right(target)[:, : found.samples].double().mean()),
        "images": found.samples,
        "chosen": of.chosen if whole else f"the first {found.samples} of {of.chosen}",
        "draws": len(found.correct),
        "randomness": "redrawn in every pass" if of.subjects[target].random else "none",
    }


def _tail(faults: Sequence[str]) -> Row:
    return {"invalid": "; ".join(faults), "note": NOTE}


def _called(of: Victims, job: Job) -> str:
    by = f" on {of.subjects[job.source].name}" if len(of.subjects) > 1 else ""
    return " ".join(word for word in (job.attack, job.estimator) if word) + by


def reasons(of: Victims, cells: Sequence[Cell]) -> dict[tuple[Job, int], list[str]]:
    """Why attacks are worth nothing, by attack and model that it is measured on; nothing of those that are sound."""
    found: dict[tuple[Job, int], list[str]] = {}
    along = [cell for cell in cells if cell.job.along]

    def blame(some: Sequence[Cell], said: str, targets: Sequence[int] = range(len(of.subjects))) -> None:
        for cell in some if said else ():
            for target in targets:
                found.setdefault((cell.job, target), []).append(said)

    for cell in along:
        job, own = cell.job, cell.right(cell.job.source)
        blame([cell], zero_gradients(cell.zero))
        if job.control:
            same = [one for one in along if (one.job.source, one.job.estimator) == (job.source, job.estimator)]
            blame(same, still_right(own, len(of.images.classes)))
        elif job.attack == "pgd":
            for one in along:
                if one.job.attack == "fgsm" and _like(one.job, job) and one.job.estimator == job.estimator:
                    blame([cell], weaker_than_one_step(own, one.right(job.source)), [job.source])
    for cell in cells:
        if cell.job.attack == "square":
            gradients = [one for one in along if _like(one.job, cell.job) and not one.job.control]
            if gradients:
                source = cell.job.source
                best = min((one.right(source) for one in gradients), key=lambda right: float(right.double().mean()))
                blame(gradients, search_does_better(best, cell.right(source)), [source])
    return found


def _like(one: Job, other: Job) -> bool:
    return (one.source, one.eps) == (other.source, other.eps)


def attack_json(of: Victims, rows: Sequence[Row], sweep: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """All that was found, ready for ``json``."""
    models = [
        {"name": one.name, "weights_sha256": one.weights, "randomness": "redrawn" if one.random else "none"}
        for one in of.subjects
    ]
    return {
        "dataset": of.dataset,
        "split": of.plan.split,
        "chosen": of.chosen,
        "classes": len(of.images.classes),
        "models": models,
        "norm": "l-infinity, pixels in [0, 1], before normalisation and encoding",
        "note": NOTE,
        "rows": list(rows),
        "enough_draws": list(sweep),
    }


def check_valid(rows: Sequence[Row]) -> None:
    """Refuse to end well where a row is worth nothing.

    Raises:
        InvalidAttackError: naming the reasons.
    """
    wrong = [row for row in rows if row["invalid"]]
    if not wrong:
        return
    said = dict.fromkeys(
        f"{row['attack']} {row['estimator']} at {row['eps_255']:.3g}/255: {row['invalid']}" for row in wrong
    )
    raise InvalidAttackError(f"{len(wrong)} of {len(rows)} rows are INVALID ({' | '.join(said)})")
