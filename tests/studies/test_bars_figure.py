"""Pictures that compare runs."""

from matplotlib.figure import Figure

from bntt.studies.bars_figure import bars, failures, folds
from tests.studies.found import full_result, small_result


def test_a_bar_is_the_mean_and_every_start_a_point():
    result, figure = small_result({("bntt", 0): 0.8, ("bntt", 1): 0.9}), Figure()
    assert bars(figure, result, result.study.figures[0])
    (axes,) = figure.axes
    assert [round(patch.get_width(), 6) for patch in axes.patches] == [85.0, 80.0]
    assert list(axes.lines[0].get_xdata()) == [80.0, 90.0]
    assert axes.get_xlabel() == "test accuracy (%)"


def test_folds_and_failures_are_drawn_in_percent():
    result, figure = full_result("section-3.3"), Figure()
    assert folds(figure, result, result.study.figures[0])
    assert max(patch.get_height() for patch in figure.axes[0].patches) > 10
    result, figure = full_result("stability"), Figure()
    assert failures(figure, result, result.study.figures[0])
    assert len(figure.axes) == 2
