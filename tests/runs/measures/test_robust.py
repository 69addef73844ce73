"""Runs on noisy images: every row is an evaluation of its own, on the same images and the same noise."""

import dataclasses
import json

import pytest
import torch

from bntt.analysis import evaluate, paired
from bntt.analysis.accuracy.accuracy import wilson
from bntt.data import PartLoader, stratified
from bntt.runs.open_run import load_run
from bntt.analysis.measurement import ArgumentError
from bntt.runs.recipe.file import RecipeError
from bntt.runs.measures.robust import Noise, images_in_all, robust_json, robust_rows, robust_run
from bntt.models import mlp
from bntt.nn import DirectEncoder, FrameEncoder, NoisyEncoder, PoissonEncoder, SpikingClassifier
from tests.runs.measured import small_run


def moved(loaded, path, **changes):
    """A run at another place, which may be none, with the same data at hand."""
    copy = dataclasses.replace(loaded, path=path, **changes)
    copy.__dict__["data"] = loaded.data
    return copy


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by their encoder, of networks that differ."""

    poisson = load_run(small_run(tmp_path_factory.mktemp("runs")).path)
    poisson.__dict__["data"] = dataclasses.replace(poisson.data, test=poisson.data.test.select(torch.arange(120)))
    encoder, net = poisson.model.encoder, poisson.model.network
    other = mlp(in_features=784, hidden=(32,), num_steps=3, seed=2)

    def beside(name, encoder, network=net):
        model = SpikingClassifier(encoder, network).eval()
        return moved(poisson, poisson.path.with_name(name), model=model)

    return {
        "poisson": poisson,
        "direct": beside("direct", DirectEncoder(3, mean=encoder.mean, std=encoder.std), other),
        "unsigned": beside("unsigned", PoissonEncoder(3, signed=False)),
        "frames": beside("frames", FrameEncoder(3)),
    }


def by_hand(loaded, sigma, draws, places, *, steps=None, **options):
    """What one row should hold."""
    images = loaded.data.test
    pairs = PartLoader(images, places, 13)  # of any size
    model = SpikingClassifier(NoisyEncoder(loaded.model.encoder, sigma, **options), loaded.model.network)
    return evaluate(model, pairs, seed=loaded.recipe.seed, draws=draws, steps=steps)


def test_rows_are_evaluations_and_differences_are_paired(runs):
    told, both = [], [runs["poisson"], runs["direct"]]
    asked = Noise((0.5, 0.2, 0.5), images=24, draws=2)
    found = robust_run(both, asked, progress=told.append)
    places = stratified(both[0].data.test, 24)
    assert sum(told) == images_in_all(both, asked) == 24 * (3 * 2 + 1 + 2 * 2)
    assert found.chosen == "24 of 120, stratified by class, seed 0"
    for run, loaded in zip(found.runs, both, strict=True):
        assert [row.sigma for row in run.rows] == [0, 0.2, 0.5]
        for row in run.rows:
            draws = 1 if loaded is both[1] and row.sigma == 0 else 2
            theirs = by_hand(loaded, row.sigma, draws, places)
            assert row.accuracy == theirs.accuracy
            assert row.seconds > 0
            reference = by_hand(both[0], row.sigma, 2, places)
            expected = None if run is found.runs[0] else paired(theirs.right, reference.right)
            assert row.to_first == expected
    assert [row.random for row in found.runs[0].rows] == ["spikes", "spikes, noise", "spikes, noise"]
    assert [row.random for row in found.runs[1].rows] == ["nothing", "noise", "noise"]


def test_the_clean_row_is_the_runs_own_evaluation_and_a_part_is_a_part_of_the_whole(runs):
    loaded = runs["poisson"]
    whole = evaluate(loaded.model, loaded.loader("test"), seed=loaded.recipe.seed, draws=2)
    (clean,) = robust_run([loaded], Noise((0,), draws=2)).runs[0].rows
    assert clean.accuracy == whole.accuracy
    (part,) = robust_run([loaded], Noise((0,), draws=2, images=30)).runs[0].rows
    places = stratified(loaded.data.test, 30)
    assert part.accuracy.per_draw == tuple(whole.right[:, places].double().mean(1).tolist())


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (Noise((0.8,), where="normalized", images=30, draws=1), {"where": "normalized"}),
        (Noise((0.8,), clip=False, images=30, draws=1), {"clip": False}),
        (Noise((0.8,), steps=2, images=30, draws=1), {"steps": 2}),
    ],
)
def test_what_is_asked_reaches_the_noise(asked, options, runs):
    found = robust_run([runs["poisson"]], asked).runs[0].rows[1].accuracy
    assert found == by_hand(runs["poisson"], 0.8, 1, stratified(runs["poisson"].data.test, 30), **options).accuracy


def test_draws_are_the_recipes_where_none_are_named(runs):
    found = robust_run([runs["direct"]], Noise((0.3,), images=20))
    assert [len(row.accuracy.correct) for row in found.runs[0].rows] == [1, runs["direct"].recipe.evaluate.draws]
    assert len(robust_run([runs["direct"]], Noise((0,), images=20)).runs[0].rows) == 1


def test_models_stay_as_they_were(runs):
    loaded = runs["poisson"]
    before, encoder = {n: v.clone() for n, v in loaded.model.state_dict().items()}, loaded.model.encoder
    robust_run([loaded], Noise((0.5,), images=20, draws=1))
    assert loaded.model.encoder is encoder
    assert not any(module.training for module in loaded.model.modules())
    assert all(torch.equal(v, loaded.model.state_dict()[n]) for n, v in before.items())


def test_rows_and_json_say_all_that_a_number_needs(runs):
    found = robust_run([runs["poisson"], runs["unsigned"]], Noise((0.4,), images=25, draws=2))
    values, rows = robust_json(found), robust_rows(found)
    assert json.loads(json.dumps(values)) == json.loads(json.dumps(values, allow_nan=False))
    assert len(rows) == 4
    noisy = found.runs[0].rows[1].accuracy
    expected = {
        "sigma": 0.4,
        "sigma_in": "pixels",
        "clipped": True,
        "accuracy": noisy.mean,
        "low_95": noisy.interval[0],
        "high_95": noisy.interval[1],
        "sd_over_draws": noisy.spread,
        "clean_accuracy": found.runs[0].rows[0].accuracy.mean,
        "to_first": None,
        "draws": 2,
        "redrawn": "spikes, noise",
        "steps": 3,
        "images": 25,
    }
    assert expected.items() <= rows[1].items()
    assert rows[3]["to_first"] == pytest.approx(rows[3]["accuracy"] - rows[1]["accuracy"])
    assert rows[3]["to_first_low_95"] < rows[3]["to_first"] < rows[3]["to_first_high_95"]
    one = values["runs"][0]
    assert (one["network"], one["encoder"], one["num_steps"]) == ("vgg6", "poisson", 3)
    assert one["rows"][1]["accuracy_over_time"][-1] == noisy.mean
    assert one["rows"][1]["over_time_wilson_95"][0] == wilson(noisy.over_time[0], 25)
    assert values["runs"][1]["rows"][0]["run"] != one["run"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigmas": (-0.1,)}, "--sigmas must be finite numbers from 0 to 1000, got -0.1"),
        ({"sigmas": (0.1, float("nan"))}, "got nan"),
        ({"sigmas": (float("inf"),)}, "got inf"),
        ({"sigmas": (1e39,)}, r"got 1e\+39"),
        ({"draws": 0}, "--draws must be 1 or more, got 0"),
        ({"images": 0}, "--images must be 1 or more, got 0"),
        ({"steps": 0}, "--steps must be 1 or more, got 0"),
    ],
)
def test_noise_that_is_none(options, message):
    with pytest.raises((RecipeError, ArgumentError), match=message):
        Noise(**options)


@pytest.mark.parametrize(
    ("pick", "asked", "message"),
    [
        (lambda r: [], Noise(), "name a run directory"),
        (lambda r: [r["poisson"]] * 2, Noise(images=9), "is given twice"),
        (lambda r: [r["poisson"]], Noise(images=121), "--images 121: the test split of .* has 120"),
        (lambda r: [r["poisson"]], Noise(steps=4), "--steps 4: .* has 3 steps"),
        (lambda r: [r["poisson"], r["unsigned"]], Noise(clip=False), "unsigned rate coding takes pixels from 0 to 1"),
        (lambda r: [r["unsigned"]], Noise(where="normalized"), "it does not normalise"),
        (lambda r: [r["direct"]], Noise((0,), draws=2), "--draws 2: nothing is drawn for clean images here"),
        (lambda r: [r["frames"]], Noise(), "noise is for images, an encoder of pixels, got FrameEncoder"),
    ],
)
def test_refusals(pick, asked, message, runs):
    told = []
    with pytest.raises((RecipeError, ArgumentError), match=message):
        robust_run(pick(runs), asked, progress=told.append)
    assert not told


def test_runs_of_other_images_are_not_compared(runs, monkeypatch):
    other = runs["direct"]
    images = other.data.test
    for changed in (
        dataclasses.replace(images, images=255 - images.images),
        dataclasses.replace(images, labels=images.labels.flip(0)),
        images.select(torch.arange(90)),
    ):
        monkeypatch.setitem(other.__dict__, "data", dataclasses.replace(other.data, test=changed))
        with pytest.raises(RecipeError, match="has other test images than"):
            robust_run([runs["poisson"], other], Noise(images=50))
        monkeypatch.undo()


def test_runs_are_called_by_what_tells_them_apart(runs, tmp_path):
    loaded = [moved(runs["poisson"], tmp_path / folder / "tiny") for folder in ("a", "b")]
    found = robust_run(loaded, Noise((0,), images=9, draws=1))
    assert [run.name for run in found.runs] == [str(one.path) for one in loaded]
    loaded[1] = moved(loaded[1], tmp_path / "other")
    assert [run.name for run in robust_run(loaded, Noise((0,), images=9, draws=1)).runs] == ["tiny", "other"]
