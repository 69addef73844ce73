"""A grid as a picture: shares by rate, gradients on one scale, losses beside what was promised."""

import math

import pytest

from bntt.runs.figures.stability_figure import save_stability
from bntt.runs.measures.stability_cell import Cell, Moment
from tests.runs.figures.test_figures import PNG, drawn
from tests.runs.measures.test_stability_cell import ALONG, LOST

__all__ = ["drawn"]


def cells(norms=("none", "bntt"), networks=("vgg6", "vgg9"), along=ALONG):
    found = []
    for network in networks:
        for norm in norms:
            for rate in (0.1, 1.0, 10.0):
                for start in range(2):
                    accuracy = math.nan if rate == 10 or (rate == 1 and norm == "none" and start == 1) else 0.5
                    gradient = {"conv1": [rate, 0.0, math.nan], "fc1": [2.0, 3.0, 4.0]}
                    moments = tuple(Moment(updates, gradient, along) for updates in (0, 10))
                    found.append(Cell(network, norm, rate, start, 10, accuracy, 0.1, moments))
    return found


def test_what_is_drawn(tmp_path, drawn):
    save_stability(cells(), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    shares = [axes for axes in drawn[0].axes if axes.get_ylabel() == "starts that failed (%)"]
    assert [axes.get_title() for axes in shares] == ["vgg6, 2 starts each", "vgg9, 2 starts each"]
    none, bntt = shares[1].lines
    assert none.get_xdata().tolist() == [0.1, 1.0, 10.0]
    assert none.get_ydata().tolist() == pytest.approx([0, 50, 100], abs=1)
    assert bntt.get_ydata().tolist() == pytest.approx([0, 0, 100], abs=1)
    assert none.get_linestyle() != bntt.get_linestyle()
    (one, other) = [axes.images[0] for axes in drawn[0].axes if axes.images]
    assert (one.norm.vmin, one.norm.vmax) == (other.norm.vmin, other.norm.vmax) == (1.0, 4.0)  # the rate 1: the last
    assert one.get_array().filled(math.nan)[0][0] == 1.0
    assert one.get_array().mask[0].tolist() == [False, True, True]
    along = [axes for axes in drawn[0].axes if axes.get_ylabel() == "loss"]
    assert [axes.get_title() for axes in along] == ["none", "bntt"]
    true, promised = along[0].lines[:2]
    assert true.get_xdata().tolist() == pytest.approx([0, 0.1, 0.2])
    assert true.get_ydata().tolist() == [2.3, 2.0, 2.5]
    assert promised.get_ydata().tolist() == pytest.approx([2.3, 2.3 - 0.225, 2.3 - 0.45])
    assert along[0].get_ylim() == along[1].get_ylim() == (0, pytest.approx(1.05 * 2.5))


@pytest.mark.parametrize("along", [ALONG, LOST])
def test_few_or_lost_starts_can_be_drawn(along, tmp_path):
    save_stability(cells(("layer",), ("mlp",), along)[:1], tmp_path / "x.png")
    save_stability(
        [Cell("mlp", "none", 1.0, 0, 0, math.nan, 0.1, cells(along=LOST)[0].moments[:1])], tmp_path / "y.png"
    )
    with pytest.raises(ValueError, match="no start to draw"):
        save_stability([], tmp_path / "z.png")
