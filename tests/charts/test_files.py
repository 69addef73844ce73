"""Figures as files: what stands where, names that are no formulas, whole files, the same bytes."""

import re
from dataclasses import replace
from itertools import chain

import pytest

from bntt.charts.files import draw_figure, save_figure
from bntt.charts.records import STEPS, Axis, Bar, Bars, Entry, Figure, Forest, Image, Level, Line, Lines, over_steps
from tests.charts.every_kind import SHARE, charts, layers

BEGINS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def ticks(axes) -> list[float]:
    low, high = axes.get_xlim()
    return [tick for tick in axes.get_xticks() if low <= tick <= high]


def drawn(*shown, **options):
    return draw_figure(Figure("a run", shown, **options))


@pytest.mark.parametrize(
    "suffix", [pytest.param(suffix, marks=[] if suffix == ".svg" else pytest.mark.slow) for suffix in BEGINS]
)
def test_every_kind_in_every_format_is_the_same_twice(suffix, tmp_path):
    one, other = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (one, other):
        save_figure(Figure("a run", charts()), path)
    assert one.read_bytes().startswith(BEGINS[suffix])
    assert one.read_bytes() == other.read_bytes()
    assert b"dc:date" not in one.read_bytes()


def test_other_suffixes_and_empty_figures_are_refused(tmp_path):
    for name, came in (("x.jpg", r"\.jpg"), ("x", "suffix")):
        with pytest.raises(ValueError, match=came):
            save_figure(Figure("", charts()), tmp_path / name)
    with pytest.raises(ValueError, match="has no chart"):
        save_figure(Figure("nothing", []), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_name_is_no_formula_and_places_are_rounded_but_no_words(tmp_path):
    for name in (r"$\nothing{$ 0.12345", "_under 0.12345"):
        figure = Figure(name, charts(name))
        save_figure(figure, tmp_path / "x.svg")
        text = (tmp_path / "x.svg").read_text(encoding="utf-8")
        assert text.count(name) >= 15
        assert name in chain(*legends(draw_figure(figure)))
        assert not re.search(r"<[^>]*\.\d{3}", text)


def test_steps_are_whole_numbers():
    for steps in (1, 3, 8, 300, 1000):
        (axes,) = drawn(layers("conv1", steps=steps)).axes
        assert all(tick == int(tick) and 1 <= tick <= steps for tick in ticks(axes)), steps
        assert len(ticks(axes)) >= min(steps, 3), steps
        assert axes.get_ylim()[0] == 0
    assert ticks(axes)[:2] == [1, 200], "counts begin at one"


def test_logarithmic_axes_write_plain_numbers():
    (axes,) = drawn(Forest("", Axis("seconds", scale="log"), [Entry("a", 0.3), Entry("b", 20.0)])).axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.2", "0.5", "1", "2", "5", "10", "20"]
    assert not len(axes.get_xticks(minor=True))
    (zeros,) = drawn(Lines("", STEPS, Axis("rate", scale="log"), [Line("a", [1], [0.0])])).axes
    assert zeros.get_yscale() == "linear"


def legends(figure):
    held = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [[text.get_text() for text in legend.get_texts()] for legend in held if legend is not None]


def test_each_chart_has_its_legend_below_and_equal_ones_are_one():
    figure = drawn(layers("a", "sum"), layers("a", "b"), charts()[1])
    assert legends(figure) == [["a", "sum"], ["a", "b"]]
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        legend, below = axes.get_legend().get_window_extent(), axes.xaxis.get_tightbbox()
        assert 0 < legend.y1 <= below.y0 + 1
        assert abs((legend.x0 + legend.x1) - (axes.bbox.x0 + axes.bbox.x1)) < 2
    assert legends(drawn(layers("a", "b"), layers("b", "a"))) == [["a", "b"]]
    assert not legends(drawn(layers("conv1")))
    level = Lines("", STEPS, SHARE, over_steps({"bntt": [0.1]}, methods=True), [Level(0.1, "chance")])
    assert legends(drawn(level)) == [["bntt", "chance"]]


def test_a_page_has_its_legend_below_in_its_own_width():
    figure = draw_figure(Figure("", [layers(*(f"a long name {i}" for i in range(30)))]), width=4.2)
    figure.draw_without_rendering()
    legend, data = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
    assert (figure.get_figwidth(), legend.y1 < data.y0) == (4.2, True)
    assert data.height > 150, "rows of the legend take no room from the data"


def test_nothing_that_is_written_is_cut():
    for chart in charts("a name that is rather long, with a unit (1/255)"):
        figure = draw_figure(Figure("a title that is long enough to need more than a single line of it", [chart]))
        figure.draw_without_rendering()
        whole, shown = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        room = [shown.x0 - whole.x0, shown.y0 - whole.y0, whole.x1 - shown.x1, whole.y1 - shown.y1]
        assert min(room) >= -1, type(chart)


def test_charts_stand_in_rows():
    for chart, count, columns, shape in ((layers("a"), 5, 0, (2, 3)), (Image("", [[0.5]]), 12, 0, (2, 10))):
        figure = drawn(*[chart] * count, columns=columns)
        assert figure.axes[0].get_gridspec().get_geometry() == shape
        assert not figure.axes[-1].get_visible()
    assert drawn(*[layers("a")] * 4, columns=1).axes[0].get_gridspec().get_geometry() == (4, 1)


def test_many_names_of_bars_are_turned():
    bars = Bars("", SHARE, [f"layer {i}" for i in range(20)], [Bar("a", [0.5] * 20)])
    assert drawn(bars).axes[0].get_xticklabels()[0].get_rotation() == 60
    few = replace(bars, names=["a"], bars=[Bar("a", [0.5])])
    assert drawn(few).axes[0].get_xticklabels()[0].get_rotation() == 0
