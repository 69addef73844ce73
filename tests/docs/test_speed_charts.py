"""A benchmark as a figure: bars by case, lines against T, or over minutes of training."""

import importlib
from pathlib import Path

import pytest

from bntt.charts.files import draw_figure
from bntt.charts.records import Bars, Forest


@pytest.fixture
def charts(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    return importlib.import_module("pages.speed_charts")


def case(name: str, steps: int, network: str = "vgg9", slow: float = 2.0) -> dict:
    timings = [
        {"variant": variant, "median": second * steps, "peak_over_base": 2.0**20 * steps}
        for variant, second in (("loop", slow), ("fused", 0.1))
    ]
    return {"case": {"name": name, "num_steps": steps, "network": network}, "timings": timings}


@pytest.fixture
def figure(charts):
    return lambda cases: charts.speed_figure({"cases": cases, "versions": {"torch": "2"}, "threads": 1})


def test_cases_and_steps_have_a_row_each(figure):
    sweep = [case(f"VGG9 training, T={steps}", steps) for steps in (5, 10)]
    shown = figure([case("VGG9 training", 25), *sweep])
    times, memory, time, peaks = shown.charts
    assert isinstance(times, Forest)
    assert [(entry.name, entry.value) for entry in times.entries] == [
        ("VGG9 training, loop", 50.0),
        ("VGG9 training, fused", 2.5),
    ]
    assert times.x.scale == "log"
    assert (memory.y.label, memory.bars[0].values) == ("peak memory over base (MiB)", [25.0])
    assert (time.lines[1].x, time.lines[1].y) == ([5, 10], [0.5, 1.0])
    assert peaks.lines[0].y == [5.0, 10.0]
    assert (shown.columns, shown.title) == (2, "1 threads; torch 2")
    assert draw_figure(shown)


def test_times_that_are_near_each_other_are_bars_by_what_tells_the_cases_apart(figure):
    times, _ = figure([case("VGG9 training, bntt", 1, slow=0.5), case("VGG9 training, bn", 1, slow=0.5)]).charts
    assert isinstance(times, Bars)
    assert (times.title, times.names) == ("VGG9 training", ["bntt", "bn"])


def test_each_start_of_a_training_is_a_line(charts):
    points = [{"seconds": 60.0, "accuracy": 0.25}, {"seconds": 120.0, "accuracy": 0.5}]
    trainings = [{"variant": "fused", "seed": seed, "points": points} for seed in (0, 1)]
    shown = charts.accuracy_figure(
        {"threads": 2, "cases": [{"race": {"name": "x", "target": 0.5}, "trainings": trainings}]}
    )
    (chart,) = shown.charts
    assert [line.name for line in chart.lines] == ["fused, seed 0", "fused, seed 1"]
    assert (chart.lines[0].x, chart.lines[0].y) == ([1.0, 2.0], [0.25, 0.5])
    assert [level.value for level in chart.levels] == [0.5]
