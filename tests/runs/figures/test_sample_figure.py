"""The picture of a sample: every step, its colours, and what they mean."""

import numpy as np
import pytest
import torch
from PIL import Image

from bntt.runs.figures import sample_figure
from bntt.runs.recipe.first_sample import Sample
from bntt.runs.figures.sample_figure import save_sample


def sample(drive, given=None, encoder="frames"):
    return Sample("a set", "test", 3, "cat $x_", encoder, drive if given is None else given, drive)


@pytest.fixture
def figures(monkeypatch):
    """The figures before they are written."""
    seen = []
    monkeypatch.setattr(sample_figure, "save_figure", lambda figure, path: seen.append(figure))
    return seen


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def test_frames_have_a_colour_for_each_polarity(figures, tmp_path):
    counts = torch.zeros(3, 2, 4, 5)
    counts[0, 1, 0, 0], counts[1, 0, 1, 2], counts[2, :, 3, 4] = 4, 4, 4
    save_sample(sample(counts), tmp_path / "x.png")
    (figure,) = figures
    images = [axes.images[0].get_array() for axes in shown(figure)]
    more, less = np.array(sample_figure.MORE), np.array(sample_figure.LESS)
    assert np.allclose(images[0][0, 0], more)
    assert np.allclose(images[1][1, 2], less)
    assert np.allclose(images[2][3, 4], more * less)
    assert sum(int((image < 1).any(-1).sum()) for image in images) == 3
    assert [axes.get_title() for axes in shown(figure)] == [
        f"step {t}\n{n} events" for t, n in ((1, 4), (2, 4), (3, 8))
    ]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == [
        "brighter (polarity 1)",
        "darker (polarity 0)",
        "full colour: 4 events in a cell; 4x5, T = 3",
    ]
    assert figure.get_suptitle() == "a set, test 3: cat $x_"


def test_an_image_stands_beside_its_spikes_and_their_mean(figures, tmp_path):
    spikes = torch.tensor([1.0, -1.0, 1.0, 0.0]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    save_sample(sample(spikes, torch.ones(3, 2, 2), "poisson"), tmp_path / "x.png")
    titles = [axes.get_title() for axes in shown(figures[0])]
    assert titles == ["image", "mean of 4 steps", "step 1", "step 2", "step 3", "step 4"]
    images = [axes.images[0].get_array() for axes in shown(figures[0])]
    assert np.allclose(images[2][0, 0], sample_figure.MORE)
    assert np.allclose(images[3][0, 0], sample_figure.LESS)
    assert np.allclose(images[5][0, 0], 1)
    assert figures[0].get_suptitle().endswith(", poisson code")


def test_of_many_steps_some_at_equal_distances_are_drawn(figures, tmp_path):
    save_sample(sample(torch.zeros(100, 2, 2, 2)), tmp_path / "x.png")
    titles = [axes.get_title().split("\n")[0] for axes in shown(figures[0])]
    assert len(titles) == sample_figure.MOST_STEPS
    assert (titles[0], titles[-1]) == ("step 1", "step 100")


def test_a_sequence_is_a_curve_or_an_image(figures, tmp_path):
    values = torch.arange(6.0)
    save_sample(sample(values.reshape(6, 1), encoder="sequence"), tmp_path / "x.png")
    save_sample(sample(values.reshape(2, 3), encoder="sequence"), tmp_path / "x.png")
    curve, rows = (figure.axes[0] for figure in figures)
    assert curve.lines[0].get_xydata().tolist() == [[t + 1, t] for t in range(6)]
    assert np.array_equal(rows.images[0].get_array(), values.reshape(2, 3).T)
    assert [axes.get_xlabel() for axes in (curve, rows)] == ["time step"] * 2
    assert [axes.get_ylabel() for axes in (curve, rows)] == ["value", "feature"]


def test_a_png_is_written(tmp_path):
    save_sample(sample(torch.ones(12, 2, 4, 4)), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 800
