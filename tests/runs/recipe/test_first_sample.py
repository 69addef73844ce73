"""A sample as the network gets it: what the run's own encoder gives in the first draw of an evaluation."""

import pytest
import torch

from bntt.data import FrameSet, FrameSplits, SampleLoader
from bntt.data.samples import DATASETS, Dataset
from bntt.nn.network.labelled_batch import samples
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.recipe.first_sample import recipe_for, sample_figure, sample_of
from tests import fakes


def test_an_image_and_the_spikes_of_an_evaluation():
    recipe = load_recipe("demo", ["seed=3"])
    data = build_data(recipe)
    sample = sample_of(recipe, data, "test", 7)
    inputs, labels, index = next(samples(SampleLoader(data.test, 20), draw=0))
    spikes = build_model(recipe, data).encoder(inputs, seed=3, index=index, draw=1 << 32)
    assert torch.equal(sample.drive, spikes[:, 7])
    assert torch.equal(sample.given, inputs[7])
    assert (sample.label, sample.is_image, sample.encoder) == (data.test.classes[int(labels[7])], True, "poisson")
    assert sample.dataset == "Fashion-MNIST (bundled part)"


def test_frames_are_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    root = fakes.write_recordings(tmp_path / "set")
    recipe = recipe_for("dvs-cifar10", [f"data.root={root}", "data.validation=0.25", "network.num_steps=3"])
    data = build_data(recipe)
    sample = sample_of(recipe, data, "validation", 1)
    assert torch.equal(sample.drive, data.validation.batch(torch.tensor([1]))[0])
    assert (sample.drive.shape, sample.is_image) == ((3, 2, 42, 42), False)


def test_frames_of_your_own_have_their_own_steps_and_channels(monkeypatch):
    for steps, channels, key in ((5, 2, "brighter (polarity 1)"), (8, 1, "above 0"), (3, 3, "above 0")):
        frames = FrameSet(torch.ones(20, steps, channels, 8, 8, dtype=torch.uint8), torch.arange(20) % 2, ("a", "b"))
        own = Dataset("frames", "mine", make=lambda frames=frames: FrameSplits(frames, frames))
        monkeypatch.setitem(DATASETS, f"own-{steps}", own)
        recipe = recipe_for(f"own-{steps}")
        sample = sample_of(recipe, build_data(recipe), "test", 1)
        assert sample.drive.shape == (steps, channels, 8, 8)
        assert key in sample_figure(sample).title
    signed = FrameSet(torch.linspace(-2, 2, 20 * 5 * 2 * 64).reshape(20, 5, 2, 8, 8), torch.arange(20) % 2, ("a", "b"))
    monkeypatch.setitem(DATASETS, "own-signed", Dataset("frames", "mine", make=lambda: FrameSplits(signed, signed)))
    recipe = recipe_for("own-signed")
    figure = sample_figure(sample_of(recipe, build_data(recipe), "test", 0))
    assert "above 0" in figure.title, "two channels, and no polarities"
    assert all(torch.tensor(chart.pixels).isfinite().all() for chart in figure.charts)
    with pytest.raises(RecipeError, match="samples of 'own-5' have 5 steps, got 8"):
        build_model(recipe_for("own-5"), build_data(recipe_for("own-5")))


def test_a_number_that_there_is_not():
    recipe = load_recipe("demo")
    data = build_data(recipe)
    for index in (-1, 1000):
        with pytest.raises(RecipeError, match=f"--index {index}: the test samples are numbered 0 to 999"):
            sample_of(recipe, data, "test", index)


def test_a_name_is_a_recipe_or_a_dataset():
    assert recipe_for("demo") == load_recipe("demo")
    assert recipe_for("cifar10", ["network.num_steps=3"]) == load_recipe("cifar10", ["network.num_steps=3"])
    mnist, own = recipe_for("mnist", ["network.num_steps=3"]), recipe_for("events")
    assert (mnist.data.name, mnist.encoder.name, mnist.network.num_steps) == ("mnist", "poisson", 3)
    assert (own.data.name, own.encoder.name, own.network.num_steps) == ("events", "frames", 8)
    with pytest.raises(RecipeError, match="nothing-such"):
        recipe_for("nothing-such")
