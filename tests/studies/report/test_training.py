"""A run over its epochs."""

import pytest

from bntt.studies.report.reading import GapError, Values, read_lines
from bntt.studies.report.training import training
from tests.studies.report.measured import KEPT


def rows(*held):
    return [Values(one, "metrics.jsonl") for one in held]


def test_curves_of_a_kept_run():
    section = training(read_lines(KEPT / "cifar10-small-bntt" / "metrics.jsonl"))
    assert section.words == ("Best validation accuracy 55.6%, at epoch 5 of 6.",)
    titles = {chart.title: chart for chart in section.charts}
    assert len(titles) == 5
    assert titles["Learning rate"].y.scale == "log"
    accuracies = titles["Accuracy in training"].lines
    assert [line.name for line in accuracies] == ["training", "validation"]
    assert accuracies[1].y[4] == pytest.approx(0.5556)
    assert accuracies[0].x[0] == 1


def test_what_is_not_there_is_not_drawn():
    section = training(rows({"epoch": 0, "train_loss": 2.0}, {"epoch": 1, "train_loss": float("nan")}))
    assert [chart.title for chart in section.charts] == ["Loss in training"]
    assert section.charts[0].lines[0].y == [2.0]
    assert "No validation" in section.words[0]
    assert training([]).gaps
    with pytest.raises(GapError, match="'epoch' is missing"):
        training(rows({"train_loss": 2.0}))


def test_one_epoch_is_no_curve():
    assert not training(rows({"epoch": 0, "train_loss": 2.0, "validation_accuracy": 0.5})).charts
