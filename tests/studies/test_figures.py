"""Charts of studies that are lines."""

import math

import pytest

from bntt.analysis.measurements import MEASUREMENTS
from bntt.charts.files import draw_figure, save_figure
from bntt.charts.records import Figure
from bntt.studies.study_file import READS, Bars, FigureSpec, OverTime, load_study, study_names
from bntt.studies.study_result import (
    CHARTS,
    bounds,
    column_of,
    drifts,
    failures,
    figures_of,
    folds,
    gamma_histograms,
    inputs,
    layer_spikes,
    layers,
    layers_of,
    mean_rows,
    means,
    measured_runs,
    membrane,
    near,
    noise,
    over_time,
    save_figures,
    scatter,
    styles_of,
    surrogate,
    thresholds,
)
from tests.studies.found import empty_result, full_result, small_result


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
    assert (chart.note[:5], charts(over_time, "cifar10-whole")[0].note) == ("bands", ""), "one start has no band"


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


def test_axes_are_of_the_split_and_unit_that_were_measured():
    for kind, name in {"thresholds": "figure-7", "noise": "figure-8", "folds": "section-3.3"}.items():
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


def test_layers_have_a_chart_for_each_run():
    found = charts(layers, "figure-6")
    assert len({chart.title for chart in found}) == len(found)
    assert found[0].lines[0].name == "conv1"
    assert found[0].y.percent


def test_a_spike_is_marked_where_it_is():
    (chart,) = charts(membrane, "figure-2")
    assert chart.note == "neuron 0, 1, 2 of conv1"
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


def test_every_run_has_its_mean_and_every_start_a_point():
    result = small_result({("bntt", 0): 0.8, ("bntt", 1): 0.9})
    (forest,) = means(result, result.study.figures[0])
    assert [(entry.name, round(entry.value, 6), entry.points) for entry in forest.entries] == [
        ("BNTT", 85.0, (80.0, 90.0)),
        ("none", 80.0, (80.0, 80.0)),
    ]
    assert [entry.colour for entry in forest.entries] == ["bntt", "none"]
    assert (forest.x.label, forest.x.high, forest.x.scale) == ("test accuracy (%)", 100, "linear")
    assert near(forest.x, [80.0, 130.0]).high is None, "a change may be more than 100 %"


def test_energies_are_on_a_logarithmic_axis():
    (forest,) = charts(means, "energy")
    assert (forest.x.scale, forest.x.high) == ("log", None)


def test_every_method_has_its_colour_and_a_further_run_of_it_is_dashed():
    styles = styles_of(full_result("table-1"))
    assert [styles[label] for label in ("ANN", "conversion, T = 1000", "conversion, T = 100", "hybrid", "BNTT")] == [
        ("ann", False), ("conversion", False), ("conversion", True), ("hybrid", False), ("bntt", False)
    ]  # fmt: skip


def test_two_columns_against_each_other_are_points():
    (chart,) = charts(scatter, "figure-5", 1)
    assert chart.x.scale == "log"
    assert not any(line.joined for line in chart.lines)
    assert len(chart.lines[0].x) == len(chart.lines[0].y) > 1


def test_layers_are_numbered_and_named():
    (chart,) = charts(layer_spikes, "figure-5")
    assert chart.y.scale == "log"
    assert list(chart.lines[0].x) == list(range(1, 9))
    assert "1 conv1, 2 conv2" in chart.note


def test_spikes_of_a_neuron_are_those_of_its_layer_over_its_neurons():
    whole, each = charts(layer_spikes, "figure-5")[0], charts(layer_spikes, "figure-5", 2)[0]
    neurons = next(v for one in full_result("figure-5").found.values() if (v := one.numbers.get("activity")))["layers"]
    for line, per_neuron in zip(whole.lines, each.lines, strict=True):
        counts = [layer["neurons"] for layer in neurons.values()]
        assert per_neuron.y == pytest.approx([value / n for value, n in zip(line.y, counts, strict=True)])
    assert each.y.label == "spikes per neuron and image, all steps"


def test_what_enters_a_norm_is_of_steps_that_the_network_has():
    found = charts(inputs, "figure-3")
    assert [chart.title for chart in found] == ["one standard BN: what enters conv4", "BNTT: what enters conv4"]
    assert [line.name for line in found[0].lines] == ["step 1", "step 4", "step 8", "expected: mean 0, deviation 1"]


