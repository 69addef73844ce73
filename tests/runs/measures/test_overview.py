"""A measured run at a glance."""

import dataclasses

import pytest

from bntt.analysis import GammaProfile
from bntt.charts.files import draw_figure
from bntt.runs.measures.overview import overview
from tests.cli.test_console import outcome


def test_an_overview_shows_accuracy_gamma_and_rates():
    figure = overview(outcome(6))
    accuracy, gamma, rates = figure.charts
    assert figure.title == "made, test: 1,000 images, 2 draws"
    assert accuracy.title == "86.5% ± 0.7% after all steps"
    (line,) = accuracy.lines
    assert list(line.y) == pytest.approx([0.51] * 5 + [0.865])
    assert (line.low[-1], line.high[-1]) == (0.86, 0.87)
    assert gamma.y.label == "mean |γ| over channels"
    assert rates.lines[0].y == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert draw_figure(figure)


def test_without_gamma_there_is_no_chart_of_it_and_one_draw_has_no_band():
    result = dataclasses.replace(outcome(6), gamma=GammaProfile({}, {}, {}, {}, {}))
    accuracy = dataclasses.replace(result.evaluation.accuracy, correct=result.evaluation.accuracy.correct[:1])
    result = dataclasses.replace(result, evaluation=dataclasses.replace(result.evaluation, accuracy=accuracy))
    first, rates = overview(result).charts
    assert (first.lines[0].low, first.note) == ((), "")
    assert rates.y.label == "firing rate"
