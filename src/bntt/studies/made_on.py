"""Device, code and precision of the runs of a row: those that give its numbers, and further runs of its starts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from bntt.studies.pool import KeptRun

PRECISIONS = {"fp32": "float32", "bf16-grad": "gradients in bfloat16", "bf16": "bfloat16"}
"""Precisions in words."""


def made_on(runs: Iterable[KeptRun]) -> list[str]:
    """Count runs by the device, code and precision that they were made with, in words."""
    found = Counter(where_made(one) for one in runs)
    return [f"{where}: {count} run{'s' * (count > 1)}" for where, count in found.items()]


def also_run(starts: Iterable[tuple[int, Sequence[KeptRun]]]) -> list[str]:
    """Name the further runs of starts, which give no number, with their accuracies."""
    return [f"start {seed} on {where_made(one)}: {_in_words(one)}" for seed, runs in starts for one in runs[1:]]


def where_made(run: KeptRun) -> str:
    """Return device, commit and precision of a run in words."""
    return f"{run.made_on}, {PRECISIONS[run.recipe.compute.precision]}"


def accuracy_of(run: KeptRun) -> float | None:
    """Return the test accuracy of a run as a share; None if it has no finite one."""
    found = run.evaluation.get("accuracy")
    return found if isinstance(found, int | float) and math.isfinite(found) else None


def _in_words(run: KeptRun) -> str:
    found = accuracy_of(run)
    return "no accuracy" if found is None else f"{100 * found:.2f} %"
