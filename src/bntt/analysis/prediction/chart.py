"""Predictions as a figure: each picture beside what the network says of it over time."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bntt.analysis.prediction.prediction import Prediction
from bntt.charts.records import STEPS, Axis, Chart, Figure, Image, Level, Line, Lines

CONFIDENCE = Axis("confidence", percent=True, low=0, high=1)
LONGEST = 20
"""Letters of a name that are shown."""


def prediction_figure(predicted: Sequence[tuple[str, Tensor, Prediction]], leading: int = 3) -> Figure:
    """Each picture as the network sees it, beside its confidence over time in the leading classes, a row each.

    Args:
        predicted: the name of a picture, its pixels (uint8 ``[C, H, W]``), and what is said of it.
        leading: how many classes of each.
    """
    charts = list[Chart]()
    for name, pixels, prediction in predicted:
        shown = pixels.permute(1, 2, 0).double() / 255
        charts.append(Image(_short(name), (shown if len(pixels) == 3 else shown.squeeze(2)).tolist()))
        charts.append(_confidence(prediction, leading))
    return Figure("Confidence in the leading classes", charts, columns=2)


def _confidence(prediction: Prediction, leading: int) -> Lines:
    confidence, places = prediction.confidence.tolist(), range(1, len(prediction.confidence) + 1)
    lines = []
    for number in prediction.leading(leading):
        name = _short(prediction.classes[number])
        label = f"{confidence[-1][number]:.1%}  {name}"
        lines.append(Line(label, places, [row[number] for row in confidence], name))
    title = f"{_short(prediction.label)}, from step {prediction.stable_from} on"
    return Lines(title, STEPS, CONFIDENCE, lines, [Level(prediction.stable_from, at="x")])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
