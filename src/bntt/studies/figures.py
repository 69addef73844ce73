"""The pictures that a study asks for, drawn from its numbers as SVG: a closed dictionary of kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bntt.charts.files import save_figure
from bntt.charts.records import Chart, Figure
from bntt.studies.line_charts import bounds, drifts, layers, membrane, noise, over_time, thresholds
from bntt.studies.pictures import FigurePart
from bntt.studies.run_charts import failures, folds, layer_spikes, means, scatter
from bntt.studies.study_result import StudyResult

CHARTS: dict[str, Callable[[StudyResult, Any], list[Chart]]] = {
    "bars": means,
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
"""The charts of each kind of picture; none where a study has no numbers for it."""
SIZES = {"paper": "at the paper's setting", "small": "at the small setting"}


def figures_of(result: StudyResult) -> Iterator[tuple[str, FigurePart, Figure]]:
    """Yield every picture that there are numbers for: the name of its file, what was asked for, and the picture."""
    for number, part in enumerate(result.study.figures, start=1):
        if charts := CHARTS[part.kind](result, part):
            title = f"{part.title} ({result.study.name}, {SIZES[result.setting]})"
            yield f"{number}-{part.kind}.svg", part, Figure(title, charts)


def save_figures(result: StudyResult, folder: Path) -> list[dict[str, str]]:
    """Draw every picture of a study; gives file, title and text alternative of each.

    Raises:
        OSError: if one cannot be written.
    """
    saved = []
    for name, part, figure in figures_of(result):
        save_figure(figure, folder / f"figure-{name}")
        alt = f"{part.alt.strip()} ({SIZES[result.setting]})"
        saved.append({"file": f"figure-{name}", "title": part.title, "alt": alt})
    return saved
