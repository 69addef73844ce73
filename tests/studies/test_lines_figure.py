"""Pictures that are lines."""

import math

import pytest
from matplotlib.figure import Figure

from bntt.studies.lines_figure import bounds, drifts, membrane, over_time, thresholds
from tests.studies.found import full_result


def axes_of(draw, name, number):
    result, figure = full_result(name), Figure()
    assert draw(figure, result, result.study.figures[number])
    return figure.axes


def test_lines_are_named_like_runs_and_are_in_percent():
    (axes,) = axes_of(over_time, "standard-bn-steps", 0)
    assert next(text.get_text() for text in axes.get_legend().get_texts()) == "BNTT"
    assert 80 < axes.lines[0].get_ydata()[-1] < 100


def test_the_lowest_of_all_estimators_is_drawn_and_clean_images_at_0():
    (axes,) = axes_of(bounds, "figure-8", 1)
    assert list(axes.lines[0].get_xdata()) == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(72.5, abs=0.3)


def test_a_threshold_has_its_accuracy_and_its_steps():
    left, right = axes_of(thresholds, "figure-7", 0)
    assert "accuracy" in left.get_ylabel()
    assert "steps" in right.get_ylabel()


def test_a_spike_is_marked_where_it_is():
    (axes,) = axes_of(membrane, "figure-2", 0)
    assert "neuron 0, 1, 2" in axes.get_title()


def test_what_is_not_finite_ends_no_picture(tmp_path):
    result, figure = full_result("figure-3"), Figure()
    numbers = next(found.numbers for found in result.found.values() if "drift" in found.numbers)
    layer = next(iter(numbers["drift"]["layers"].values()))
    layer["distance"] = [math.inf, math.nan, *layer["distance"][2:]]
    number = next(n for n, part in enumerate(result.study.figures) if part.kind == "drift")
    assert drifts(figure, result, result.study.figures[number])
    assert all(math.isfinite(axes.get_ylim()[1]) for axes in figure.axes)
    figure.savefig(tmp_path / "drift.svg")
