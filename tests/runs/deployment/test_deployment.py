"""A run outside: its bundles' answers are the library's, the exit is chosen on validation, and both are told."""

import subprocess

import numpy as np
import pytest
import torch
from torch import nn

import bntt
from bntt.analysis import evaluate
from bntt.analysis.exit import threshold_text
from bntt.analysis.measurement import ArgumentError
from bntt.data import FrameSet, SampleLoader, SequenceSet
from bntt.deploy import Description, Runtime, export
from bntt.deploy.description import Encoder, Layer, Neurons, Weights
from bntt.runs.deployment.bundles import beside, chosen_exit
from bntt.runs.deployment.timed import timed
from bntt.runs.exported import describe_run
from bntt.runs.measure import measure
from bntt.runs.recipe.build import facts_of
from tests.rows import each_row
from tests.trained import opened_run
from tests.training.test_fit import data


def described(gamma):
    ones = np.ones((3, 2))
    own = {} if gamma is None else {"gamma": np.array(gamma), "driven": (0, 3)}
    fc1 = Layer("fc1", -1, ones, 0 * ones, Weights(np.ones((2, 4))), Neurons(ones[:1, :1] / 2, ones[:1, :1]), **own)
    readout = Layer("readout", 0, ones, 0 * ones, Weights(np.ones((2, 2))))
    return Description((fc1, readout), Encoder("direct", 3), ("a", "b"), (4,))


@each_row(
    ("gamma", "loss", "chosen"),
    [
        ((0.75, 0.5, 0.25), 0.5, (0.5, 2)),  # loses 0.4 points
        ((0.75, 0.5, 0.25), 0.3, (0.25, 3)),
        ((0.75, 0.5, 0.25), 40, (0.75, 1)),
        ((0.25, 0.5, 0.5), 0.5, (0.5, 3)),
        (None, 100, (None, 3)),
    ],
)
def test_the_highest_threshold_that_loses_no_more_is_chosen(gamma, loss, chosen):
    assert chosen_exit(described(gamma), [0.5, 0.796, 0.8] if gamma else (), loss) == chosen


def test_differences_are_of_pairs():
    """Four images of 100 turn wrong: Agresti and Min's -4/102 ± 1.96 √((5/102 - (4/102)²)/102)."""
    first, other = np.arange(100) < 80, np.arange(100) < 76
    found = beside(other, first)
    assert found["difference"] == pytest.approx(-0.04)
    assert found["difference_95"] == pytest.approx((-0.0392 - 0.0423, -0.0392 + 0.0423), abs=1e-4)
    low, high = beside(first, first.copy())["difference_95"]
    assert low == -high < 0, "as many right answers of 100 say little of other images"


def test_a_run_has_the_librarys_answers(tmp_path):
    run = opened_run()
    found = measure("deployment", run, folder=tmp_path, images=400, rounds=1, loss=100)
    right = evaluate(run.model, run.loader("test", 400), seed=run.seed, draws=1).accuracy.correct[0]
    assert [(way.weights, way.steps) for way in found.ways[::2]] == [(w, 3) for w in ("float32", "float16", "int8")]
    for way in found.ways[:2]:
        assert abs(way.accuracy * 400 - right[way.steps - 1]) <= 1  # a tie
        assert way.difference == pytest.approx(way.accuracy - found.ways[0].accuracy)
        assert (way.difference_95[0] is None) == (way is found.ways[0])
    assert found.ways[1].steps < 3
    assert found.images == 400
    assert [way.bytes for way in found.ways[::2]] == sorted({way.bytes for way in found.ways}, reverse=True)
    assert found.ways[0].agreement == 1 > found.ways[1].agreement
    assert all(0 < way.milliseconds < 1000 for way in found.ways)
    assert threshold_text(found.threshold) in found.section().words[0], "typed, it stops there"
    late = found.model_copy(update={"ways": [way.model_copy(update={"steps": 3}) for way in found.ways]})
    assert late.section().words[0].startswith("No exit")
    with pytest.raises(ArgumentError, match="chooses on validation"):
        measure("deployment", run, folder=tmp_path, split="validation")


def test_bundles_are_timed_on_one_thread_whatever_the_machine_is_told(tmp_path, monkeypatch):
    export(described(None), tmp_path / "own")
    np.save(tmp_path / "sample.npy", np.ones((1, 4), np.float32))
    told, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **named: told.append(named["env"]) or run(*args, **named))
    for name in (names := ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")):
        monkeypatch.setenv(name, "2")
    assert timed(tmp_path, ["own"], [3, 1], 1).keys() == {("own", 3), ("own", 1)}
    assert [told[0][name] for name in names] == ["1"] * 3
    with pytest.raises(RuntimeError, match=r"\.BundleError"):
        timed(tmp_path, ["none"], [3], 1)


@pytest.mark.slow
def test_what_has_no_gamma_runs_on_and_what_cannot_leave_is_named(tmp_path):
    plain = measure("deployment", opened_run(network={"norm": "bn"}), folder=tmp_path, images=50, rounds=1)
    assert (plain.threshold, plain.validation_images, len(plain.ways)) == (None, 0, 3)
    assert plain.section().words[0].startswith("No exit")
    with pytest.raises(ArgumentError, match="'conv1' cannot leave PyTorch"):
        measure("deployment", opened_run(network={"norm": "layer"}), folder=tmp_path)


@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_networks_put_together_for_sequences_and_features_are_described(tmp_path, rng):
    torch.manual_seed(1)  # a test before this one may have seeded it otherwise, with silent networks
    rows = SequenceSet(data(12), "rows")
    features = FrameSet(torch.rand(12, 4, 5, generator=rng), torch.arange(12) % 3, ("a", "b", "c"))
    count = bntt.nn.SpikeCount(nn.Linear(6, 3), bntt.LIF(threshold=0.1))
    kinds = (rows, bntt.SequenceEncoder(4), bntt.Readout(nn.Linear(6, 3))), (features, bntt.FrameEncoder(4), count)
    for number, (samples, encoder, readout) in enumerate(kinds):
        block = bntt.SpikingBlock(nn.Linear(4 + number, 6), bntt.BNTT(6, num_steps=4), bntt.LIF())
        model = bntt.SpikingClassifier(encoder, bntt.SpikingNetwork({"fc1": block}, readout))
        run, loader = tmp_path / str(number), SampleLoader(samples, 6)
        bntt.fit(model, loader, epochs=1, validation=loader, test=loader, directory=run)
        opened, x = bntt.load_run(run, model=model), samples.batch(torch.arange(12))
        found = Runtime(describe_run(opened), "float64").run(x.double().numpy())
        expected = model.double().eval()(x.double()).detach().numpy()
        assert expected.any()
        assert np.abs(found - expected).max() < 1e-12
    with pytest.raises(ArgumentError, match="SpikeCount"):
        measure("energy", bntt.load_run(run, model=model.float()))
    block.lif = bntt.nn.Rectifier()
    assert facts_of(opened.recipe, model).is_ann
