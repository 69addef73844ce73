"""The pictures that a study asks for, drawn from its numbers as SVG: a closed dictionary of kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.runs.figures.figures import save_figure
from bntt.studies.bars_figure import bars, failures, folds, layer_spikes, scatter
from bntt.studies.lines_figure import bounds, drifts, layers, membrane, noise, over_time, thresholds
from bntt.studies.pictures import FigurePart
from bntt.studies.study_result import StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN: dict[str, Callable[[Figure, StudyResult, Any], bool]] = {
    "bars": bars,
    "scatter": scatter,
    "over-time": over_time,
    "layers": layers,
    "layer-spikes": layer_spikes,
    "thresholds": thresholds,
    "noise": noise,
    "bounds": bounds,
    "drift": drifts,
    "folds": folds,
    "membrane": membrane,
    "failures": failures,
}
"""What draws each kind; it says whether there was anything to draw."""


def save_figures(result: StudyResult, folder: Path) -> list[dict[str, str]]:
    """Draw every picture of a study that there are numbers for; gives file, title and text alternative of each.

    Raises:
        OSError: if one cannot be written.
    """
    saved = []
    for number, part in enumerate(result.study.figures, start=1):
        file = f"figure-{number}-{part.kind}.svg"
        if _save(result, part, folder / file):
            saved.append({"file": file, "title": part.title, "alt": _alt(result, part)})
    return saved


def _save(result: StudyResult, part: FigurePart, path: Path) -> bool:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    if not DRAWN[part.kind](figure, result, part):
        return False
    figure.suptitle(part.title, parse_math=False, fontsize=11)
    with rc_context({"svg.hashsalt": result.study.name, "svg.fonttype": "none"}):
        save_figure(figure, path)
    return True


def _alt(result: StudyResult, part: FigurePart) -> str:
    """What the study says of the picture, and of which size the runs are."""
    size = "at the paper's setting" if result.setting == "paper" else "at the small setting"
    return f"{part.alt.strip()} ({size})"
