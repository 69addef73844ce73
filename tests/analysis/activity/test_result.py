"""The record of activity: its numbers by hand, and what its pictures leave out."""

import pytest
from scipy import stats

from bntt.analysis.activity import ActivityResult, depth_correlation
from bntt.analysis.result import result_from

LAYER = {
    "neurons": 4, "channels": 2, "spike_rate": 0.875, "peak_step": 2, "gamma_peak_step": 1,
    "spikes_by_class": {"cat": [0.5, 1.0, 0.25], "dog": [1.5, 3.0, 0.75]},
}  # fmt: skip
STEP = {"layer": "conv1", "step": 1, "spikes_per_image": 1.0, "firing_rate": 0.25}
GAMMA = {"gamma_magnitude": 0.5, "gamma_driven": True, "deviation": 2.0, "gamma_change": 0.25}
UNDRIVEN = {"gamma_magnitude": 0.05, "gamma_driven": False, "gamma_change": None}
VALUES = {
    "dataset": "made",
    "split": "test",
    "images": 7,
    "spikes_per_image": 3.5,
    "layers": {
        "conv1": LAYER,
        "fc1": {"neurons": 2, "channels": 2, "spike_rate": 0.0, "peak_step": None, "spikes_by_class": {"cat": [0.0]}},
    },
    "steps": [
        STEP | GAMMA,
        STEP | GAMMA | {"step": 2, "firing_rate": 0.5},
        STEP | GAMMA | {"step": 3, "firing_rate": 0.125} | UNDRIVEN,
        *(STEP | {"layer": "fc1", "step": t, "firing_rate": 0.0} for t in (1, 2, 3)),
    ],
    "findings": [{"layer": "fc1", "kind": "dead", "share": 1.0, "text": "layer fc1 never fires"}],
}


def test_numbers_by_hand():
    layers = {f"conv{n}": LAYER | {"peak_step": peak} for n, peak in enumerate((1, 2, None, 3))}
    found = result_from(ActivityResult, VALUES | {"layers": layers})
    assert {name: metric.read(found, None) for name, metric in found.metrics().items()} == {
        "gamma-later": 0.0,  # all peak alike
        "gamma-peak": 1,
        "gamma-first": None,  # the other layer has no γ
        "gamma-last": None,
        "gamma-smallest": 0.5,
        "gamma-change": 25,
        "deviation-change": None,
        "spikes-later": pytest.approx(1),
        "spikes-peak": 3,
        "spikes-first": None,  # the other layer is silent
        "spikes-last": None,
        "last-step": 25,  # of conv1; the other layer is silent
    }


def test_a_curve_that_stays_at_its_peak_does_not_fall():
    """Behind the first layer: 0.1, 0.4, 0.3 and 0.2, 0.2, 0.2 of the peak are 25 and 100 % first, 75 and 100 % last."""
    curves = {"conv1": (0.9, 0.1, 0.1), "conv2": (0.1, 0.4, 0.3), "fc1": (0.2, 0.2, 0.2)}
    steps = [
        STEP | GAMMA | {"layer": name, "step": t, "firing_rate": value, "gamma_magnitude": 2 * value}
        for name, row in curves.items()
        for t, value in enumerate(row, 1)
    ]
    for name in curves:  # γ of a step without a path is no last one, and no peak either
        steps.append(STEP | {"layer": name, "step": 4, "firing_rate": curves[name][-1]} | UNDRIVEN)
        steps[-1]["gamma_magnitude"] = 9.0
    found = result_from(ActivityResult, VALUES | {"steps": steps})
    for key in ("spikes", "gamma"):
        assert found.metrics()[f"{key}-first"].read(found, None) == pytest.approx((25 + 100) / 2)
        assert found.metrics()[f"{key}-last"].read(found, None) == pytest.approx((75 + 100) / 2)


def test_depth_correlation_is_spearmans():
    peaks = [4, 1, 4, 6, 6, 2]
    assert depth_correlation(peaks) == pytest.approx(float(stats.spearmanr(range(6), peaks).statistic))
    assert depth_correlation([1, 2]) is None
    assert depth_correlation([4, 4, 4]) == 0.0, "a start that speaks against a claim is not missing"


def test_pictures_show_spikes_by_layer_and_class_and_gamma_where_it_has_a_path():
    found = result_from(ActivityResult, VALUES)
    rates, layers, classes, gamma, deviation, change = found.section().charts
    assert [list(line.y) for line in rates.lines] == [[0.25, 0.5, 0.125], [0.0, 0.0, 0.0]]
    assert [(entry.name, entry.value) for entry in layers.entries] == [("conv1", 3.5), ("fc1", 0.0)]
    assert classes.values == [[0.5, 1.5], [None, None]], "relative to the layer's mean"
    assert (gamma.rows, gamma.values) == (["conv1"], [[0.5, 0.5, None]])
    assert deviation.values == [[2.0, 2.0, 2.0]]
    assert (change.columns, change.values) == (["1", "2"], [[0.25, 0.25]])
    silent = LAYER | {"spike_rate": 0.0, "spikes_by_class": {"cat": [0.0]}}
    (figure,) = result_from(ActivityResult, VALUES | {"layers": {"conv1": silent}, "steps": [STEP]}).figures()
    assert [type(chart).__name__ for chart in figure.charts] == ["Lines", "Forest"]
