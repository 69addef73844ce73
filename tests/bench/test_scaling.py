"""The model of an update's time finds the numbers that made its data, and says how wrong it is elsewhere."""

import json

import pytest

from bntt.bench import scaling
from bntt.bench.scaling import FITTED, UNSEEN, Model, Work, fit, report
from bntt.cli import main as cli
from tests.kernels import needs_kernels

TRUE = Model(mac=9e-12, neuron=2e-9, fixed=0.02, gain=0.8, share=0.7, byte=3e-9)


def test_work_is_counted_of_every_sample_step_and_pass():
    case = FITTED[0].case
    one, more = Work.of(case), Work.of(UNSEEN[0].case)
    conv1 = 32 * 32 * 16 * 27  # width 0.25: 3 -> 16 channels
    assert one.macs > scaling.PASSES * case.num_steps * case.batch * conv1
    assert one.neuron_steps == case.num_steps * case.batch * (2 * 16 * 1024 + 2 * 32 * 256 + 3 * 64 * 64 + 256 + 10)
    assert more.neuron_steps / one.neuron_steps == pytest.approx(2 * 8 * 64 / (4 * 16), rel=1e-3)


def test_points_that_were_not_fitted_tell_how_wrong_the_model_is():
    measured = {point: TRUE.seconds(Work.of(point.case), point.threads, point.processes) for point in FITTED + UNSEEN}
    slow = UNSEEN[0]
    measured[slow] *= 1.25
    found = json.loads(json.dumps(report(measured)))
    assert found["model"]["mac"] == pytest.approx(TRUE.mac, rel=1e-3)
    assert [found["model"][key] for key in ("gain", "share", "byte")] == pytest.approx([0.8, 0.7, 3e-9], rel=1e-3)
    errors = {row["name"]: row["error"] for row in found["points"] if not row["seen"]}
    assert errors[slow.name] == pytest.approx(-0.2, abs=1e-3)
    assert all(abs(error) < 1e-3 for name, error in errors.items() if name != slow.name)


def test_no_part_is_negative():
    works = [(Work(1e9, 1e6), 1.0), (Work(2e9, 1e6), 1.9), (Work(1e9, 9e6), 0.9), (Work(4e9, 4e6), 3.5)]
    rows = [(work, 1, 1, seconds) for work, seconds in works]
    assert min(fit(rows).mac, fit(rows).neuron, fit(rows).fixed) >= 0
    assert fit([*rows, (Work(4e9, 4e6), 2, 1, 3.9)]).gain == 0, "a second thread that only disturbs"


@pytest.mark.slow
@needs_kernels
def test_the_verb(tmp_path, capsys, monkeypatch):
    several = ((2, 1, 1), (8, 1, 1), (8, 2, 1), (8, 1, 2))
    small = [scaling._point(0.05, 2, *how) for how in several]
    monkeypatch.setattr(scaling, "FITTED", small[:2])
    monkeypatch.setattr(scaling, "UNSEEN", small[2:])
    assert cli.main(["bench", "--cases", "scaling", "--rounds", "1", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "unseen" in shown
    assert "a model, not run" in shown
    assert [row["seen"] for row in json.loads((tmp_path / "scaling.json").read_text("utf-8"))["points"]] == [1, 1, 0, 0]
