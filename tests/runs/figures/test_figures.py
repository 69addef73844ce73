"""What pictures of measurements share."""

import pytest
from matplotlib.figure import Figure

from bntt.runs.figures.figures import layer_lines, save_figure, shades

PNG = b"\x89PNG"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **options: found.append(self) or save(self, *args, **options)
    )
    return found


def ticks(axes) -> list[float]:
    low, high = axes.get_xlim()
    return [tick for tick in axes.get_xticks() if low <= tick <= high]


def values(axes, line: int = 0) -> list[tuple[float, float]]:
    return [tuple(point) for point in axes.lines[line].get_xydata().tolist()]


def test_layers_have_lines_over_steps(tmp_path, drawn):
    figure = Figure()
    axes = figure.subplots()
    layer_lines(axes, {"conv1": [0.1, 0.2], "fc1": [0.3, 0.1]}, "mean |γ|")
    save_figure(figure, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    assert values(axes, 1) == [(1, 0.3), (2, 0.1)]
    assert ticks(axes) == [1, 2]
    assert axes.get_ylim() == pytest.approx((0, 0.315))
    assert len(set(shades(["a", "b", "c"]).values())) == 3
    assert drawn == [figure]
