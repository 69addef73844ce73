"""The picture of the equivalence: what is drawn, read from the axes."""

import pytest
import torch
from PIL import Image

from bntt.analysis import Differences, Equivalence
from bntt.runs.figures import equivalence_figure
from bntt.runs.measures.equivalence import RunEquivalence
from bntt.runs.figures.equivalence_figure import save_equivalence


def result(folds=("exact", "no mean", "no ratio", "Eq. 15"), scale=0.01):
    def rows(first):
        return {"conv1": torch.arange(first, first + 4) * scale, "fc1": torch.arange(first, first + 4) * 2 * scale}

    heard = {"conv1": range(1, 3), "fc1": range(2, 4)}
    found = {name: Differences(rows(i), rows(i + 1), 0.25 * i, 0.5) for i, name in enumerate(folds)}
    return RunEquivalence(0, "validation", "Shoes for $5 and $6", Equivalence(30, 0.9, rows(0), heard, found))


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    save = equivalence_figure.save_figure
    monkeypatch.setattr(equivalence_figure, "save_figure", lambda f, path: (figures.append(f), save(f, path)))
    return figures


def test_layers_and_steps_of_every_network_in_both_ways(drawn, tmp_path):
    save_equivalence(result(), tmp_path / "equivalence.png")
    with Image.open(tmp_path / "equivalence.png") as picture:
        assert picture.size[0] > 1000
    (figure,) = drawn
    places = figure.axes
    assert len(places) == 10
    for row in range(2):
        for i in range(4):
            conv1, fc1 = places[5 * row + i].lines
            assert (conv1.get_label(), fc1.get_label()) == ("conv1", "fc1")
            assert conv1.get_marker() != fc1.get_marker()
            assert list(conv1.get_xdata()) == [2, 3]  # only where it is heard
            assert list(fc1.get_xdata()) == [3, 4]
            assert conv1.get_ydata() == pytest.approx([i + row + 1, i + row + 2])
            assert fc1.get_ydata() == pytest.approx([2 * (i + row + 2), 2 * (i + row + 3)])
    assert len({axes.get_ylim() for i, axes in enumerate(places) if i % 5 < 4}) == 1
    assert places[4].lines[1].get_ydata() == pytest.approx([4, 6])
    assert "accuracy 75.0%, same answer 50.0%" in places[8].get_title()
    assert "without both (Eq. 15)\nmean 7.7%" in places[3].get_title()
    assert "true spikes" in places[0].get_ylabel()
    assert "its own spikes" in places[5].get_ylabel()
    assert "accuracy of the network 90.0%" in figure.get_suptitle()


def test_nothing_that_differs(drawn, tmp_path):
    save_equivalence(result(("exact",), 0.0), tmp_path / "equivalence.png")
    assert drawn[0].axes[0].get_ylim() == (0, 1)
