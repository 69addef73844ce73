"""Evaluations side by side, and the first over time."""

import pytest

from bntt.studies.report.accuracy import bounds, evaluations
from bntt.studies.report.reading import GapError, Values
from tests.studies.report.measured import texts, values


def test_a_kept_evaluation():
    section = evaluations({"evaluation": values("cifar10-small-bntt", "evaluation")})
    (table,) = section.tables
    assert [cell.text for cell in table.rows[0]] == [
        "evaluation", "54.5%", "53.6% to 55.5%", "0.31%", "10,000", "5", "8", "5,830"
    ]  # fmt: skip
    assert [len(chart.lines) for chart in section.charts] == [1, 8, 8]
    assert "one start" in section.charts[0].note
    assert "10,000 images, 5 draws" in section.charts[0].note


@pytest.mark.parametrize("kept", [None, 0.0], ids=["null", "as it was kept before"])
def test_of_one_draw_the_spread_is_not_known(kept):
    values = {"split": "test", "images": 60, "accuracy": 0.4, "draws": 1, "accuracy_sd_over_draws": kept}
    (table,) = evaluations({"evaluation": Values(values, "evaluation.json")}).tables
    assert table.rows[0][3].text == "one draw"


def test_shorter_evaluations_stand_below():
    names = ("evaluation", "evaluation-4-steps-truncate")
    section = evaluations({name: values("rival-bntt-0", name) for name in names})
    assert texts(section.tables[0], 6) == ["8", "4"]


def test_a_conversion_and_a_part_of_the_images_are_told():
    words = " ".join(evaluations({"evaluation": values("rival-conversion-0", "evaluation")}).words)
    assert "1,000 of the 10,000 images" in words
    assert "Converted from an ANN, not trained" in words
    hybrid = " ".join(evaluations({"evaluation": values("rival-hybrid-0", "evaluation")}).words)
    assert "Converted from an ANN, then trained" in hybrid


def test_one_step_is_no_line_over_time():
    assert not evaluations({"evaluation": values("rival-ann-0", "evaluation")}).charts


def test_without_an_accuracy_it_is_a_gap():
    with pytest.raises(GapError, match="'images' is missing"):
        evaluations({"evaluation": Values({"accuracy": 0.5}, "evaluation.json")})
    assert bounds(Values({"accuracy_wilson_95": [0.1]}, "")) == (None, None)
