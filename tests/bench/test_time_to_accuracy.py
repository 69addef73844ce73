"""Time to an accuracy: every contender has the same weights and learns; a training ends at its target, not later."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import __main__ as program
from benchmarks import time_to_accuracy
from benchmarks.time_to_accuracy import TimeToAccuracy, contender, summary, train
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests.kernels import needs_kernels

TINY = TimeToAccuracy(
    "tiny", "fashion-mnist-bundled", "vgg6", 0.25, 0.3, starts=1, num_steps=3, epochs=1, held_out=200, every=10
)


@pytest.mark.parametrize("variant", ["reference", "loop"])
def test_a_training_ends_at_its_target(variant):
    with torch.random.fork_rng(devices=[]):  # baselines draw their spikes from torch's generator
        points = list(train(TINY, variant, seed=0))
    assert [point["updates"] for point in points] == list(range(10, 10 * len(points) + 1, 10))
    assert all(point["accuracy"] < TINY.target for point in points[:-1])
    assert points[-1]["accuracy"] >= TINY.target, "well above chance within an epoch"
    assert [point["seconds"] for point in points] == sorted(point["seconds"] for point in points)
    assert points[0]["cpu_seconds"] > 0


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
    def training(seed, *accuracies):
        points = [
            {"updates": 10 * i, "seconds": float(i), "cpu_seconds": 2.0 * i, "accuracy": accuracy}
            for i, accuracy in enumerate(accuracies, 1)
        ]
        return {"variant": "fused", "seed": seed, "points": points}

    found = summary(replace(TINY, root="elsewhere"), [training(0, 0.2, 0.4), training(1, 0.2, 0.29)])
    told = {"starts": 2, "reached": 1, "seconds": [2.0], "mean_seconds": 2.0, "updates": [20]}
    assert found["to_target"]["fused"] == told
    assert [one["seed"] for one in found["trainings"]] == [0, 1]
    assert "root" not in found["race"], "a path of one machine"


@pytest.mark.slow
@needs_kernels
def test_the_trainings_of_a_benchmark(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(time_to_accuracy, "TARGETS", (TINY, TimeToAccuracy("absent", "images", "vgg6", 1.0, 0.5, 1)))
    program.main(["--cases", "accuracy", "--variants", "fused", "loop", "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "not run: absent: " in shown
    assert "tiny: training to 30% of held-out images" in shown
    (case,) = json.loads((tmp_path / "accuracy.json").read_text("utf-8"))["cases"]
    assert [one["variant"] for one in case["trainings"]] == ["fused", "loop"]
    assert case["to_target"]["loop"]["reached"] == 1


def test_without_data_nothing_is_trained_or_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(time_to_accuracy, "TARGETS", (TimeToAccuracy("absent", "cifar10", "vgg6", 1.0, 0.5, 1),))
    with pytest.raises(SystemExit, match="no data"):
        program.main(
            ["--cases", "accuracy", "--variants", "reference", "--data", str(tmp_path / "no"), "--out", str(tmp_path)]
        )
    assert "not run: absent (pictures): " in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
