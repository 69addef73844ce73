"""A benchmark's picture: bars by case, lines against T."""

from bntt.runs.figures.bench_figure import MOST_BARS, save_bench
from matplotlib.figure import Figure


def case(name: str, steps: int, network: str = "vgg9") -> dict:
    timings = [
        {"variant": variant, "median": second * steps, "peak_over_base": 2.0**20 * steps}
        for variant, second in (("loop", 2.0), ("fused", 0.1))
    ]
    return {"case": {"name": name, "num_steps": steps, "network": network}, "timings": timings}


def drawing(cases: list[dict], path, monkeypatch) -> Figure:
    found, save = [], Figure.savefig
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *args, **more: found.append(self) or save(self, *args, **more))
        save_bench({"cases": cases, "versions": {"torch": "2"}, "threads": 1}, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return found[0]


def test_cases_and_steps_have_a_row_each(tmp_path, monkeypatch):
    sweep = [case(f"VGG9 training, T={steps}", steps) for steps in (5, 10)]
    figure = drawing([case("VGG9 training", 25), *sweep], tmp_path / "b.png", monkeypatch)
    bars, memory, time, peaks = figure.axes
    assert [axes.get_ylabel() for axes in (bars, memory)] == ["seconds a step", "peak memory over base (MiB)"]
    assert [patch.get_height() for patch in bars.patches] == [50.0, 2.5]
    assert bars.get_yscale() == "log"
    assert time.lines[1].get_xydata().tolist() == [[5.0, 0.5], [10.0, 1.0]]
    assert peaks.lines[0].get_xydata().tolist() == [[5.0, 5.0], [10.0, 10.0]]


def test_many_cases_have_a_row_for_each_network(tmp_path, monkeypatch):
    cases = [case(f"{network}, {i}", 2, network) for network in ("vgg9", "mlp") for i in range(MOST_BARS)]
    assert len(drawing(cases, tmp_path / "b.png", monkeypatch).axes) == 4
