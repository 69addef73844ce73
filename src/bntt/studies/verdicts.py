"""The rules by which claims are decided, by name: a closed dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bntt.studies.claim import NONE_SAME, Claim, Numbers, Same
from bntt.studies.claim_pairs import Better, NoWorse, Order
from bntt.studies.claim_starts import AtLeast, AtMost, PeaksLater, RisesAndFalls, SavesSteps

RULES: dict[str, type[Claim]] = {
    "better": Better,
    "no-worse": NoWorse,
    "order": Order,
    "at-least": AtLeast,
    "at-most": AtMost,
    "saves-steps": SavesSteps,
    "peaks-later": PeaksLater,
    "rises-and-falls": RisesAndFalls,
}
"""By name."""


def judged(
    claims: Sequence[Claim], numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME
) -> Iterator[dict[str, Any]]:
    """Judge every claim, as a result has it; runs that are one by definition are counted once."""
    for claim in claims:
        found = claim.judge(numbers, units, same)
        yield {
            "says": claim.says,
            "source": claim.source,
            "verdict": found.answer,
            "because": found.because,
            "rule": claim.in_words(),
        }
