"""Charts that compare runs."""

from bntt.studies.numbers import styles_of
from bntt.studies.run_charts import failures, folds, layer_spikes, means, scatter
from tests.studies.found import full_result, small_result


def charts(make, name, number=0):
    result = full_result(name)
    return make(result, result.study.figures[number])


def test_every_run_has_its_mean_and_every_start_a_point():
    result = small_result({("bntt", 0): 0.8, ("bntt", 1): 0.9})
    (forest,) = means(result, result.study.figures[0])
    assert [(entry.name, round(entry.value, 6), entry.points) for entry in forest.entries] == [
        ("BNTT", 85.0, (80.0, 90.0)),
        ("none", 80.0, (80.0, 80.0)),
    ]
    assert [entry.colour for entry in forest.entries] == ["bntt", "none"]
    assert (forest.x.label, forest.x.high, forest.x.scale) == ("test accuracy (%)", 100, "linear")


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


def test_folds_and_failures_are_shares():
    (chart,) = charts(folds, "section-3.3")
    assert 0.1 < max(bar.values[0] for bar in chart.bars) < 1
    assert chart.bars[0].name == "the network"
    found = charts(failures, "stability")
    assert [chart.title for chart in found] == ["vgg6", "vgg9"]
    assert {chart.x.scale for chart in found} == {"log"}
    assert all(0 <= share <= 1 for chart in found for line in chart.lines for share in line.y)
