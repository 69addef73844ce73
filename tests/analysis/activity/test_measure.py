"""The activity of a run: rows and totals agree, whatever the norm; peaks, and changes from step to step, by hand."""

import pytest
import torch

from bntt.analysis import Activity
from bntt.analysis.activity import ActivityArguments, measure_activity
from bntt.analysis.activity.spike_activity import spikes_of_layer
from bntt.analysis.exit.early_exit import step_changes
from bntt.analysis.measurement import Progress
from bntt.analysis.result import result_from
from bntt.models import mlp
from bntt.nn.network.delays import delays
from tests.trained import opened_run

STEPS = 3


@pytest.fixture(scope="module")
def run():
    return opened_run()


def test_rows_and_totals_agree(run):
    progress = Progress()
    found = measure_activity(run, ActivityArguments(split="validation", draws=2), progress)
    assert progress.done == progress.total == 2 * len(run.data.validation)
    assert sum(row.spikes_per_image for row in found.steps) == pytest.approx(found.spikes_per_image)
    for name, layer in found.layers.items():
        rows = [row for row in found.steps if row.layer == name]
        assert [row.step for row in rows] == [1, 2, 3]
        assert sum(row.spikes_per_image for row in rows) == pytest.approx(layer.spikes_per_image)
        assert max(rows, key=lambda row: row.gamma_magnitude).step == layer.gamma_peak_step
        assert list(layer.spikes_by_class) == list(run.classes)
        assert sum(map(sum, layer.gamma_histogram.counts)) == STEPS * layer.channels
        assert [row.gamma_change is None for row in rows] == [False, False, True]
    assert result_from(type(found), found.to_json()).to_json() == found.to_json()


def test_a_norm_without_steps_has_no_gamma_to_tell_and_a_class_without_images_no_mean():
    run = opened_run(network={"norm": "bn"}, evaluate={"images": 4})
    found = measure_activity(run, ActivityArguments(split="test"), Progress())
    loader = run.loader("test")
    there = loader.data.labels[loader.places].unique().tolist()
    assert 0 < len(there) <= 4
    assert all(list(layer.spikes_by_class) == [run.classes[n] for n in there] for layer in found.layers.values())
    assert all(row.gamma_magnitude is None and not row.gamma_driven for row in found.steps)
    assert [figure.stem for figure in found.figures()] == [""]


def test_peaks_are_where_spikes_reach_the_readout():
    net = mlp(hidden=(2, 2), num_steps=5, fire="before")
    rows = {
        "fc1": torch.tensor([9.0, 1.0, 2.0, 1.0, 9.0])[:, None],
        "fc2": torch.tensor([9.0, 9.0, 1.0, 2.0, 3.0])[:, None],
    }

    def peaks(factor: float) -> list[int | None]:
        activity = Activity(10, {name: factor * row for name, row in rows.items()}, {"fc1": 2, "fc2": 2})
        return [spikes_of_layer(activity, name, delay)[0]["peak_step"] for name, delay in delays(net).items()]

    assert peaks(1.0) == [3, 5]
    assert peaks(0.0) == [None, None]
    short = Activity(10, {"fc1": rows["fc1"][:1]}, {"fc1": 2})
    assert spikes_of_layer(short, "fc1", delays(net)["fc1"])[0]["peak_step"] is None


def test_changes_and_ratios_by_hand():
    net = mlp(in_features=2, hidden=(2,), num_steps=3)
    norm = net.blocks["fc1"].norm
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([[1.0, -2.0], [2.0, -1.0], [2.0, 1.0]]))
        norm.running_var.copy_(torch.tensor([[1.0, 1.0], [4.0, 1.0], [4.0, 1.0]]) - norm.eps)
    found = step_changes(net)["fc1"]
    assert found.gamma.tolist() == pytest.approx([(1 + 1) / (1 + 2), (0 + 2) / (2 + 1)])
    assert found.deviation.tolist() == pytest.approx([(1 + 0) / (1 + 1), 0])


def test_steps_without_a_path_are_marked():
    net = mlp(in_features=2, hidden=(2, 2), num_steps=5, fire="before")
    found = step_changes(net)
    assert torch.isnan(found["fc1"].gamma).tolist() == [False, False, True, True]
    assert torch.isnan(found["fc2"].deviation).tolist() == [True, False, False, True]
    assert step_changes(mlp(hidden=(2,), num_steps=1))["fc1"].gamma.shape == (0,), "one step has no neighbour"
