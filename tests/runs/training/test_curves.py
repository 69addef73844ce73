"""A training epoch by epoch."""

import math

import pytest

from bntt.charts.files import draw_figure
from bntt.charts.records import Figure
from bntt.runs.training.curves import best_epoch, training_curves


def rows(epochs, layers=3, every=1):
    """As ``metrics.jsonl`` has them; validation and firing rates in every so many epochs."""
    names = [f"conv{number + 1}" for number in range(layers)]
    return [
        {
            "epoch": epoch,
            "train_loss": 2.3 / (epoch + 1),
            "train_accuracy": epoch / epochs,
            "validation_accuracy": 0.9 - abs(epoch - epochs // 2) / 400 if (epoch + 1) % every == 0 else None,
            "lr": 0.3 * 0.1 ** (4 * epoch // epochs),
            "firing_rate": {name: 0.01 * (i + 1) for i, name in enumerate(names)} if (epoch + 1) % every == 0 else None,
            "gamma": dict.fromkeys(names, 1 - epoch / (2 * epochs)),
        }
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize(("epochs", "layers"), [(1, 2), (300, 19)])
def test_curves_of_few_and_many_epochs(epochs, layers):
    charts = training_curves(rows(epochs, layers))
    loss, accuracy, rate, firing, gamma = charts
    assert (loss.lines[0].x[0], loss.lines[0].y[0], loss.lines[0].x[-1]) == (1, 2.3, epochs)
    assert [line.name for line in accuracy.lines] == ["training", "validation"]
    assert rate.y.scale == ("log" if epochs > 1 else "linear")
    assert len(firing.lines) == len(gamma.lines) == layers
    assert firing.lines[1].y[0] == pytest.approx(0.02)
    assert draw_figure(Figure("a run", charts))


def test_the_best_epoch_is_marked_and_epochs_without_a_value_are_passed_over():
    _, accuracy, _, rates, gamma = training_curves(rows(20, every=5))
    assert accuracy.lines[1].x == rates.lines[0].x == [5, 10, 15, 20]
    assert len(gamma.lines[0].x) == 20
    (best,) = accuracy.levels
    assert (best.value, best.at) == (10, "x")
    equal = [{**row, "validation_accuracy": 0.5} for row in rows(4)]
    assert best_epoch(equal) == (1, 0.5), "the first of equals, as a run keeps it"
    grown = [{**row, "best": row["epoch"] in kept} for kept in ((1, 3), ()) for row in rows(5)]
    assert best_epoch(grown[:5]) == (4, rows(5)[3]["validation_accuracy"]), "the last that was kept"
    assert best_epoch(grown[5:]) is None


def test_what_rows_do_not_have_has_no_chart_and_what_is_not_finite_is_open():
    plain = [{key: row[key] for key in ("epoch", "train_loss", "train_accuracy", "lr")} for row in rows(4)]
    assert [chart.y.label for chart in training_curves(plain)] == ["loss", "accuracy", "learning rate"]
    plain[2]["train_loss"], plain[3]["train_loss"], plain[0]["lr"] = math.nan, math.inf, 0.0
    loss, _, rate = training_curves(plain)
    assert loss.lines[0].y == [2.3, 1.15, None, None]
    assert rate.y.scale == "linear", "a rate of 0 has no logarithm"
    assert training_curves([]) == []
