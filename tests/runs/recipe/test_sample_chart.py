"""A sample as a figure: every step, its colours, and what they mean."""

import numpy as np
import torch

from bntt.charts.files import draw_figure
from bntt.charts.records import HeatMap, Lines
from bntt.runs.recipe.first_sample import LESS, MORE, MOST_STEPS, Sample, sample_figure


def figure(drive, given=None, encoder="frames"):
    return sample_figure(Sample("a set", "test", 3, "cat $x_", encoder, drive if given is None else given, drive))


def test_frames_have_a_colour_for_each_polarity():
    counts = torch.zeros(3, 2, 4, 5)
    counts[0, 1, 0, 0], counts[1, 0, 1, 2], counts[2, :, 3, 4] = 4, 4, 4
    shown = figure(counts)
    images = [np.array(chart.pixels) for chart in shown.charts]
    assert np.allclose(images[0][0, 0], MORE)
    assert np.allclose(images[1][1, 2], LESS)
    assert np.allclose(images[2][3, 4], np.array(MORE) * LESS)
    assert sum(int((image < 1).any(-1).sum()) for image in images) == 3
    assert [chart.title for chart in shown.charts] == [f"step {t}\n{n} events" for t, n in ((1, 4), (2, 4), (3, 8))]
    title, key = shown.title.split("\n")
    assert title == "a set, test 3: cat $x_"
    assert (
        key == "orange: brighter (polarity 1), blue: darker (polarity 0); full colour: 4 events in a cell; 4x5, T = 3"
    )
    assert draw_figure(shown)


def test_an_image_stands_beside_its_spikes_and_their_mean():
    spikes = torch.tensor([1.0, -1.0, 1.0, 0.0]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    shown = figure(spikes, torch.ones(3, 2, 2), "poisson")
    assert [chart.title for chart in shown.charts] == [
        "image",
        "mean of 4 steps",
        "step 1",
        "step 2",
        "step 3",
        "step 4",
    ]
    images = [np.array(chart.pixels) for chart in shown.charts]
    assert np.allclose(images[2][0, 0], MORE)
    assert np.allclose(images[3][0, 0], LESS)
    assert np.allclose(images[5][0, 0], 1)
    assert shown.title.split("\n")[0].endswith(", poisson code")
    assert np.array(figure(spikes[:, :1], torch.ones(1, 2, 2), "poisson").charts[0].pixels).shape == (2, 2)


def test_of_many_steps_some_at_equal_distances_are_drawn():
    titles = [chart.title.split("\n")[0] for chart in figure(torch.zeros(100, 2, 2, 2)).charts]
    assert len(titles) == MOST_STEPS
    assert (titles[0], titles[-1]) == ("step 1", "step 100")


def test_a_sequence_is_a_line_or_a_heat_map():
    values = torch.arange(6.0)
    (line,), (rows,) = (figure(values.reshape(shape), encoder="sequence").charts for shape in ((6, 1), (2, 3)))
    assert isinstance(line, Lines)
    assert list(zip(line.lines[0].x, line.lines[0].y, strict=True)) == [(t + 1, t) for t in range(6)]
    assert isinstance(rows, HeatMap)
    assert rows.values == [[0, 3], [1, 4], [2, 5]]
    assert (rows.rows, rows.columns) == (["0", "1", "2"], ["1", "2"])
