"""docs/evidence/claims.md, from the summaries of studies in results/; no result is computed here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bntt.analysis.accuracy import FEW
from bntt.studies.plan import Folders, plan
from bntt.studies.study_file import load_study, study_names
from bntt.studies.study_result import StudyResult, results_of
from pages.kept import ROOT, Facts, introduction, read_json, table

SHOWN = {
    "Accuracy (Table 1)": (
        ("own-rates", "BNTT is more accurate than one standard BN, each at its own rate"),
        ("own-rates", "BNTT is more accurate than one standard BN, both with statistics measured again"),
        ("cifar10-steps25", "BNTT is more accurate than the surrogate gradient alone"),
        ("own-rates", "BNTT is more accurate than pooled BN, each at its own rate"),
        ("cifar10-steps25", "BNTT is more accurate than pooled BN"),
        ("longer-training", "after longer training BNTT is more accurate than pooled BN"),
        ("per-step-ablation", "statistics by step make it more accurate, with a γ by step"),
        ("per-step-ablation", "statistics by step make it more accurate, with one γ"),
        ("per-step-ablation", "a γ by step makes it more accurate, with statistics by step"),
        ("per-step-ablation", "a γ by step makes it more accurate, with shared statistics"),
        ("table-1", "on 100 classes BNTT is more accurate than one standard BN"),
    ),
    "Events, sequences, other norms (Tables 2 to 5)": (
        ("table-2", "BNTT is more accurate than no norm"),
        ("table-3", "BNTT is more accurate than no norm on sequences"),
        ("norms-anew", "BNTT at θ = 1 is more accurate than tdBN"),
        ("own-rates", "BNTT is more accurate than TEBN"),
        ("own-rates", "BNTT is more accurate than TAB"),
        ("own-rates", "BNTT is more accurate than layer normalisation"),
    ),
    "Spikes (Figures 1 and 5)": (
        ("cifar10-steps25", "BNTT takes fewer spikes than conversion"),
        ("figure-5", "BNTT takes fewer spikes than conversion and the surrogate gradient alone"),
        ("cifar10-steps25", "BNTT takes fewer spikes than pooled BN"),
        ("own-rates", "BNTT takes fewer spikes than pooled BN"),
        ("per-step-ablation", "a γ by step saves spikes, with statistics by step"),
        ("gamma-decay", "decay of γ makes activity sparse"),
    ),
    "γ over time, early exit (Figures 3, 4, 6, 7)": (
        ("cifar10-steps25", "γ rises and falls over time"),
        ("cifar10-steps25", "γ peaks later in deeper layers"),
        ("cifar10-steps25", "the input of pooled BN is further from its running mean"),
        ("cifar10-steps25", "the exit at the paper's threshold of 0.1"),
        ("figure-7-elsewhere", "on images the exit at the paper's threshold"),
        ("figure-7-elsewhere", "on events the exit at the paper's threshold"),
    ),
    "The text (Sections 3.1 to 4.2, Supplement E)": (
        ("norms-anew", "without β at most half a point is lost"),
        ("norms-anew", "soft reset is more accurate than hard reset"),
        ("cifar10-steps25", "a threshold that varies with time (Eq. 15)"),
        ("readout", "BNTT gains with counted spikes as well"),
        ("cifar10-steps25", "BNTT regularises"),
        ("cifar10-steps25", "BNTT costs less arithmetic than that ANN where its zeros are skipped"),
    ),
    "Robustness (Figure 8)": (
        ("figure-8", "BNTT bears noise better than the surrogate gradient alone and one standard BN"),
        ("cifar10-steps25", "BNTT bears noise better than pooled BN"),
        ("noise-steps", "with fewer steps less accuracy is lost to noise"),
        ("cifar10-steps25", "under FGSM of 2/255 BNTT stays above the ANN"),
        ("figure-8", "under FGSM BNTT > surrogate gradient alone > ANN"),
    ),
}
"""The claims of the page, in the paper's order: their study, and how they begin."""


def read() -> dict[str, Facts]:
    """Read every study's result, by its name."""
    return {name: read_json(ROOT / "results" / f"{name}.json") for name in study_names()}


def recomputed(names: Sequence[str] = ()) -> list[StudyResult]:
    """Read studies again, from the kept runs only."""
    with TemporaryDirectory() as folder:
        places = Folders(Path(folder), (ROOT / "results",))
        return results_of(plan([load_study(name) for name in names or study_names()], "small", places), places, [])


def verdict(claim: Facts) -> str:
    """Return the verdict of a test; of fewer seeds than a test needs, only their number."""
    starts = claim["starts"]
    return (
        f"**{claim['verdict']}**" if starts >= FEW or not starts else f"{starts} seed{'s' * (starts > 1)}: not tested"
    )


def _ours(claim: Facts) -> str:
    """Return our numbers and their interval, without what the verdict says already."""
    said = re.sub(
        r"; a difference of [^;]*could have been seen|\(shown[^)]*\)|; does not hold by itself.*", "", claim["because"]
    )
    return re.sub(r"\bstarts?\b", "seeds", said).strip()


def page() -> str:
    """Make the whole of claims.md."""
    studies, parts = read(), [introduction("claims")]
    for title, asked in SHOWN.items():
        rows = []
        for study, begins in asked:
            claim = next(one for one in studies[study]["claims"] if one["says"].startswith(begins))
            words = (
                f"“{claim['quotation']}” ({claim['source']}) {claim['paper']}".strip() if claim["quotation"] else "–"
            )
            rows.append([words, claim["says"], _ours(claim), verdict(claim), f"`{study}`"])
        parts += ["", f"## {title}", "", *table(("the paper's words", "asked here", "ours", "verdict", "study"), rows)]
    return "\n".join(parts) + "\n"
