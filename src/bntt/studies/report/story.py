"""What several studies say about the paper's claims, in the paper's order; then our own questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bntt.charts.section import plural
from bntt.studies.report.claims import VERDICTS, Claim

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
}
"""Parts of the paper, in its order, and the places that belong to each."""
ELSEWHERE = "Elsewhere"
WORDS = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "not decided": ("is not decided", "are not decided"),
    "not run": ("was not run", "were not run"),
}
"""Verdicts in a count, of one and of several."""
Found = Sequence[tuple[Claim, tuple[tuple[str, str], ...]]]
"""Claims, each with the title and the anchor of the studies that test it."""


@dataclass(frozen=True)
class Tested:
    """A claim with its number on the page, and the studies that test it."""

    number: int
    claim: Claim
    studies: tuple[tuple[str, str], ...]
    """Title and anchor of each."""


@dataclass(frozen=True)
class Part:
    """Claims on one part of the paper."""

    title: str
    tested: tuple[Tested, ...]


@dataclass(frozen=True)
class Story:
    """Claims of all studies of a page."""

    paper: str
    """Title of the paper; "" if no study quotes one."""
    lead: str
    claims: tuple[Part, ...]
    questions: tuple[Part, ...]
    small: bool = False
    """True if no study was made at the paper's setting."""


def story_of(studies: Sequence[tuple[str, str, Sequence[Claim]]]) -> Story:
    """Order the claims of some studies, each given by title, anchor and claims.

    A claim that several studies test by the same numbers is shown once, with all of them.
    """
    once = dict[Claim, list[tuple[str, str]]]()
    for title, anchor, claims in studies:
        for claim in claims:
            once.setdefault(replace(claim, rule=""), []).append((title, anchor))
    rules = {replace(claim, rule=""): claim for _, _, claims in studies for claim in claims}
    found = [(rules[key], tuple(places)) for key, places in once.items()]
    quoted = [one for one in found if one[0].quotation]
    own = [one for one in found if not one[0].quotation]
    return Story(PAPER if quoted else "", _lead(quoted, own), _parts(quoted, 1), _parts(own, 1 + len(quoted)))


def _parts(found: Found, first: int) -> tuple[Part, ...]:
    ranked = sorted(found, key=lambda one: (list(VERDICTS).index(one[0].verdict), one[0].few))
    groups = {title: [one for one in ranked if part_of(one[0].source) == title] for title in (*PARTS, ELSEWHERE)}
    parts, number = list[Part](), first
    for title, members in groups.items():
        if members:
            rows = tuple(Tested(number + i, claim, places) for i, (claim, places) in enumerate(members))
            parts.append(Part(title, rows))
            number += len(rows)
    return tuple(parts)


def part_of(source: str) -> str:
    """Return the part of the paper that a source names: the last one, and the abstract only if there is no other.

    >>> part_of("Abstract; Figures 4 and 6"), part_of("asked after Table 1"), part_of("a letter")
    ('γ and spikes over time (Figures 4 and 6)', 'Accuracy (Table 1)', 'Elsewhere')
    """
    named = re.findall(r"(Figure|Table|Section)s? (\d(?:\.\d)?)|(Supplement|Abstract)", source)
    places = [f"{kind} {number}" if kind else word for kind, number, word in named]
    for place in [place for place in places[::-1] if place != "Abstract"] or places:
        for title, belonging in PARTS.items():
            if place in belonging:
                return title
    return ELSEWHERE


def counted(found: Sequence[Claim]) -> str:
    """Count claims by their verdicts in words: those that are tested, those that are only shown, those not run.

    >>> counted([])
    'none'
    """
    run = [one for one in found if one.verdict != "not run"]
    groups = {
        "tested by five starts or more, ": [one for one in run if not one.few],
        "shown by fewer, ": [one for one in run if one.few],
        "": [one for one in found if one.verdict == "not run"],
    }
    said = []
    for title, group in groups.items():
        verdicts = [one.verdict for one in group]
        counts = [f"{n} {WORDS[name][n != 1]}" for name in VERDICTS if (n := verdicts.count(name))]
        said += [title + ", ".join(counts)] * bool(counts)
    return "; ".join(said) or "none"


def _lead(quoted: Found, own: Found) -> str:
    said = []
    if quoted:
        of_paper = [claim for claim, _ in quoted]
        sentences = plural(len({claim.quotation for claim in of_paper}), "sentence")
        said.append(f"{sentences} of the paper in {plural(len(of_paper), 'row')}: {counted(of_paper)}.")
    if own:
        said.append(f"{plural(len(own), 'question')} of our own: {counted([claim for claim, _ in own])}.")
    return " ".join(said)
