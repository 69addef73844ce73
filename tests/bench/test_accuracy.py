"""Time to an accuracy: every contender has the same weights and learns; a training ends at its target, not later."""

import json
from dataclasses import replace

import pytest
import torch

from bntt.bench import accuracy
from bntt.bench.accuracy import Point, Race, Training, contender, figure, kept, measure, report, train, variants
from bntt.cli import main as program
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.runs.environment import environment
from bntt.training.processes import LostProcessError
from tests.kernels import needs_kernels

RACE = Race("tiny", "fashion-mnist-bundled", "vgg6", 0.25, 0.3, starts=1, num_steps=3, epochs=1, held_out=200, every=10)


@pytest.mark.parametrize("variant", ["reference", "loop"])
def test_a_training_ends_at_its_target(variant):
    with torch.random.fork_rng(devices=[]):  # rivals draw their spikes from torch's generator
        points = list(train(RACE, variant, seed=0))
    assert [point.updates for point in points] == list(range(10, 10 * len(points) + 1, 10))
    assert all(point.accuracy < RACE.target for point in points[:-1])
    assert points[-1].accuracy >= RACE.target, "well above chance within an epoch"
    assert [point.seconds for point in points] == sorted(point.seconds for point in points)
    assert points[0].cpu_seconds > 0


def test_contenders_hold_the_same_weights():
    def made():
        return SpikingClassifier(PoissonEncoder(2, mean=[0.5], std=[0.25]), vgg6(num_steps=2, width=0.25, seed=3))

    (ours, _), (loop, _) = contender("reference", made(), 0), contender("loop", made(), 0)
    ours, loop = ([p for p in one.parameters() if p.ndim > 1 and p.shape[0] != 2] for one in (ours, loop))
    assert len(ours) == len(loop) == 6
    assert all(torch.equal(a, b) for a, b in zip(ours, loop, strict=True))
    with pytest.raises(KeyError):
        contender("magic", made(), 0)


def test_a_report_tells_who_did_not_get_there_and_no_folder():
    quick = Training("fused", 0, [Point(10, 1.0, 2.0, 0.2), Point(20, 2.0, 4.0, 0.4), Point(30, 3.0, 6.0, 0.5)])
    never = Training("fused", 1, [Point(10, 1.0, 2.0, 0.29)])
    written = json.loads(json.dumps(report([(RACE, [quick, never])], threads=2)))
    (case,) = written["cases"]
    assert case["to_target"]["fused"] == {
        "starts": 2,
        "reached": 1,
        "seconds": [2.0],
        "mean_seconds": 2.0,
        "updates": [20],
    }
    assert "root" not in case["race"]
    assert kept(written, replace(RACE, root="elsewhere")) == [quick, never], "a folder is a place of one machine"
    assert kept(written, replace(RACE, epochs=2)) == []
    lines = figure(written).charts[0].lines
    assert [line.name for line in lines] == ["fused, seed 0", "fused, seed 1"]
    assert lines[0].x == [1 / 60, 2 / 60, 3 / 60]


@pytest.mark.slow
@needs_kernels
def test_the_verb_trains_in_processes_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "RACES", (RACE, Race("absent", "images", "vgg6", 1.0, 0.5, 1)))
    out = tmp_path / "b"
    assert (
        program.main(["bench", "--cases", "accuracy", "--variants", "fused", "loop", "fused", "--out", str(out)]) == 0
    )
    shown = capsys.readouterr().out
    assert "not run: absent: " in shown
    assert "tiny: training to 30% of held-out images" in shown
    written = json.loads((out / "accuracy.json").read_text("utf-8"))
    assert [one["variant"] for one in written["cases"][0]["trainings"]] == ["fused", "loop"]
    assert (out / "accuracy.png").exists()

    monkeypatch.setattr(accuracy, "RACES", (replace(RACE, name="other"), RACE))
    assert program.main(["bench", "--cases", "accuracy", "--variants", "loop", "--out", str(out)]) == 0
    assert "tiny: trainings kept from before: 2" in capsys.readouterr().out
    again = json.loads((out / "accuracy.json").read_text("utf-8"))
    assert again["cases"][1] == written["cases"][0], "nothing was trained twice, nothing was lost"
    assert [one["variant"] for one in again["cases"][0]["trainings"]] == ["loop"]

    monkeypatch.setattr(accuracy, "RACES", (replace(RACE, name="third"),))
    assert program.main(["bench", "--cases", "accuracy", "--variants", "loop", "--out", str(out)]) == 0
    third = json.loads((out / "accuracy.json").read_text("utf-8"))
    assert third["cases"][:2] == again["cases"], "races that cannot run now stay"


def test_a_report_of_other_settings_is_not_gone_on_with(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "RACES", (RACE,))
    file = tmp_path / "accuracy.json"
    file.write_text(json.dumps(report([], threads=torch.get_num_threads() + 1) | {"environment": environment()}))
    for before in (file.read_bytes(), b"[]"):
        file.write_bytes(before)
        assert program.main(["bench", "--cases", "accuracy", "--variants", "loop", "--out", str(tmp_path)]) == 2
        assert f"{file} was measured with other threads" in capsys.readouterr().err
        assert file.read_bytes() == before


@pytest.mark.slow
def test_a_contender_that_dies_says_why():
    with pytest.raises(LostProcessError, match="tiny: magic, seed 0: its process ended with exit code 1: KeyError"):
        list(measure(RACE, ["magic"], 1, threads=1))


def test_what_it_cannot_do_is_said(capsys):
    for words, said in (
        (["--cases", "accuracy", "--variants", "magic"], "cannot train magic here; there are "),
        (["--data", "somewhere"], "only --cases accuracy reads data"),
        (["--cases", "accuracy", "--data", "no/such", "--variants", "fused"], "no/such"),
    ):
        assert program.main(["bench", *words]) in (2, 3)
        assert said in capsys.readouterr().err
    assert variants()[0] in {"fused", "reference"}
