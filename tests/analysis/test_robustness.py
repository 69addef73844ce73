"""Runs on noisy images: every row is an evaluation of its own, on the same images and the same noise."""

import dataclasses
import shutil

import pytest
import torch

from bntt.analysis import evaluate, paired
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.result import result_from
from bntt.analysis.robustness import RobustArguments, RobustResult, measure_robustness
from bntt.data import PartLoader, stratified
from bntt.models import mlp
from bntt.nn import DirectEncoder, FrameEncoder, NoisyEncoder, PoissonEncoder, SpikingClassifier
from tests.trained import opened_run


def noise(*sigmas, **asked):
    return RobustArguments(sigmas=sigmas or (0.3,), **asked)


def measured(opened, asked):
    return measure_robustness(opened, asked, Progress())


def moved(loaded, path, **changes):
    """A copy of a run at another place, with the same data at hand."""
    shutil.copytree(loaded.path, path)
    copy = dataclasses.replace(loaded, path=path, **changes)
    copy.__dict__["data"] = loaded.data
    return copy


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by their encoder, of networks that differ."""
    root = tmp_path_factory.mktemp("runs")
    poisson = opened_run()
    poisson.__dict__["data"] = dataclasses.replace(poisson.data, test=poisson.data.test.select(torch.arange(80)))
    encoder, net = poisson.model.encoder, poisson.model.network
    other = mlp(in_features=784, hidden=(32,), num_steps=3, seed=2)

    def beside(name, encoder, network=net):
        model = SpikingClassifier(encoder, network).eval()
        return moved(poisson, root / name, model=model)

    return {
        "poisson": poisson,
        "direct": beside("direct", DirectEncoder(3, mean=encoder.mean, std=encoder.std), other),
        "unsigned": beside("unsigned", PoissonEncoder(3, signed=False)),
        "frames": beside("frames", FrameEncoder(3)),
    }


def by_hand(loaded, sigma, draws, places, **options):
    """What one row should hold."""
    pairs = PartLoader(loaded.data.test, places, 13)  # of any size
    model = SpikingClassifier(NoisyEncoder(loaded.model.encoder, sigma, **options), loaded.model.network)
    return evaluate(model, pairs, seed=loaded.recipe.seed, draws=draws)


def test_rows_are_evaluations_and_differences_are_paired(runs):
    both, progress = [runs["poisson"], runs["direct"]], Progress()
    found = measure_robustness(both, noise(0.5, 0.2, 0.5, images=24, draws=2), progress)
    places = stratified(both[0].data.test, 24)
    assert progress.done == progress.total == 24 * (3 * 2 + 1 + 2 * 2)
    assert (found.images_chosen, found.classes) == ("24 of 80, stratified by class, seed 0", 10)
    for run, loaded in zip(found.runs, both, strict=True):
        assert [row.sigma for row in run.rows] == [0, 0.2, 0.5]
        for row in run.rows:
            draws = 1 if loaded is both[1] and row.sigma == 0 else 2
            theirs = by_hand(loaded, row.sigma, draws, places)
            accuracy = theirs.accuracy
            assert (row.accuracy, row.sd_over_draws, row.draws) == (accuracy.mean, accuracy.spread, draws)
            assert (row.low_95, row.high_95) == accuracy.interval
            assert (tuple(row.accuracy_per_draw), tuple(row.accuracy_over_time)) == (
                accuracy.per_draw,
                accuracy.over_time,
            )
            assert row.clean_accuracy == run.rows[0].accuracy
            if run is found.runs[0]:
                assert row.to_first is row.to_first_low_95 is row.to_first_high_95 is None
                continue
            expected = paired(theirs.right, by_hand(both[0], row.sigma, 2, places).right)
            assert (row.to_first, row.to_first_low_95, row.to_first_high_95) == (
                expected.difference,
                *expected.interval,
            )
    assert [row.redrawn for row in found.runs[0].rows] == ["spikes", "spikes, noise", "spikes, noise"]
    assert [row.redrawn for row in found.runs[1].rows] == ["nothing", "noise", "noise"]


def test_what_is_asked_reaches_the_noise(runs):
    for asked, options in (
        ({"where": "normalized"}, {"where": "normalized"}),
        ({"unclipped": True}, {"clip": False}),
    ):
        found = measured([runs["poisson"]], noise(0.8, images=30, draws=1, **asked))
        expected = by_hand(runs["poisson"], 0.8, 1, stratified(runs["poisson"].data.test, 30), **options).accuracy
        assert tuple(found.runs[0].rows[1].accuracy_over_time) == expected.over_time
        assert (found.sigma_in, found.clipped) == (asked.get("where", "pixels"), "unclipped" not in asked)


def test_draws_are_the_recipes_where_none_are_named(runs):
    found = measured([runs["direct"]], noise(images=20))
    assert [row.draws for row in found.runs[0].rows] == [1, runs["direct"].recipe.evaluate.draws]


def test_refusals_before_anything_is_measured(runs, monkeypatch):
    progress, other = Progress(), runs["direct"]
    for pick, asked, named in (
        (["poisson"] * 2, noise(images=9), "twice"),
        (["poisson"], noise(images=81), "--images 81"),
        (["poisson", "unsigned"], noise(unclipped=True), "unsigned"),
        (["unsigned"], noise(where="normalized"), "mean and std"),
        (["direct"], noise(0, draws=2), "--draws 2"),
        (["frames"], noise(), "FrameEncoder"),
    ):
        with pytest.raises(ArgumentError, match=named):
            measure_robustness([runs[name] for name in pick], asked, progress)
    images = other.data.test
    for changed in (
        dataclasses.replace(images, images=255 - images.images),
        dataclasses.replace(images, labels=images.labels.flip(0)),
        images.select(torch.arange(70)),
    ):
        monkeypatch.setitem(other.__dict__, "data", dataclasses.replace(other.data, test=changed))
        with pytest.raises(ArgumentError, match="test images"):
            measure_robustness([runs["poisson"], other], noise(images=50), progress)
        monkeypatch.undo()
    assert not progress.total


def test_runs_are_called_by_what_tells_them_apart(runs, tmp_path):
    asked, loaded = noise(0, images=9, draws=1), [moved(runs["poisson"], tmp_path / folder / "tiny") for folder in "ab"]
    assert [run.run for run in measured(loaded, asked).runs] == [str(one.path) for one in loaded]
    loaded[1] = moved(loaded[1], tmp_path / "other")
    assert [run.run for run in measured(loaded, asked).runs] == ["tiny", "other"]


def row(run, sigma, accuracy, to_first, **changes):
    low, high = (None, None) if to_first is None else (to_first - 0.1, to_first + 0.1)
    values = {
        "run": run, "sigma": sigma, "accuracy": accuracy,
        "low_95": accuracy - 0.1, "high_95": accuracy + 0.1, "sd_over_draws": 0.02, "clean_accuracy": 0.9,
        "to_first": to_first, "to_first_low_95": low, "to_first_high_95": high, "draws": 2, "redrawn": "noise",
        "seconds": 1.0,
        "accuracy_per_draw": [accuracy + 0.02, accuracy - 0.02], "accuracy_over_time": [0.25, accuracy],
    }  # fmt: skip
    return values | changes


def run(name, norm, accuracies, first, **changes):
    rows = [row(name, sigma, a, None if first else -0.2 * sigma, **changes) for sigma, a in accuracies.items()]
    facts = {"network": "vgg6", "norm": norm, "encoder": "poisson", "num_steps": 3, "epoch": 4}
    return {"run": name, **facts, "rows": rows}


def result(*runs, **changes):
    values = {
        "dataset": "made", "split": "test", "classes": 10, "images": 100, "images_chosen": "all 100",
        "sigma_in": "pixels", "clipped": True, "noise_seed": 0, "runs": list(runs),
    }  # fmt: skip
    return result_from(RobustResult, values | changes)


ONE = run("mine", "bntt", {0: 0.9, 0.5: 0.4}, first=True)
SEVERAL = (
    ONE,
    run("longer", "bntt", {0: 0.8, 0.5: 0.6}, first=False),
    run("bn", "bn", {0: 0.8, 0.5: 0.3}, first=False),
)


def test_several_runs_with_their_differences():
    found = result(*SEVERAL)
    accuracy, difference, by_steps = found.section().charts
    assert [line.colour for line in accuracy.lines] == ["bntt", "longer", "bn"]
    assert (list(accuracy.lines[0].x), list(accuracy.lines[0].y)) == ([0, 0.5], [0.9, 0.4])
    assert list(accuracy.lines[0].high) == pytest.approx([1.0, 0.5])
    assert [level.value for level in accuracy.levels] == [0.1]
    assert [line.name for line in difference.lines] == ["longer", "bn"]
    assert list(difference.lines[1].y) == pytest.approx([0, -10])
    assert list(difference.lines[1].low) == pytest.approx([-10, -20])
    assert {line.name: list(line.y) for line in by_steps.lines} == {"σ 0": [0.25, 0.9], "σ 0.5": [0.25, 0.4]}
    (shown,) = found.section().folded
    assert [cell.text for cell in shown.rows[-1]][-2:] == ["-10.0%", "-20.0% to +0.0%"]
    assert [(line["run"], line["sigma"]) for line in found.rows()][:3] == [("mine", 0), ("mine", 0.5), ("longer", 0)]
    alone = result(ONE, classes=None).section()
    assert len(alone.charts) == 2
    assert not alone.charts[0].levels
    assert alone.folded[0].columns[-1] == "seconds"
    with pytest.raises(ValueError, match=r"^runs: "):
        result()


def test_numbers_are_those_of_the_first_run():
    found, metrics = result(*SEVERAL), RobustResult.metrics()
    assert metrics["noisy-accuracy"].read(found, 0.5) == pytest.approx(40)
    assert metrics["noise-loss"].read(found, 0.5) == pytest.approx(50)
    assert metrics["noise-loss"].read(found, 0.4) is None
    for accuracies, area in (({0: 0.9, 0.1: 0.7, 0.5: 0.5}, (0.1 * 80 + 0.4 * 60) / 0.5), ({0: 0.9}, 90)):
        found = result(run("mine", "bntt", accuracies, first=True))
        assert metrics["noise-area"].read(found, None) == pytest.approx(area)
