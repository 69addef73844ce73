"""docs/evidence/claims.md, from the summaries of studies in results/; no result is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bntt.analysis.accuracy import FEW
from bntt.studies.claims import holm
from bntt.studies.plan import Folders, plan
from bntt.studies.study_file import load_study
from bntt.studies.study_result import StudyResult, results_of
from pages.kept import ROOT, Facts, introduction, read_json, table, verdict

ORDER = (
    "cifar10-steps25",
    "per-step-ablation",
    "norms-anew",
    "longer-training",
    "pixels",
    "cifar10-whole",
    "figure-7-elsewhere",
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
    """Read every study's result, by its name."""
    return {name: read_json(ROOT / "results" / f"{name}.json") for name in ORDER}


def recomputed(names: Sequence[str] = ORDER) -> list[StudyResult]:
    """Read studies again, from the kept runs only."""
    with TemporaryDirectory() as folder:
        places = Folders(Path(folder), (ROOT / "results",))
        return results_of(plan([load_study(name) for name in names], "small", places), places, [])


def families(studies: Iterable[Facts]) -> str:
    """Say how many verdicts are tests, and which of them would fall if all tests of all studies were one family."""
    found = [claim | {"title": facts["title"].partition(":")[0]} for facts in studies for claim in facts["claims"]]
    run = [one for one in found if one["verdict"] != "not run"]
    tested = [one for one in run if one["starts"] >= FEW]
    decided = [one["verdict"] != "not decided" for one in tested]
    stands = holm([one["p"] for one in tested])
    falls = [one for one, was, stand in zip(tested, decided, stands, strict=True) if was and not stand]
    listed = "\n".join(f"- {one['says']} ({one['title']})" for one in falls)
    return (
        f"Of {len(found)} rows, {len(found) - len(run)} were not run, {len(run) - len(tested)} are shown by fewer than five starts, and "
        f"{len(tested)} are tests, {sum(decided)} of which are decided. Holm's rule is applied within each study, separately to the paper's "
        f"claims and to our own questions. If all {len(tested)} tests were one family, {len(falls)} of the {sum(decided)} would be left open:\n\n{listed}"
    )


def page() -> str:
    """Make the whole of claims.md."""
    quoted, own, studies = list[list[str]](), list[list[str]](), read().values()
    for found in studies:
        for claim in found["claims"]:
            here = [verdict(claim), claim["because"], found["title"]]
            if claim["quotation"]:
                words = f"“{claim['quotation']}” ({claim['source']})"
                quoted.append([words, claim["paper"], claim["says"], *here])
            else:
                own.append([claim["says"], claim["source"], *here])
    parts = [introduction("claims"), "", families(studies), "", "## What the paper says", ""]
    parts += table(("the paper's words", "its number", "claim tested here", "verdict", "why", "study"), quoted)
    parts += [
        "",
        "## Questions of our own",
        "",
        "The paper does not answer these questions, or we have not seen its words.",
        "",
    ]
    return "\n".join([*parts, *table(("question", "asked after", "verdict", "why", "study"), own)]) + "\n"
