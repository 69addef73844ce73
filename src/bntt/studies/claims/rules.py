"""Every rule by its name, and the verdicts on all claims of a study together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from bntt.analysis.accuracy.accuracy import FEW
from bntt.studies.claims.claim import NONE_SAME, Claim, Numbers, Same, Verdict
from bntt.studies.claims.gaps import Closes
from bntt.studies.claims.means import AtLeast, AtMost, PeaksLater, RisesAndFalls, SavesSteps
from bntt.studies.claims.pairs import Better, Equivalent, NoWorse, Order
from bntt.studies.claims.power import holm
from bntt.studies.claims.words import KEYS, Names

RULES: dict[str, type[Claim]] = {
    "better": Better,
    "no-worse": NoWorse,
    "equivalent": Equivalent,
    "order": Order,
    "closes": Closes,
    "at-least": AtLeast,
    "at-most": AtMost,
    "saves-steps": SavesSteps,
    "peaks-later": PeaksLater,
    "rises-and-falls": RisesAndFalls,
}
"""Rule classes by name."""


def judged(
    claims: Sequence[Claim], numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME, names: Names = KEYS
) -> Iterator[dict[str, Any]]:
    """Judge every claim, in the form of a result; runs that are identical by definition are counted once."""
    verdicts = [claim.judge(numbers, units, same, names) for claim in claims]
    for of_paper in (True, False):
        family = [place for place, claim in enumerate(claims) if bool(claim.quotation) is of_paper]
        for place, verdict in zip(family, together([verdicts[place] for place in family]), strict=True):
            verdicts[place] = verdict
    for claim, found in zip(claims, verdicts, strict=True):
        yield {
            "says": claim.says,
            "quotation": claim.quotation,
            "source": claim.source,
            "paper": claim.paper,
            "verdict": found.answer,
            "because": found.because,
            "starts": found.starts,
            "p": found.p,
            "rule": claim.in_words(names),
            "effects": [asdict(effect) for effect in found.effects],
        }


def together(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Withdraw the answers that do not stand under Holm's rule among the tests of one family."""
    places = [i for i, one in enumerate(verdicts) if one.p is not None and one.starts >= FEW]
    found = list(verdicts)
    for place, stands in zip(places, holm([verdicts[i].p or 0.0 for i in places]), strict=True):
        one = verdicts[place]
        if not stands and one.answer in ("holds", "does not hold"):
            why = f"{one.answer} by itself (p = {one.p:.2g}), not among {len(places)} tests (Holm)"
            found[place] = replace(one, answer="not decided", because=f"{one.because}; {why}")
    return found
