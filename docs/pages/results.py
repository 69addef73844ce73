"""docs/results.md, from the summaries of studies in results/: nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bntt.charts.records import Figure
from bntt.studies.figures import figures_of
from bntt.studies.run_studies import Folders, plan, results_of
from bntt.studies.study_file import load_study
from bntt.studies.study_result import StudyResult
from pages.kept import ROOT, Facts, introduction, read_json, table

ORDER = (
    *(f"table-{n}" for n in range(1, 6)),
    *(f"figure-{n}" for n in range(1, 9)),
    "energy",
    "section-3.3",
    "stability",
    "noise-steps",
    "sequence-norms",
    "standard-bn-steps",
    "firing-order",
    "gamma-decay",
    "beta",
    "reset",
    "readout",
    "surrogate-scale",
    "dropout",
)
"""As the paper has them, then questions of its text and our own."""
SAID = (
    ("more accurate than one standard BN, and that than no norm, at equal budget", "table-1", 2),
    ("gradients are steadier, beside one standard BN", "stability", 2),
    ("gradients are steadier, beside no norm", "stability", 3),
    ("fewer starts fail, beside one standard BN", "stability", 0),
    ("fewer starts fail, beside no norm", "stability", 1),
    ("γ rises and falls", "figure-4", 0),
    ("γ peaks later in deeper layers", "figure-4", 1),
    ("spikes rise and fall", "figure-1", 2),
    ("spikes peak later in deeper layers", "figure-6", 1),
    ("an early exit saves 20 % of the steps for half a point", "figure-7", 0),
    ("fewer spikes than conversion", "figure-1", 0),
    ("fewer spikes than the surrogate gradient alone", "figure-1", 1),
    ("less energy than an ANN", "energy", 0),
    ("more robust to noise than conversion", "figure-8", 0),
    ("more robust to noise than surrogate gradient and standard BN", "figure-8", 1),
    ("because of fewer steps", "noise-steps", 0),
    ("more robust to FGSM", "figure-8", 3),
    ("better than layer normalisation", "table-5", 0),
    ("better than standard BN with a learned leak", "table-4", 0),
    ("better than tdBN", "table-4", 1),
    ("better than PLIF with standard BN", "table-4", 4),
    ("better than TEBN and TAB, which came later", "table-4", 2),
    ("100 classes", "table-1", 5),
    ("200 classes", "table-1", 6),
    ("recordings of events", "table-2", 0),
    ("sequences", "table-3", 0),
    ("the gain is not one of the loss on the membrane", "readout", 1),
    ("β is not needed", "beta", 0),
    ("soft reset beats hard reset", "reset", 0),
    ("a large α is unstable", "surrogate-scale", 0),
    ("a small α costs with depth", "surrogate-scale", 1),
    ("BNTT regularises in place of dropout", "dropout", 1),
)
"""What the paper says, in a word; the study, and which of its claims."""


def read() -> dict[str, Facts]:
    """Every study's result, by its name."""
    return {name: read_json(ROOT / "results" / f"{name}.json") for name in ORDER}


def overview(studies: dict[str, Facts]) -> list[str]:
    """A line for each thing that the paper says."""
    rows = []
    for said, name, which in SAID:
        claim = studies[name]["claims"][which] if name in studies else {"verdict": "not run", "because": ""}
        rows.append([said, f"**{claim['verdict']}**", claim["because"], f"[{name}](#{anchor(name)})"])
    return table(("the paper, in short", "here", "numbers", "study"), rows)


def anchor(name: str) -> str:
    """Of a study's heading on this page."""
    return name.replace(".", "")


def cell(row: Facts, key: str) -> str:
    """Ours, and how many starts it is of; the paper's own in brackets."""
    own, paper = row["cells"][key], row["paper"][key]
    said = "*not run*" if own is None else f"{own['text']} ({own['n']})"
    return said + (f" [{paper['value']:g}]" if "value" in paper else "")


def same(row: Facts) -> str:
    """Which row of the table this one is by definition."""
    return f" (by definition {row['same_as']})" if "same_as" in row else ""


def study(name: str, found: Facts) -> list[str]:
    """A study: what it asks, its table, its claims, its pictures."""
    columns = found["table"]["columns"]
    heads = ("", *(f"{c['title']}{', ' + c['unit'] if c['unit'] else ''}" for c in columns))
    rows = [[row["label"] + same(row), *(cell(row, c["key"]) for c in columns)] for row in found["table"]["rows"]]
    few = " Preliminary: fewer than five starts." if found["preliminary"] else ""
    pictures = [
        f"[{part.title}](pictures/{name}-{number}-{part.kind}.svg)"
        for number, part in enumerate(load_study(name).figures, start=1)
    ]
    return [
        "",
        f"## {name}",
        "",
        f"{found['title']}. " + " ".join(found["about"].split()),
        "",
        f"*Small setting:* {found['setting_about']}{few}",
        "",
        *table(heads, rows),
        "",
        *(f"- **{claim['verdict']}**: {claim['says']}{source(claim)}: {claim['because']}" for claim in found["claims"]),
        *(["", "Pictures: " + ", ".join(pictures)] if pictures else []),
    ]


def source(claim: Facts) -> str:
    """Where the paper says so."""
    return f" ({claim['source']})" if claim["source"] else ""


def page() -> str:
    """The whole of results.md."""
    studies = read()
    bodies = [line for name, found in studies.items() for line in study(name, found)]
    return "\n".join([introduction("results"), "", *overview(studies), *bodies]) + "\n"


def recomputed() -> list[StudyResult]:
    """Read every study once more, from the kept runs alone."""
    with TemporaryDirectory() as folder:
        places = Folders(Path(folder), (ROOT / "results",))
        return results_of(plan([load_study(name) for name in ORDER], "small", places), places, [])


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    for result in recomputed():
        for name, _, figure in figures_of(result):
            yield f"{result.study.name}-{name}", figure
