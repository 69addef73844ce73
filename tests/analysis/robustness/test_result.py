"""The record of accuracy on noisy images: what it shows, and its numbers."""

import pytest

from bntt.analysis.result import result_from
from bntt.analysis.robustness.result import RobustResult


def row(run, sigma, accuracy, to_first, **changes):
    low, high = (None, None) if to_first is None else (to_first - 0.1, to_first + 0.1)
    values = {
        "run": run, "sigma": sigma, "sigma_in": "pixels", "clipped": True, "accuracy": accuracy,
        "low_95": accuracy - 0.1, "high_95": accuracy + 0.1, "sd_over_draws": 0.02, "clean_accuracy": 0.9,
        "to_first": to_first, "to_first_low_95": low, "to_first_high_95": high, "draws": 2, "redrawn": "noise",
        "steps": 2, "images": 100, "images_chosen": "all 100", "seconds": 1.0,
        "accuracy_per_draw": [accuracy + 0.02, accuracy - 0.02], "accuracy_over_time": [0.25, accuracy],
        "over_time_wilson_95": [[0.2, 0.3], [0.4, 0.5]],
    }  # fmt: skip
    return values | changes


def run(name, norm, accuracies, first, **changes):
    rows = [row(name, sigma, a, None if first else -0.2 * sigma, **changes) for sigma, a in accuracies.items()]
    facts = {"network": "vgg6", "norm": norm, "encoder": "poisson", "num_steps": 3, "epoch": 4}
    return {"run": name, **facts, "rows": rows}


def result(*runs, **changes):
    values = {
        "dataset": "made", "split": "test", "classes": 10, "images": 100, "images_chosen": "all 100",
        "sigma_in": "pixels", "clipped": True, "noise_seed": 0, "runs": list(runs),
    }  # fmt: skip
    return result_from(RobustResult, values | changes)


ONE = run("mine", "bntt", {0: 0.9, 0.5: 0.4}, first=True)
SEVERAL = (
    ONE,
    run("longer", "bntt", {0: 0.8, 0.5: 0.6}, first=False),
    run("bn", "bn", {0: 0.8, 0.5: 0.3}, first=False),
)


def test_several_runs_with_their_differences():
    found = result(*SEVERAL)
    accuracy, difference, *by_steps = found.section().charts
    assert [line.colour for line in accuracy.lines] == ["bntt", "longer", "bn"]
    assert (list(accuracy.lines[0].x), list(accuracy.lines[0].y)) == ([0, 0.5], [0.9, 0.4])
    assert list(accuracy.lines[0].high) == pytest.approx([1.0, 0.5])
    assert [level.value for level in accuracy.levels] == [0.1]
    assert [line.name for line in difference.lines] == ["longer", "bn"]
    assert list(difference.lines[1].y) == pytest.approx([0, -10])
    assert list(difference.lines[1].low) == pytest.approx([-10, -20])
    assert [chart.title.split(":")[0] for chart in by_steps] == ["mine", "longer", "bn"]
    assert {line.name: list(line.y) for line in by_steps[0].lines} == {"σ 0": [0.25, 0.9], "σ 0.5": [0.25, 0.4]}
    (figure,) = found.figures()
    assert len(figure.charts) == 3
    assert figure.title == "made, test images: all 100; Gaussian noise, clipped, 2 draws"
    *tables, differences = found.section().folded
    assert tables[0].caption == "mine: vgg6, bntt, poisson, 3 steps, stopped after 2; images: all 100"
    assert tables[0].note == "clean, draw by draw: 92.0%, 88.0%"
    assert [cell.text for cell in differences.rows[-1]] == ["bn", "0.5", "-10.0", "-20.0 to +0.0"]


def test_one_run_has_no_differences():
    found = result(
        run("mine", "bntt", {0: 0.9}, first=True, draws=1), sigma_in="normalized", clipped=False, classes=None
    )
    accuracy, _ = found.section().charts
    assert "a standard deviation of the pixels" in accuracy.x.label
    assert not accuracy.levels
    assert "not clipped, 1 draw" in found.title
    assert [table.note for table in found.section().folded] == [""]


def test_rows_have_one_value_a_column():
    found = result(*SEVERAL)
    assert [(line["run"], line["sigma"]) for line in found.rows()][:3] == [("mine", 0), ("mine", 0.5), ("longer", 0)]
    assert not any(isinstance(value, list | tuple) for line in found.rows() for value in line.values())


def test_numbers_are_those_of_the_first_run():
    found, metrics = result(*SEVERAL), RobustResult.METRICS
    assert metrics["noisy-accuracy"].read(found, 0.5) == pytest.approx(40)
    assert metrics["noise-loss"].read(found, 0.5) == pytest.approx(50)
    assert metrics["noise-loss"].read(found, 0.4) is None
    uneven = result(run("mine", "bntt", {0: 0.9, 0.1: 0.7, 0.5: 0.5}, first=True))
    assert metrics["noise-area"].read(uneven, None) == pytest.approx((0.1 * 80 + 0.4 * 60) / 0.5)
    assert metrics["noise-area"].read(result(run("mine", "bntt", {0: 0.9}, first=True)), None) == pytest.approx(90)


def test_a_file_without_runs_is_refused():
    with pytest.raises(ValueError, match=r"^runs: "):
        result()
