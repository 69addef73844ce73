"""A benchmark as a figure: bars by case, lines against T."""

from bntt.bench.speed_chart import MOST_BARS, speed_figure
from bntt.charts.files import draw_figure
from bntt.charts.records import Bars, Forest


def case(name: str, steps: int, network: str = "vgg9", slow: float = 2.0) -> dict:
    timings = [
        {"variant": variant, "median": second * steps, "peak_over_base": 2.0**20 * steps}
        for variant, second in (("loop", slow), ("fused", 0.1))
    ]
    return {"case": {"name": name, "num_steps": steps, "network": network}, "timings": timings}


def figure(cases):
    return speed_figure({"cases": cases, "versions": {"torch": "2"}, "threads": 1})


def test_cases_and_steps_have_a_row_each():
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


def test_times_that_are_near_each_other_are_bars_by_what_tells_the_cases_apart():
    times, _ = figure([case("VGG9 training, bntt", 1, slow=0.5), case("VGG9 training, bn", 1, slow=0.5)]).charts
    assert isinstance(times, Bars)
    assert (times.title, times.names) == ("VGG9 training", ["bntt", "bn"])


def test_many_cases_have_a_row_for_each_network():
    cases = [case(f"{network}, {i}", 2, network) for network in ("vgg9", "mlp") for i in range(MOST_BARS)]
    assert len(figure(cases).charts) == 4
