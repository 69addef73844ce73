"""Accuracy on noisy images as a picture: a line a run with its interval, some numbers of steps, differences."""

import pytest

from bntt.analysis import Accuracy, Paired
from bntt.runs.measures.robust import Noise, NoisyRow, NoisyRun, RobustResult
from bntt.runs.figures.robust_figure import save_robust, shown_steps
from tests.runs.figures.test_figures import PNG, drawn, values

__all__ = ["drawn"]

SIGMAS = (0.0, 0.3, 0.6)


def run(name, start, first):
    rows = []
    for i, sigma in enumerate(SIGMAS):
        accuracy = Accuracy(100, (tuple(start - 10 * i - 5 * (5 - t) for t in range(6)),))
        to_first = None if first else Paired(-0.2 * sigma, (-0.2 * sigma - 0.1, -0.2 * sigma + 0.1))
        rows.append(NoisyRow(sigma, accuracy, "noise", to_first, 1.0))
    return NoisyRun(name, {}, tuple(rows))


def result(*names, **asked):
    runs = tuple(run(name, 90 - 5 * i, not i) for i, name in enumerate(names))
    return RobustResult(Noise(SIGMAS, **asked), "$ of images", 10, 100, "all 100", runs)


def band(axes, number):
    """Lower and upper edge over the first σ."""
    heights = [y for x, y in axes.collections[number].get_paths()[0].vertices.tolist() if x == 0]
    return min(heights), max(heights)


def test_several_runs(tmp_path, drawn):
    save_robust(result("bntt $1", "ann", "bn"), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    left, middle, right = drawn[0].axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["bntt $1", "ann", "bn"]
    assert values(left, 1) == [(0, pytest.approx(85)), (0.3, pytest.approx(75)), (0.6, pytest.approx(65))]
    assert left.lines[3].get_ydata() == [10, 10]  # chance
    low, high = band(left, 0)
    assert (low, high) == tuple(100 * bound for bound in Accuracy(100, ((90,),)).interval)
    assert [text.get_text() for text in middle.get_legend().get_texts()] == ["6", "5", "4", "2", "1"]
    assert values(middle, 0) == values(left, 0)
    assert values(middle, 4)[0] == (0, pytest.approx(65))
    assert values(right, 1) == [(0, 0), (0.3, pytest.approx(-6)), (0.6, pytest.approx(-12))]
    assert band(right, 0) == (pytest.approx(-10), pytest.approx(10))
    assert right.get_ylabel() == "accuracy minus that of bntt $1 (points)"
    assert len({(line.get_linestyle(), line.get_marker()) for line in left.lines[:3]}) == 3
    assert "1 = the range of the pixels" in left.get_xlabel()
    assert drawn[0].get_suptitle() == "$ of images, test images: all 100; Gaussian noise, clipped, 1 draw"


def test_one_run_has_no_differences(tmp_path, drawn):
    save_robust(result("bntt", where="normalized", clip=False), tmp_path / "x.png")
    assert len(drawn[0].axes) == 2
    assert all("1 = a deviation of the pixels" in axes.get_xlabel() for axes in drawn[0].axes)
    assert "not clipped" in drawn[0].get_suptitle()


@pytest.mark.parametrize("steps", range(1, 120))
def test_steps_end_with_all(steps):
    shown = shown_steps(steps)
    assert shown[-1] == steps
    assert shown[0] >= 1
    assert len(shown) == min(steps, 5)
