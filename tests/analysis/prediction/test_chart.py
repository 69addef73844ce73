"""Predictions beside their pictures."""

import pytest
import torch

from bntt.analysis import Prediction
from bntt.analysis.prediction.chart import prediction_figure
from bntt.charts.files import draw_figure


def test_predictions_stand_beside_their_pictures():
    names = ("_cat", "$dog$", "fox", "owl")
    pixels = torch.arange(2 * 3, dtype=torch.uint8).reshape(1, 2, 3)
    first = Prediction(names, torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.2, 0.7, 0.1, 0.0], [0.1, 0.8, 0.1, 0.0]]))
    single = Prediction(names, first.confidence[:1])
    figure = prediction_figure([("a$b$.png", pixels, first), ("c" * 27, pixels.expand(3, -1, -1), single)])
    image, lines, coloured, other = figure.charts
    assert (image.title, coloured.title) == ("a$b$.png", "c" * 19 + "…")
    assert image.pixels[0] == pytest.approx([0, 1 / 255, 2 / 255])
    assert coloured.pixels[0][1] == pytest.approx([1 / 255] * 3)
    assert [line.name for line in lines.lines] == ["80.0%  $dog$", "10.0%  _cat", "10.0%  fox"]
    assert lines.lines[1].y == pytest.approx([0.5, 0.2, 0.1])
    assert list(lines.lines[0].x) == [1, 2, 3]
    assert (lines.levels[0].value, lines.levels[0].at) == (2, "x")
    assert lines.title == "$dog$, from step 2 on"
    assert len(other.lines) == 3
    assert len(draw_figure(figure).axes) == 4
    assert len(prediction_figure([("a", pixels, first)], leading=1).charts[1].lines) == 1
