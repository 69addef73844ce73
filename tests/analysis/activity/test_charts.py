"""Charts of activity by hand: what has no value is left out or grey, and no axis hides a layer."""

from bntt.analysis.activity.charts import gamma_charts, gamma_distributions, spike_charts
from bntt.analysis.activity.result import ActivityResult
from bntt.analysis.result import result_from
from bntt.charts.files import draw_figure
from tests.analysis.activity.test_result import LAYER, STEP, VALUES


def test_spikes_by_layer_and_class():
    rates, layers, classes = spike_charts(result_from(ActivityResult, VALUES))
    assert [list(line.y) for line in rates.lines] == [[0.25, 0.5, 0.125], [0.0, 0.0, 0.0]]
    assert [(entry.name, entry.value) for entry in layers.entries] == [("conv1", 3.5), ("fc1", 0.0)]
    assert (classes.rows, classes.columns) == (["conv1", "fc1"], ["cat", "dog"])
    assert classes.values == [[0.5, 1.5], [None, None]]


def test_gamma_is_shown_where_it_has_a_path():
    gamma, deviation, change = gamma_charts(result_from(ActivityResult, VALUES))
    assert (gamma.rows, gamma.columns, gamma.values) == (["conv1"], ["1", "2", "3"], [[0.5, 0.5, None]])
    assert deviation.values == [[2.0, 2.0, 2.0]]
    assert (change.columns, change.values) == (["1", "2"], [[0.25, 0.25]])


def test_bins_of_gamma_are_joined_and_the_largest_is_above():
    counts = [0] * 38 + [1, 3]
    histogram = {"edges": [i / 40 for i in range(41)], "counts": [[4] + [0] * 39, counts]}
    values = VALUES | {"layers": {"conv1": LAYER | {"gamma_histogram": histogram}}}
    (chart,) = gamma_distributions(result_from(ActivityResult, values))
    assert (chart.rows[0], chart.rows[-1], len(chart.rows)) == ("0.95", "0.05", 10)
    assert (chart.values[0], chart.values[-1]) == ([None, 1.0], [1.0, None])
    near = LAYER | {"gamma_histogram": {"edges": [0.99, 0.991, 0.992], "counts": [[2, 0]]}}
    (chart,) = gamma_distributions(result_from(ActivityResult, VALUES | {"layers": {"conv1": near}}))
    assert chart.rows == ["0.9915", "0.9905"]


def test_a_silent_network_without_gamma_is_drawn():
    steps = [STEP | {"firing_rate": 0.0, "spikes_per_image": 0.0}]
    layer = LAYER | {"spike_rate": 0.0, "peak_step": None, "spikes_by_class": {"cat": [0.0]}, "gamma_peak_step": None}
    found = result_from(ActivityResult, VALUES | {"layers": {"conv1": layer}, "steps": steps})
    (figure,) = found.figures()
    assert [type(chart).__name__ for chart in figure.charts] == ["Lines", "Forest"]
    draw_figure(figure)
