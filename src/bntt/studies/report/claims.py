"""What studies say about the paper's claims, in the paper's order; then our own questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bntt.charts.section import Mark, plural
from bntt.studies.claims.claim import Answer, EffectRecord, with_interval
from bntt.studies.study_record import ClaimRecord

PAPER = (
    "Kim and Panda (2021): Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks From "
    "Scratch"
)
"""Paper whose claims the studies test."""
PARTS: dict[str, tuple[str, ...]] = {
    "Few steps, few spikes (Figure 1)": ("Figure 1",),
    "Neurons and gradients (Section 3.1, Figure 2)": ("Section 3.1", "Figure 2"),
    "A norm for each step (Section 3.2)": ("Section 3.2",),
    "Statistics of each step (Figure 3)": ("Figure 3",),
    "A threshold that varies with time (Section 3.3)": ("Section 3.3",),
    "γ and spikes over time (Figures 4 and 6)": ("Figure 4", "Figure 6"),
    "Accuracy (Table 1)": ("Table 1",),
    "Recordings of events (Table 2)": ("Table 2",),
    "Sequences (Table 3)": ("Table 3",),
    "Spikes of each layer (Figure 5)": ("Figure 5",),
    "Early exit (Section 3.4, Figure 7)": ("Section 3.4", "Figure 7"),
    "Noise and attacks (Figure 8)": ("Figure 8", "Section 4"),
    "Other norms (Tables 4 and 5)": ("Table 4", "Table 5"),
    "Energy (Supplement E)": ("Supplement",),
    "Stable training (Abstract)": ("Abstract",),
    "Elsewhere": (),
}
"""Parts of the paper, in its order, and the places that belong to each."""


class Verdict(NamedTuple):
    """How a verdict is shown: by a sign, by a colour, and in a count of one claim or of several."""

    sign: str
    mark: Mark
    one: str
    several: str


VERDICTS: dict[Answer, Verdict] = {
    "holds": Verdict("✓", "good", "holds", "hold"),
    "does not hold": Verdict("✗", "bad", "does not hold", "do not hold"),
    "not decided": Verdict("?", "open", "is not decided", "are not decided"),
    "not run": Verdict("–", "gap", "was not run", "were not run"),
}
Studies = dict[str, str]
"""Titles of studies by their anchors on the page."""
Parts = dict[str, list[tuple[int, ClaimRecord, Studies]]]
"""By part of the paper: claims with their numbers on the page and the studies that test them."""


class Story(NamedTuple):
    """Claims of all studies of a page."""

    lead: str
    claims: Parts
    questions: Parts


def story_of(studies: Sequence[tuple[str, str, Sequence[ClaimRecord]]]) -> Story:
    """Order the claims of studies, given by anchor, title and claims; what several test by the same numbers is once."""
    once = dict[ClaimRecord, tuple[ClaimRecord, Studies]]()
    for anchor, title, claims in studies:
        for claim in claims:
            once.setdefault(claim.model_copy(update={"rule": ""}), (claim, {}))[1][anchor] = title
    quoted = [one for one in once.values() if one[0].quotation]
    own = [one for one in once.values() if not one[0].quotation]
    lead = []
    if quoted:
        sentences = plural(len({claim.quotation for claim, _ in quoted}), "sentence")
        lead.append(f"{sentences} of the paper in {plural(len(quoted), 'row')}: {_counted(quoted)}.")
    if own:
        lead.append(f"{plural(len(own), 'question')} of our own: {_counted(own)}.")
    return Story(" ".join(lead), _parts(quoted, 1), _parts(own, 1 + len(quoted)))


def _parts(found: Sequence[tuple[ClaimRecord, Studies]], first: int) -> Parts:
    ranked = sorted(found, key=lambda one: (list(VERDICTS).index(one[0].verdict), one[0].few))
    ordered = sorted(ranked, key=lambda one: list(PARTS).index(part_of(one[0].source)))
    parts: Parts = {}
    for number, (claim, studies) in enumerate(ordered, first):
        parts.setdefault(part_of(claim.source), []).append((number, claim, studies))
    return parts


def part_of(source: str) -> str:
    """Return the part of the paper that a source names: the last one, and the abstract only if there is no other."""
    named = re.findall(r"(Figure|Table|Section)s? (\d(?:\.\d)?)|(Supplement|Abstract)", source)
    places = [f"{kind} {number}" if kind else word for kind, number, word in named]
    places.sort(key=lambda place: place == "Abstract", reverse=True)
    part = {place: title for title, belonging in PARTS.items() for place in belonging}
    return next((part[place] for place in reversed(places) if place in part), "Elsewhere")


def _counted(found: Sequence[tuple[ClaimRecord, Studies]]) -> str:
    """Count claims by their verdicts in words: those that are tested, those that are only shown, those not run."""
    claims, said = [claim for claim, _ in found], []
    for title, few in (("tested by five starts or more, ", False), ("shown by fewer, ", True), ("", None)):
        group = [one.verdict for one in claims if (None if one.verdict == "not run" else one.few) is few]
        counts = [
            f"{n} {(one.several if n > 1 else one.one)}" for name, one in VERDICTS.items() if (n := group.count(name))
        ]
        said += [title + ", ".join(counts)] * bool(counts)
    return "; ".join(said)


class Strip(NamedTuple):
    """One number behind a verdict: a mark on its interval, drawn one line high, on a scale with others of its kind."""

    effect: EffectRecord
    scale: tuple[float, float]
    said: str

    def at(self, value: float) -> float:
        """Return the place of a value, from 6 to 174."""
        low, high = self.scale
        return round(6 + 168 * min(1.0, max(0.0, (value - low) / (high - low))), 1)


def strips_of(claim: ClaimRecord) -> Iterator[tuple[str, list[Strip]]]:
    """Yield each quantity behind a verdict with its numbers, on one scale."""
    for of in dict.fromkeys(effect.of for effect in claim.effects):
        effects = [effect for effect in claim.effects if effect.of == of]
        seen = [v for one in effects for v in (one.mean, one.low, one.high, *one.bounds) if v is not None]
        scale = (min(seen), max(seen)) if min(seen) < max(seen) else (seen[0] - 0.5, seen[0] + 0.5)
        signed, strips = any(" − " in effect.name for effect in effects), list[Strip]()
        for one in effects:
            ends = None if one.low is None or one.high is None else (one.low, one.high)
            strips.append(Strip(one, scale, with_interval(one.mean, ends, signed=signed)))
        yield of, strips
