"""Pictures of studies: each kind from files that measurements wrote."""

import math

import pytest

from bntt.analysis.measurements import MEASUREMENTS
from bntt.charts.files import draw_figure, save_figure
from bntt.charts.records import Figure
from bntt.studies.study_file import READS, FigureSpec, load_study, study_names
from bntt.studies.study_result import (
    CHARTS,
    _axis,
    column_of,
    figures_of,
    layers_of,
    mean_rows,
    measured_runs,
    save_figures,
    styles_of,
)
from tests.studies.found import empty_result, full_result, small_result


def charts(kind, name, place=0):
    """The charts of a study's picture of a kind: of the first, or of a later one."""
    result = full_result(name)
    return CHARTS[kind](result, [part for part in result.study.figures if part.kind == kind][place])


def test_lines_are_named_like_runs_with_the_colour_of_their_method_and_are_shares():
    (chart,) = charts("over-time", "standard-bn-steps")
    assert (chart.lines[0].name, chart.lines[0].colour, chart.x.scale) == ("BNTT", "bntt", "linear")
    assert 0.8 < chart.lines[0].y[-1] < 1
    assert charts("over-time", "table-1")[0].x.scale == "log"
    assert (chart.note[:5], charts("over-time", "cifar10-whole")[0].note) == ("bands", ""), "one start has no band"
    styles = styles_of(full_result("table-1"))
    assert [styles[label] for label in ("ANN", "conversion, T = 1000", "conversion, T = 100", "hybrid", "BNTT")] == [
        ("ann", False), ("conversion", False), ("conversion", True), ("hybrid", False), ("bntt", False)
    ]  # fmt: skip


def test_accuracy_falls_with_noise_and_attacks():
    (chart,) = charts("noise", "figure-8")
    assert chart.lines[0].x[0] == 0
    assert chart.lines[0].y[0] > chart.lines[0].y[-1]
    assert chart.lines[0].low == chart.lines[0].high == chart.lines[0].y, "all starts of the test are alike"
    (chart,) = charts("bounds", "figure-8")
    assert chart.lines[0].x == [0.0, 1.0, 2.0, 4.0, 8.0], "clean images at 0"
    assert chart.lines[0].y[-1] == pytest.approx(0.725, abs=0.003), "the lowest of all estimators"


def test_a_threshold_has_its_accuracy_and_its_steps():
    accuracy, steps = charts("thresholds", "figure-7")
    assert (accuracy.y.label, steps.y.whole) == ("test accuracy", True)
    assert all(line.stepped and len(line.x) == len(line.y) for line in (*accuracy.lines, *steps.lines))
    assert steps.lines[0].y[0] == max(steps.lines[0].y)


def test_axes_are_of_the_split_and_unit_that_were_measured():
    for kind, name in {"thresholds": "figure-7", "noise": "figure-8"}.items():
        result = full_result(name)
        part = next(part for part in result.study.figures if part.kind == kind)
        for found in result.found.values():
            if values := found.numbers.get(part.source):
                values |= {"split": "validation", "sigma_in": "normalized"}
                for row in values.get("grid", ()):
                    row.pop("test_accuracy", None)
        chart = CHARTS[kind](result, part)[0]
        assert chart.y.label == "validation accuracy"
        assert kind != "noise" or chart.x.label == "σ of the noise (in standard deviations of the pixels)"


def test_layers_have_a_chart_for_each_run_and_are_means_over_starts():
    found = charts("layers", "figure-6")
    assert len({chart.title for chart in found}) == len(found)
    assert (found[0].lines[0].name, found[0].y.percent) == ("conv1", True)

    def start(value):
        return {"steps": [{"layer": "a", "x": value}, {"layer": "a", "x": 2.0}, {"layer": "b", "x": None}]}

    assert layers_of([start(1.0), start(3.0)], "x") == {"a": [2.0, 2.0]}
    rows = [{"layer": "a", "gamma_magnitude": 0.5, "gamma_driven": driven} for driven in (True, False)]
    assert layers_of([{"steps": rows}], "gamma_magnitude") == {"a": [0.5, None]}, "no path to the readout"
    assert mean_rows([[None], [1.0]]) == [None], "what one start lacks is open"


def test_a_spike_is_marked_where_it_is():
    (chart,) = charts("membrane", "figure-2")
    assert chart.note == "neuron 0, 1, 2 of conv1"
    assert [(level.at, level.value) for level in chart.levels] == [("y", 1.0), ("x", 2)]
    assert chart.lines[0].y == [0.5, None]


def test_what_is_not_finite_ends_no_picture():
    result = full_result("figure-3")
    numbers = next(found.numbers for found in result.found.values() if "drift" in found.numbers)
    layer = next(iter(numbers["drift"]["layers"].values()))
    layer["distance"] = [math.inf, math.nan, *layer["distance"][2:]]
    found = CHARTS["drift"](result, next(part for part in result.study.figures if part.kind == "drift"))
    assert found[0].lines[0].y[:2] == [None, None]
    assert len({chart.y.high for chart in found}) == 1, "one scale"
    assert draw_figure(Figure("", found))


