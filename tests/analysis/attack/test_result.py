"""The record of attacks: metrics by hand, what it shows of one ε and of several."""

import pytest

from bntt.analysis.attack import UNBOUNDED, AttackResult
from bntt.analysis.result import result_from


def row(attack, eps, accuracy, *, estimator="", invalid="", model="run0", on="run0"):
    return {
        "model": model, "crafted_on": on, "attack": attack, "estimator": estimator, "eps": eps / 255, "eps_255": eps,
        "accuracy": accuracy, "low_95": accuracy - 0.1, "high_95": accuracy + 0.1, "sd_over_draws": 0.02,
        "clean_accuracy": 0.9, "images": 100, "chosen": "100 of 200", "draws": 2,
        "largest_change": eps / 255, "seconds": 1.0, "invalid": invalid,
    }  # fmt: skip


def result(rows, models=("run0",)):
    named = [{"name": name, "weights_sha256": "", "randomness": "none"} for name in models]
    found = {"dataset": "d", "split": "test", "chosen": "100 of 200", "classes": 10, "models": named, "rows": rows}
    return result_from(AttackResult, found)


BESIDE = (("run0", "run0", 0.4), ("run0", "run1", 0.3), ("run1", "run1", 0.1), ("run1", "run0", 0.2))
"""Network, network that the images were made on, accuracy."""
SEVERAL = result(
    [
        row(UNBOUNDED, 255.0, 0.0, estimator="straight_through"),
        row("fgsm", 8.0, 0.4, estimator="straight_through"),
        row("fgsm", 4.0, 0.6, estimator="straight_through", invalid="zero"),
        row("fgsm", 8.0, 0.3, estimator="expected"),
        row("worst case", 4.0, 0.5, estimator="any", on="any"),
        row("worst case", 8.0, 0.3, estimator="any", on="any"),
    ]
)


def test_metrics_are_the_lowest_of_what_is_valid():
    read = {name: metric.read for name, metric in SEVERAL.metrics().items()}
    assert read["fgsm-accuracy"](SEVERAL, 8.0) == 30.0
    assert read["fgsm-accuracy"](SEVERAL, 4.0) is None
    assert read["pgd-accuracy"](SEVERAL, 8.0) is None
    rows = [row("fgsm", 8.0, right, model=model, on=on) for model, on, right in BESIDE]
    assert read["fgsm-accuracy"](result(rows, ("run0", "run1")), 8.0) == 40.0, "its own images alone"


def test_what_is_invalid_is_told():
    assert "4/255: zero" in SEVERAL.invalid
    (cell,) = [line[-1] for table in SEVERAL.section().tables for line in table.rows if line[-1].mark]
    assert (cell.note, cell.mark) == ("zero", "bad")
    assert result([row("fgsm", 8.0, 0.4)]).invalid == ""


def test_several_bounds_are_lines_from_the_clean_images_on():
    (chart,) = SEVERAL.section().charts
    first, worst, _ = chart.lines
    assert (first.name, first.x, first.y, first.invalid) == (
        "FGSM, straight through", [0.0, 4.0, 8.0], [0.9, 0.6, 0.4], [1]
    )  # fmt: skip
    assert (worst.name, worst.low, worst.high) == ("worst case", [0.9, 0.4, pytest.approx(0.2)], [0.9, 0.6, 0.4])
    assert [(level.value, level.name) for level in chart.levels] == [(0.9, "clean images"), (0.1, "chance")]


def test_each_model_has_its_attacks():
    rows = [
        row(attack, 8.0, 0.2, model=model, on=on)
        for model in ("a", "b")
        for attack, on in (("square", "a"), ("square", "b"), ("worst case", "any"))
    ]
    charts = result(rows, ("a", "b")).section().charts
    assert ["made on" in line.name for line in charts[0].lines] == [True, True, False]
    assert [list(line.x) for line in charts[1].lines] == 3 * [[0, 8]]
