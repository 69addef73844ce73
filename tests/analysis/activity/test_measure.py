"""The activity of a run: rows and totals agree, whatever the norm; and the spikes of every neuron."""

import io

import numpy as np
import pytest

from bntt.analysis.activity.measure import measure_activity
from bntt.analysis.activity.measurement import ActivityArguments
from bntt.analysis.measurement import Progress
from bntt.analysis.result import result_from
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run

STEPS = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(small_run(tmp_path_factory.mktemp("runs")).path)


def test_rows_and_totals_agree(run):
    progress = Progress()
    found = measure_activity(run, ActivityArguments(split="validation", draws=2, places=True), progress)
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
    with np.load(io.BytesIO(found.attachments()["places.npz"])) as arrays:
        total = sum(float(arrays[name].sum()) for name in arrays.files)
    assert total == pytest.approx(found.spikes_per_image, rel=1e-5)
    assert result_from(type(found), found.to_json()) == found.model_copy(update={"places_npz": b""})


def test_a_norm_without_steps_has_no_gamma_to_tell(tmp_path):
    run = load_run(small_run(tmp_path, network={"norm": "bn"}).path)
    found = measure_activity(run, ActivityArguments(split="validation"), Progress())
    assert all(row.gamma_magnitude is None and not row.gamma_driven for row in found.steps)
    assert not found.attachments()
    assert [figure.stem for figure in found.figures()] == [""]
