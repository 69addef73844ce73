"""Charts of studies that are lines."""

import math

import pytest

from bntt.charts.files import draw_figure
from bntt.charts.records import Figure
from bntt.studies.line_charts import bounds, drifts, layers, membrane, noise, over_time, thresholds
from tests.studies.found import full_result


def charts(make, name, number=0):
    result = full_result(name)
    return make(result, result.study.figures[number])


def test_lines_are_named_like_runs_and_are_shares():
    (chart,) = charts(over_time, "standard-bn-steps")
    assert chart.lines[0].name == "BNTT"
    assert chart.lines[0].colour == "bntt"
    assert 0.8 < chart.lines[0].y[-1] < 1
    assert chart.x.scale == "linear"
    assert charts(over_time, "table-1", 1)[0].x.scale == "log"


def test_accuracy_falls_with_noise():
    (chart,) = charts(noise, "figure-8")
    assert chart.lines[0].x[0] == 0
    assert chart.lines[0].y[0] > chart.lines[0].y[-1]
    assert chart.lines[0].low == chart.lines[0].high == chart.lines[0].y, "all starts of the test are alike"


def test_the_lowest_of_all_estimators_is_drawn_and_clean_images_at_0():
    (chart,) = charts(bounds, "figure-8", 1)
    assert chart.lines[0].x == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert chart.lines[0].y[-1] == pytest.approx(0.725, abs=0.003)


def test_a_threshold_has_its_accuracy_and_its_steps():
    accuracy, steps = charts(thresholds, "figure-7")
    assert accuracy.y.label == "test accuracy"
    assert steps.y.whole
    assert all(line.stepped and len(line.x) == len(line.y) for line in (*accuracy.lines, *steps.lines))
    assert steps.lines[0].y[0] == max(steps.lines[0].y)


def test_layers_have_a_chart_for_each_run():
    found = charts(layers, "figure-6")
    assert len({chart.title for chart in found}) == len(found)
    assert found[0].lines[0].name == "conv1"
    assert found[0].y.percent


def test_a_spike_is_marked_where_it_is():
    (chart,) = charts(membrane, "figure-2")
    assert chart.title == "conv1, neuron 0, 1, 2"
    assert [(level.at, level.value) for level in chart.levels] == [("y", 1.0), ("x", 2)]
    assert chart.lines[0].y == [0.5, None]


def test_what_is_not_finite_ends_no_picture():
    result = full_result("figure-3")
    numbers = next(found.numbers for found in result.found.values() if "drift" in found.numbers)
    layer = next(iter(numbers["drift"]["layers"].values()))
    layer["distance"] = [math.inf, math.nan, *layer["distance"][2:]]
    number = next(n for n, part in enumerate(result.study.figures) if part.kind == "drift")
    found = drifts(result, result.study.figures[number])
    assert found[0].lines[0].y[:2] == [None, None]
    assert len({chart.y.high for chart in found}) == 1
    assert draw_figure(Figure("", found))