def test_gamma_has_a_histogram_a_step_whose_shares_are_of_all_channels():
    (*found,) = charts(gamma_histograms, "figure-6", 1)
    assert [chart.title for chart in found] == ["conv1", "conv3", "conv4", "conv7", "fc1"]
    assert list(found[0].counts) == ["step 1", "step 4", "step 8"]
    assert all(sum(row) == pytest.approx(1) for chart in found for row in chart.counts.values())


def test_the_surrogate_is_eq_8_at_its_threshold():
    (chart,) = charts(surrogate, "figure-2", 1)
    (line,) = chart.lines
    found = dict(zip(line.x, line.y, strict=True))
    assert [found[at] for at in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == pytest.approx([0, 0, 0.15, 0.3, 0.15, 0, 0])


def test_folds_and_failures_are_shares():
    (chart,) = charts(folds, "section-3.3")
    assert 0.1 < max(bar.values[0] for bar in chart.bars) < 1
    assert chart.bars[0].name == "the network"
    found = charts(failures, "stability")
    assert [chart.title for chart in found] == ["vgg6", "vgg9"]
    assert {chart.x.scale for chart in found} == {"log"}
    assert all(0 <= share <= 1 for chart in found for line in chart.lines for share in line.y)


def test_failures_are_of_the_networks_that_a_run_has():
    """Each run of its own: no other has an empty line beside it, and the same shares at other rates are not alike."""
    result = full_result("stability")
    part = next(part for part in result.study.figures if part.kind == "failures")
    runs = sorted({run for run, _ in result.found})
    for (run, _), one in result.found.items():
        number = runs.index(run)
        share = {"network": f"net{number % 2}", "norm": "bntt", "rate": 0.1 * (1 + number), "failed": 1, "starts": 2}
        one.numbers[part.source] = {"shares": [share]}
    found = failures(result, part)
    assert sum(len(chart.lines) for chart in found) == len(runs)
    assert all(line.y and set(line.y) == {0.5} for chart in found for line in chart.lines)
    assert not any(chart.note for chart in found)


WORDS = {"title": "t", "alt": "a"}


def test_numbers_by_label_and_seed():
    result = small_result({("bntt", 1): 0.9})
    bars = Bars(kind="bars", column="acc", **WORDS)
    assert column_of(result, bars, "acc")["BNTT"] == {0: 80.0, 1: 90.0}
    assert list(column_of(result, bars.model_copy(update={"runs": ["none"]}), "acc")) == ["none"]


def test_runs_without_a_measure_are_left_out():
    result, part = small_result(), OverTime(kind="over-time", **WORDS)
    assert list(measured_runs(result, part)) == ["BNTT", "none"]
    assert measured_runs(result, part.model_copy(update={"measure": "exit"})) == {}


def test_what_one_start_lacks_is_open():
    assert mean_rows([[None], [1.0]]) == [None]


def test_layers_are_means_over_starts():
    def start(value):
        return {"steps": [{"layer": "a", "x": value}, {"layer": "a", "x": 2.0}, {"layer": "b", "x": None}]}

    assert layers_of([start(1.0), start(3.0)], "x") == {"a": [2.0, 2.0]}
    rows = [{"layer": "a", "gamma_magnitude": 0.5, "gamma_driven": driven} for driven in (True, False)]
    assert layers_of([{"steps": rows}], "gamma_magnitude") == {"a": [0.5, None]}, "no path to the readout"


def test_every_kind_is_drawn_and_reads_a_kind_of_measure():
    assert READS.keys() <= CHARTS.keys()
    assert set(READS.values()) <= MEASUREMENTS.keys()


def test_what_a_picture_names():
    words = {"title": "t", "alt": "a"}
    assert FigureSpec(kind="noise", **words).source == "robust"
    assert FigureSpec(kind="noise", measure="mine", **words).source == "mine"


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
    assert (tmp_path / one["file"]).read_text(encoding="utf-8").startswith("<?xml")
    assert one["alt"].endswith("(at the small setting)")


def test_nothing_is_drawn_of_nothing(tmp_path):
    for name in ("table-1", "figure-8", "stability"):
        assert save_figures(empty_result(name), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_the_same_twice(tmp_path):
    def drawn():
        save_figures(small_result(), tmp_path)
        return (tmp_path / "figure-1-bars.svg").read_bytes()

    first = drawn()
    assert b"dc:date" not in first
    assert drawn() == first
