"""The model of an update's time finds the numbers that made its data, and says how wrong it is elsewhere."""

import importlib
import json
from pathlib import Path

import pytest

from tests.kernels import needs_kernels

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("pages.scaling")


def test_work_is_counted_of_every_sample_step_and_pass(scaling):
    first, other = scaling.FITTED[0], scaling.UNSEEN[0]
    one, more = (scaling.Work.of(point.case(point.batch)) for point in (first, other))
    conv1 = 32 * 32 * 16 * 27  # width 0.25: 3 -> 16 channels
    assert one.macs > scaling.PASSES * first.num_steps * first.batch * conv1
    assert one.neuron_steps == first.num_steps * first.batch * (2 * 16 * 1024 + 2 * 32 * 256 + 3 * 64 * 64 + 256 + 10)
    assert more.neuron_steps / one.neuron_steps == pytest.approx(2 * 8 * 64 / (4 * 16), rel=1e-3)


def test_points_that_were_not_fitted_tell_how_wrong_the_model_is(scaling):
    true = scaling.Model(mac=9e-12, neuron=2e-9, fixed=0.02, gain=0.8, share=0.7, byte=3e-9)
    measured = {
        point: true.seconds(scaling.Work.of(point.case(point.batch)), point)
        for point in scaling.FITTED + scaling.UNSEEN
    }
    slow = scaling.UNSEEN[0]
    measured[slow] *= 1.25
    found = json.loads(json.dumps(scaling.report(measured.items())))
    assert found["model"]["mac"] == pytest.approx(true.mac, rel=1e-3)
    assert [found["model"][key] for key in ("gain", "share", "byte")] == pytest.approx([0.8, 0.7, 3e-9], rel=1e-3)
    errors = {row["name"]: row["error"] for row in found["points"] if not row["seen"]}
    assert errors[slow.name] == pytest.approx(-0.2, abs=1e-3)
    assert all(abs(error) < 1e-3 for name, error in errors.items() if name != slow.name)


def test_the_kept_report_has_the_model_that_is_fitted_to_its_times(scaling):
    kept = json.loads(scaling.MEASURED.read_text(encoding="utf-8"))
    points = {point.name: point for point in scaling.FITTED + scaling.UNSEEN}
    found = scaling.report((points[row["name"]], row["seconds"]) for row in kept["points"])
    assert found["model"] == pytest.approx(kept["model"], rel=1e-6)
    assert [row["seen"] for row in found["points"]] == [row["seen"] for row in kept["points"]]


def test_no_part_is_negative(scaling):
    assert min(scaling._nonnegative([[1.0, 1.0], [2.0, 1.0], [4.0, 1.1]])) == 0


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("how", [(1, 1), (2, 1), (1, 2)])
def test_an_update_is_timed_in_threads_and_in_processes(scaling, how):
    assert scaling.update_seconds(scaling.Point(0.05, 2, 4, *how)) > 0
