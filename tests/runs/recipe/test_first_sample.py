"""A sample as the network gets it, what the encoder gives in the first draw of an evaluation; and its figure."""

import numpy as np
import pytest
import torch

from bntt.charts.files import draw_figure
from bntt.charts.records import HeatMap, Lines
from bntt.data import FrameSet, FrameSplits, SampleLoader
from bntt.data.samples import DATASETS, Dataset
from bntt.nn.network.labelled_batch import samples
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.recipe.first_sample import LESS, MORE, MOST_STEPS, Sample, recipe_for, sample_figure, sample_of


def test_an_image_and_the_spikes_of_an_evaluation():
    recipe = load_recipe("demo", ["seed=3"])
    data = build_data(recipe)
    sample = sample_of(recipe, data, "test", 7)
    inputs, labels, index = next(samples(SampleLoader(data.test, 20), draw=0))
    spikes = build_model(recipe, data).encoder(inputs, seed=3, index=index, draw=1 << 32)
    assert torch.equal(sample.drive, spikes[:, 7])
    assert torch.equal(sample.given, inputs[7])
    assert (sample.label, sample.is_image, sample.encoder) == (data.test.classes[int(labels[7])], True, "poisson")
    for index in (-1, 1000):
        with pytest.raises(RecipeError, match=f"--index {index}"):
            sample_of(recipe, data, "test", index)


def test_frames_of_your_own_have_their_own_steps_and_channels(monkeypatch):
    ramp = torch.linspace(-2, 2, 5 * 2 * 64).reshape(5, 2, 8, 8)
    rows = (torch.ones(5, 2, 8, 8), "polarity 1"), (torch.ones(8, 1, 8, 8), "above 0"), (ramp, "above 0")
    for number, (frame, key) in enumerate(rows):
        frames = FrameSet(frame.expand(20, *frame.shape).clone(), torch.arange(20) % 2, ("a", "b"))
        own = Dataset("frames", "mine", make=lambda frames=frames: FrameSplits(frames, frames))
        monkeypatch.setitem(DATASETS, f"own-{number}", own)
        recipe = recipe_for(f"own-{number}")
        sample = sample_of(recipe, build_data(recipe), "test", 1)
        assert torch.equal(sample.drive, frame)
        figure = sample_figure(sample)
        assert key in figure.title
        assert all(torch.tensor(chart.pixels).isfinite().all() for chart in figure.charts)
    with pytest.raises(RecipeError, match="have 5 steps, got 8"):
        build_model(recipe_for("own-0"), build_data(recipe_for("own-0")))


def test_a_name_is_a_recipe_or_a_dataset():
    assert recipe_for("cifar10", ["network.num_steps=3"]) == load_recipe("cifar10", ["network.num_steps=3"])
    mnist, own = recipe_for("mnist", ["network.num_steps=3"]), recipe_for("events")
    assert (mnist.data.name, mnist.encoder.name, mnist.network.num_steps) == ("mnist", "poisson", 3)
    assert (own.data.name, own.encoder.name, own.network.num_steps) == ("events", "frames", 8)
    with pytest.raises(RecipeError, match="nothing-such"):
        recipe_for("nothing-such")


def charts(drive, given=None, encoder="frames"):
    figure = sample_figure(Sample("a set", "test", 3, "cat $x_", encoder, drive if given is None else given, drive))
    assert draw_figure(figure)
    return figure.charts


def test_frames_have_a_colour_for_each_polarity():
    counts = torch.zeros(3, 2, 4, 5)
    counts[0, 1, 0, 0], counts[1, 0, 1, 2], counts[2, :, 3, 4] = 4, 4, 4
    shown = charts(counts)
    images = [np.array(chart.pixels) for chart in shown]
    assert np.allclose(images[0][0, 0], MORE)
    assert np.allclose(images[1][1, 2], LESS)
    assert np.allclose(images[2][3, 4], np.array(MORE) * LESS)
    assert sum(int((image < 1).any(-1).sum()) for image in images) == 3
    assert [chart.title.split()[-2] for chart in shown] == ["4", "4", "8"]
    many = charts(torch.zeros(100, 2, 2, 2))
    assert (len(many), many[-1].title.split()[:2]) == (MOST_STEPS, ["step", "100"])


def test_an_image_stands_beside_its_spikes_and_their_mean():
    spikes = torch.tensor([1.0, -1.0, 1.0, 0.0]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    shown = charts(spikes, torch.ones(3, 2, 2), "poisson")
    assert [chart.title for chart in shown] == ["image", "mean of 4 steps", *(f"step {t}" for t in (1, 2, 3, 4))]
    images = [np.array(chart.pixels) for chart in shown]
    assert np.allclose(images[2][0, 0], MORE)
    assert np.allclose(images[3][0, 0], LESS)
    assert np.allclose(images[5][0, 0], 1)
    assert np.array(charts(spikes[:, :1], torch.ones(1, 2, 2), "poisson")[0].pixels).shape == (2, 2)


def test_a_sequence_is_a_line_or_a_heat_map():
    values = torch.arange(6.0)
    (line,), (rows,) = (charts(values.reshape(shape), encoder="sequence") for shape in ((6, 1), (2, 3)))
    assert isinstance(line, Lines)
    assert list(zip(line.lines[0].x, line.lines[0].y, strict=True)) == [(t + 1, t) for t in range(6)]
    assert isinstance(rows, HeatMap)
    assert (rows.values, rows.rows, rows.columns) == ([[0, 3], [1, 4], [2, 5]], ["0", "1", "2"], ["1", "2"])
