"""What a run's activity is told as."""

import io
import json

import numpy as np
import pytest

from bntt.runs.measures.activity import activity_json, activity_rows, activity_run, places_file
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_run(small_run(tmp_path_factory.mktemp("runs")).path)


def test_rows_and_totals_agree(loaded):
    done = []
    result = activity_run(loaded, split="validation", draws=2, places=True, progress=done.append)
    assert sum(done) == 2 * len(loaded.data.validation)
    rows, values = activity_rows(result), json.loads(json.dumps(activity_json(result), allow_nan=False))
    assert sum(row["spikes_per_image"] for row in rows) == pytest.approx(values["spikes_per_image"])
    for layer, told in values["layers"].items():
        of_layer = [row for row in rows if row["layer"] == layer]
        assert [row["step"] for row in of_layer] == [1, 2, 3]
        assert sum(row["spikes_per_image"] for row in of_layer) == pytest.approx(told["spike_rate"] * told["neurons"])
        assert max(of_layer, key=lambda row: row["gamma_magnitude"])["step"] == told["gamma_peak_step"]
        assert len(told["spikes_by_class"]) == 10
        assert sum(map(sum, told["gamma_histogram"]["counts"])) == 3 * told["channels"]
    assert of_layer[-1]["gamma_change"] is None
    with np.load(io.BytesIO(places_file(result))) as arrays:
        total = sum(float(arrays[name].sum()) for name in arrays.files)
    assert total == pytest.approx(values["spikes_per_image"], rel=1e-5)


def test_a_norm_without_steps_has_no_gamma_to_tell(tmp_path):
    result = activity_run(load_run(small_run(tmp_path, network={"norm": "bn"}).path), split="validation")
    assert not result.spread
    assert all(row["gamma_magnitude"] is None and not row["gamma_driven"] for row in activity_rows(result))
