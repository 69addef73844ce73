"""Every kind of chart in axes of matplotlib."""

import math
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

from bntt.charts.files import FEW, METHODS, draw_chart, limits, looks_of, ticks_of
from bntt.charts.records import STEPS, Axis, Bar, Bars, Entry, Forest, HeatMap, Histogram, Line, Lines
from tests.charts.every_kind import SHARE, charts

LINES, BARS, FOREST, HEAT_MAP, _, IMAGE = range(6)


def drawn(chart):
    axes = Figure().subplots()
    return axes, draw_chart(axes, chart, looks_of([chart]), 4.8)


def points(line):
    return line.get_xydata().tolist()


def test_a_line_with_its_band_crosses_and_levels():
    axes, legend = drawn(charts()[LINES])
    line, cross, height, place = axes.lines
    assert points(line)[0] == [0, 0.9]
    assert math.isnan(points(line)[1][1])
    assert points(cross) == [[2, 0.4]]
    assert to_hex(line.get_color()) == METHODS["bntt"][0]
    assert (height.get_ydata()[0], place.get_xdata()[0]) == (0.1, 1)
    assert len(axes.collections) == 1
    assert list(legend) == ["bntt", "INVALID", "here"]


def test_how_lines_are_drawn():
    marked = Line("a", [1, 2], [1.0, 2.0], dashed=True)
    many = Line("b", range(FEW + 1), [1.0] * (FEW + 1))
    stepped, single = Line("c", [0, 1], [1.0, 2.0], stepped=True), Line("d", [1, 2], [1.0, 2.0], joined=False)
    alone = Line("e", [1], [0.3], stepped=True)
    axes, _ = drawn(Lines("", STEPS, SHARE, [marked, many, stepped, single, alone]))
    assert [line.get_linestyle() for line in axes.lines] == ["--", "-", "-", "None", "-"]
    assert [line.get_marker() != "None" for line in axes.lines] == [True, False, False, True, True]
    assert axes.lines[2].get_drawstyle() == "steps-post"


def test_an_interval_without_neighbours_is_a_stroke_and_zeros_have_no_logarithm():
    low = [0.4, None, 0.4, 0.4, 0.0]
    line = Line("a", range(8, 13), [0.5, 0.5, 0.5, 0.5, 0.0], low=low, high=[0.6] * 5, invalid=[4])
    axes, _ = drawn(Lines("", STEPS, SHARE, [line]))
    band, strokes = axes.collections
    assert [stroke.tolist() for stroke in strokes.get_segments()] == [[[8, 0.4], [8, 0.6]]]
    assert {x for path in band.get_paths() for x, _ in path.vertices.tolist()} == {8, 10, 11, 12}
    axes, legend = drawn(Lines("", STEPS, Axis("y", scale="log"), [line]))
    assert {x for path in axes.collections[0].get_paths() for x, _ in path.vertices.tolist()} == {8, 10, 11}
    assert np.isnan(points(axes.lines[0])).tolist() == [[False, False]] * 4 + [[False, True]]
    assert list(legend) == ["a"], "and no cross"


def test_bars_have_their_intervals_and_starts_and_stand_side_by_side_or_on_each_other():
    axes, _ = drawn(charts()[BARS])
    assert axes.patches[0].get_height() == 0.5
    assert axes.collections[0].get_segments()[0][:, 1].tolist() == [0.4, 0.6]
    assert points(axes.lines[0]) == [[0, 0.5]]
    bars = [Bar("a", [1.0, None]), Bar("b", [2.0, 3.0])]
    beside, stacked = (drawn(Bars("", SHARE, ["x", "y"], bars, stacked=stacked))[0] for stacked in (False, True))
    assert beside.patches[0].get_x() < beside.patches[2].get_x()
    assert [patch.get_y() for patch in stacked.patches[2:]] == [1, 0]


def test_a_forest_has_a_row_for_each_value():
    axes, legend = drawn(charts()[FOREST])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["bntt", "bad"]
    assert axes.get_ylim() == (1.5, -0.5)
    assert axes.collections[0].get_segments()[0].tolist() == [[2, 0], [5, 0]]
    assert [2.5, 0] in points(axes.lines[0])
    assert [30, 1] in points(axes.lines[-2])
    assert set(legend) == {"INVALID", "bntt"}
    axes, _ = drawn(Forest("", Axis("spikes", scale="log"), [Entry("conv1", 3.0), Entry("silent", 0.0)]))
    assert [points(line) for line in axes.lines if len(line.get_xdata())] == [[[3, 0]]]
    assert [(text.get_text(), text.get_position()[1]) for text in axes.texts] == [("0", 1)]


def test_a_heat_map_has_a_scale_and_open_cells():
    axes, _ = drawn(charts()[HEAT_MAP])
    (image,) = axes.images
    assert isinstance(image.norm, LogNorm)
    assert (image.norm.vmin, image.norm.vmax) == (0.1, 10)
    assert np.ma.getmaskarray(image.get_array()).tolist() == [[False, True], [False, False]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["bntt", "b"]
    assert image.colorbar.ax.get_ylabel() == "bntt"
    labels = [text.get_text() for text in image.colorbar.ax.get_yticklabels()]
    assert labels == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    wide, _ = drawn(HeatMap("", STEPS, ["a"], [str(i) for i in range(1, 101)], [[1.0] * 100], SHARE))
    assert [text.get_text() for text in wide.get_xticklabels()][:3] == ["1", "4", "7"]


def test_histograms_have_stairs_and_pixels_are_grey():
    axes, _ = drawn(Histogram("", STEPS, Axis("n"), [0, 1, 2], {"a": [1, 2], "b": [2, 1]}))
    assert [patch.get_data().values.tolist() for patch in axes.patches] == [[1, 2], [2, 1]]
    axes, _ = drawn(charts()[IMAGE])
    assert axes.images[0].get_clim() == (0, 1)


AXES = [Axis("", percent, whole, scale) for percent, whole, scale in product(*2 * [(False, True)], ("linear", "log"))]


@given(st.lists(st.floats(-1e99, 1e99), max_size=5), st.sampled_from(AXES), st.booleans())
@settings(max_examples=50)
def test_any_values_have_an_axis(values, axis, places):
    low, high = limits(axis, values, values=not places)
    assert high > low
    beyond = 0.01 * (high - low)
    assert all(low - beyond <= tick <= high + beyond for tick in ticks_of(axis, low, high, 6))


def labels(*given, **options):
    return list(ticks_of(*given, **options).values())


def test_ticks_are_round_numbers_with_one_unit():
    log = Axis("", scale="log")
    assert labels(Axis("", percent=True), 0.0, 0.37, 6) == ["0%", "10%", "20%", "30%"]
    assert labels(Axis(""), 0.0, 2.5e6, 6)[:3] == ["0", "0.5M", "1M"]
    assert list(ticks_of(STEPS, 0.5, 8.5, 8)) == list(range(1, 9))
    assert labels(log, 2e-4, 0.45, 6, logarithmic=True) == ["0.001", "0.01", "0.1"]
    assert labels(log, 13.3, 105.0, 6, logarithmic=True) == ["20", "50", "100"]
    assert labels(log, 22.0, 45.0, 6, logarithmic=True) == ["25", "30", "35", "40", "45"]