def test_every_run_has_its_mean_and_every_start_a_point():
    result = small_result({("bntt", 0): 0.8, ("bntt", 1): 0.9})
    (forest,) = CHARTS["bars"](result, result.study.figures[0])
    assert [(entry.name, round(entry.value, 6), entry.points, entry.colour) for entry in forest.entries] == [
        ("BNTT", 85.0, (80.0, 90.0), "bntt"),
        ("none", 80.0, (80.0, 80.0), "none"),
    ]
    assert (forest.x.label, forest.x.low, forest.x.high, forest.x.scale) == ("test accuracy (%)", 70.0, 100, "linear")
    assert _axis(result, "acc", [10.0, 130.0]).low is None, "points that are not close begin at 0"
    assert _axis(result, "acc", [80.0, 130.0]).high is None, "a change may be more than 100 %"
    assert charts("bars", "energy")[0].x.scale == "log"


def test_two_columns_against_each_other_are_points():
    (chart,) = charts("scatter", "figure-5")
    assert chart.x.scale == "log"
    assert not any(line.joined for line in chart.lines)
    assert len(chart.lines[0].x) == len(chart.lines[0].y) > 1


def test_spikes_of_a_neuron_are_those_of_its_layer_over_its_neurons():
    whole, each = charts("layer-spikes", "figure-5")[0], charts("layer-spikes", "figure-5", 1)[0]
    assert (whole.y.scale, list(whole.lines[0].x)) == ("log", list(range(1, 9)))
    assert "1 conv1, 2 conv2" in whole.note
    neurons = next(v for one in full_result("figure-5").found.values() if (v := one.numbers.get("activity")))["layers"]
    for line, per_neuron in zip(whole.lines, each.lines, strict=True):
        counts = [layer["neurons"] for layer in neurons.values()]
        assert per_neuron.y == pytest.approx([value / n for value, n in zip(line.y, counts, strict=True)])


def test_distributions_are_of_steps_that_the_network_has():
    found = charts("inputs", "figure-3")
    assert [chart.title for chart in found] == ["one standard BN: what enters conv4", "BNTT: what enters conv4"]
    assert [line.name for line in found[0].lines] == ["step 1", "step 4", "step 8", "expected: mean 0, deviation 1"]
    found = charts("gamma-histograms", "figure-6")
    assert [chart.title for chart in found] == ["conv1", "conv3", "conv4", "conv7", "fc1"]
    assert list(found[0].counts) == ["step 1", "step 4", "step 8"]
    assert all(sum(row) == pytest.approx(1) for chart in found for row in chart.counts.values()), "of all channels"


def test_the_surrogate_is_eq_8_at_its_threshold():
    ((line,),) = (chart.lines for chart in charts("surrogate", "figure-2"))
    found = dict(zip(line.x, line.y, strict=True))
    assert [found[at] for at in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == pytest.approx([0, 0, 0.15, 0.3, 0.15, 0, 0])


def test_a_picture_has_the_runs_and_the_measure_that_it_names():
    result, words = small_result({("bntt", 1): 0.9}), {"title": "t", "alt": "a"}
    bars, over_time = (FigureSpec(kind=kind, column="acc", **words) for kind in ("bars", "over-time"))
    assert column_of(result, bars, "acc")["BNTT"] == {0: 80.0, 1: 90.0}
    assert list(column_of(result, bars.model_copy(update={"runs": ["none"]}), "acc")) == ["none"]
    assert list(measured_runs(result, over_time)) == ["BNTT", "none"]
    assert measured_runs(result, over_time.model_copy(update={"measure": "exit"})) == {}, "runs without it are left out"
    assert set(READS.values()) <= MEASUREMENTS.keys()
    assert READS.keys() <= CHARTS.keys()


@pytest.mark.slow
def test_every_picture_has_its_charts_and_one_of_each_kind_is_drawn(tmp_path):
    kinds = set()
    for name in study_names():
        found = list(figures_of(full_result(name)))
        assert [part for _, part, _ in found] == list(load_study(name).figures), name
        for file, part, figure in found:
            if part.kind not in kinds:
                save_figure(figure, tmp_path / file)
                assert "</svg>" in (tmp_path / file).read_text(encoding="utf-8"), name
            kinds.add(part.kind)
    assert kinds == set(CHARTS)


def test_a_kept_picture_says_what_it_shows(tmp_path):
    (one,) = save_figures(small_result(), tmp_path)
    first = (tmp_path / one["file"]).read_bytes()
    assert first.startswith(b"<?xml")
    assert b"dc:date" not in first
    assert one["alt"].endswith("(at the small setting)")


def test_nothing_is_drawn_of_nothing(tmp_path):
    for name in ("table-1", "figure-8"):
        assert save_figures(empty_result(name), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
