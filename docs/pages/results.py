"""docs/evidence/results.md, from the summaries of studies in results/: nothing is computed here."""

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
    "cifar10-steps25",
    "per-step-ablation",
    "norms-anew",
    "longer-training",
    "pixels",
    "cifar10-whole",
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
"""The studies of several claims at once, the paper's tables and figures, then questions of its text and our own."""
def read() -> dict[str, Facts]:
    """Every study's result, by its name."""
    return {name: read_json(ROOT / "results" / f"{name}.json") for name in ORDER}


def overview(studies: dict[str, Facts]) -> list[str]:
    """The paper's claims, each with its words and its number; then the questions of our own."""
    paper, own = [], []
    for name, found in studies.items():
        for claim in found["claims"]:
            here = [claim["says"], f"**{claim['verdict']}**", claim["because"], f"[{name}](#{anchor(name)})"]
            if claim["quotation"]:
                paper.append([f"“{claim['quotation']}” ({claim['source']})", claim["paper"] or "not seen", *here])
            else:
                own.append([*here[:1], claim["source"], *here[1:]])
    return [
        *table(("the paper's words", "its number", "so here", "verdict", "our numbers", "study"), paper),
        "",
        "Questions of our own, which the paper does not answer or whose words were not seen:",
        "",
        *table(("question", "asked after", "verdict", "our numbers", "study"), own),
    ]


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
    parts = enumerate(load_study(name).figures, start=1)
    places = {f"pictures/{name}-{number}-{part.kind}.svg": part.title for number, part in parts}
    pictures = [f"[{title}](../{place})" for place, title in places.items() if (ROOT / "docs" / place).is_file()]
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
        *_made_on(found),
        *(f"- **{claim['verdict']}**: {claim['says']}: {claim['because']}" for claim in found["claims"]),
        *(["", "Pictures: " + ", ".join(pictures)] if pictures else []),
    ]


def _made_on(found: Facts) -> list[str]:
    """On what the rows of a table were made, and by which code."""
    places: dict[str, list[str]] = {}
    for row in found["table"]["rows"]:
        for where in row["made_on"]:
            places.setdefault(where.rpartition(": ")[0], []).append(row["label"])
    return [f"*Made on* {where}: {', '.join(labels)}  " for where, labels in places.items()] + [""] * bool(places)


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
