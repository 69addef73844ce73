"""What a training will cost, before it begins."""

import re
import time

import pytest

import bntt
from bntt.analysis.accuracy import EVALUATE, EvaluateArguments
from bntt.cli import main as cli
from bntt.io.memory import resident
from bntt.runs.directory import RunDirectory
from bntt.runs.measure import _Stopwatch, estimate_measurement
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_model
from bntt.runs.training import estimate
from bntt.runs.training.estimate import (
    Clock,
    estimate_training,
    fastest_update,
    kept_bytes,
    modelled,
    spoken,
    time_left,
    update_seconds,
)
from bntt.runs.training.start import build_session
from bntt.training.processes import Processes
from tests.runs.tiny import parts, recipe
from tests.trained import trained_run


def test_updates_and_the_size_of_a_checkpoint_are_those_of_the_run():
    run = RunDirectory(trained_run().path)
    of = recipe(train={"epochs": 2, "lr": 0.3})
    file = max(path.stat().st_size for path in run.checkpoints.paths())
    for found in (estimate_training(of, parts(of)), modelled(of, parts(of), build_model(of, parts(of)))):
        assert found.updates == run.training_cost()["updates"]
        assert 0.5 * file < found.checkpoint_bytes <= file
        assert found.seconds > 0
        assert 50 << 20 < found.peak_bytes < resident("VmHWM") + (4 << 30)  # of the process, with the tests before


def test_more_threads_shorten_no_updates_fixed_part():
    network = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=2)
    shared = [update_seconds(network, (2, 5, 4), 5, threads) - estimate.FIXED for threads in (1, 2)]
    assert shared[0] == pytest.approx(2 * shared[1])
    assert shared[1] > 0


def test_only_the_kernels_keep_fewer_steps():
    network, shape = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=100), (100, 5, 4)
    own = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=100, surrogate=lambda v: (-v.abs()).exp())
    whole, plain = (kept_bytes(one, shape) for one in (network, own))
    network.compute = own.compute = bntt.Compute(recompute=5)
    assert kept_bytes(network, shape) == 0.25 * whole
    assert kept_bytes(own, shape) == plain


def test_the_time_left_counts_growing_epochs_seldom_validation_and_the_test():
    of = recipe(train={"epochs": 4, "grow": [[1, 2]]}, evaluate={"draws": 2, "every": 3}, network={"num_steps": 2})
    data = parts(of)  # 60 samples to train on and to test, 3 updates an epoch; two epochs take one step of two
    assert time_left(of, data, 2.0, sample=0.0) == 3 + 3 + 6 + 6
    assert time_left(of, data, 0.0, sample=1.0) == 2 * len(data.validation) + 2 * data.manifest.images["test"]
    session = build_session(of, data, Processes())
    fastest_update(session, 0)
    assert session.grown, "time and memory are those of all steps"


def test_the_flag_writes_nothing(tmp_path, capsys):
    small = [
        "-s",
        "network.width=0.125",
        "-s",
        "network.num_steps=2",
        "-s",
        "train.epochs=3",
    ]
    assert cli.main(["train", "demo", *small, "--estimate", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "3 epochs of batches of 45: 300 updates, about" in out
    assert not list(tmp_path.iterdir())


def test_a_measurement_is_left_at_the_second_batch():
    opened = load_run(trained_run().path)
    before = sorted(opened.path.rglob("*"))
    said = estimate_measurement(EVALUATE, [opened], EvaluateArguments(draws=3), seconds=0)
    assert re.fullmatch(r"about \S+ (seconds|minutes), by the fastest of 2 batches in .* s", said), said
    assert sorted(opened.path.rglob("*")) == before


def test_the_fastest_batch_after_the_first_tells_the_time_without_what_is_kept(monkeypatch):
    laps = iter([9.0, 1.0, 2.0, 1.0, 10.0])
    monkeypatch.setattr(Clock, "lap", lambda self: next(laps))
    watch = _Stopwatch(100)
    watch.expect(1000)
    watch(10)  # 9 s: sets up
    watch.skip(500)  # 1 s
    watch(10)  # 2 s
    watch(10)  # 1 s: the fastest
    watch(10)  # 10 s: the machine was busy
    assert watch.text().startswith("about 50 seconds, by the fastest of 4 batches in ")


def test_a_lap_is_without_the_time_that_others_had_the_processor():
    clock = Clock()
    time.sleep(0.2)
    assert clock.lap() < 0.1


def test_times_are_said_in_a_unit_that_fits():
    said = ["less than 0.1 seconds", "about 0.2 seconds", "about 90 seconds", "about 10.0 minutes", "about 2.5 hours"]
    assert [spoken(seconds) for seconds in (0.01, 0.25, 90, 600, 9000)] == said
