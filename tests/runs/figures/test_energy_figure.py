"""The picture of a run's operations and energy: what its bars say."""

from matplotlib.figure import Figure

from bntt.runs.figures.energy_figure import save_energy
from tests.runs.measures.test_energy import result


def drawing(found, path, monkeypatch) -> Figure:
    figures, save = [], Figure.savefig
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *args, **more: figures.append(self) or save(self, *args, **more))
        save_energy(found, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return figures[0]


def test_bars_are_the_numbers(tmp_path, monkeypatch):
    figure = drawing(result(), tmp_path / "e.png", monkeypatch)
    operations, digital, chip = figure.axes
    heights = [round(1e6 * bar.get_height()) for bar in operations.patches]
    conv1, fc1, readout = (heights[i : i + 6] for i in (0, 6, 12))
    assert conv1 == [40, 0, 40, 0, 0, 100]  # by spike, by value, ANN: additions, then multiply-accumulates
    assert fc1 == [60, 0, 0, 20, 0, 50]
    assert readout == [8, 0, 8, 0, 0, 10]
    assert [label.get_text() for label in operations.get_xticklabels()] == ["conv1", "fc1", "readout"]
    assert [bar.get_height() for bar in digital.patches] == [108, 60, 148, 60, 72, 31, 107, 31, 800, 30]
    assert [label.get_text() for label in digital.get_xticklabels()] == [
        "2 steps,\nby spike",
        "2 steps,\nby value",
        "1 step,\nby spike",
        "1 step,\nby value",
        "ANN",
    ]
    assert digital.get_ylabel() == "energy of one image (pJ)"
    assert [bar.get_height() for bar in chip.patches] == [12, 20, 7, 10]
    assert [label.get_text() for label in chip.get_legend().get_texts()] == ["spikes", "time"]
    assert "75.0% after 2 steps, 62.5% after 1 step" in figure.get_suptitle()


def test_without_an_exit_there_is_one_column(tmp_path, monkeypatch):
    figure = drawing(result(stops=(2,)), tmp_path / "e.png", monkeypatch)
    assert [len(axes.patches) for axes in figure.axes] == [18, 6, 2]
