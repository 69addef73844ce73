"""The record of an exit of all samples alike: what it shows, what it refuses, and kept files that it reads."""

import json
from pathlib import Path

import pytest

from bntt.analysis.exit.result import ExitResult, near_the_top, threshold_text
from bntt.analysis.result import result_from
from bntt.charts.files import save_figure
from bntt.charts.records import Line

RESULTS = Path(__file__).parents[3] / "docs" / "results"
KEPT = sorted([*RESULTS.glob("*/exit.json"), *RESULTS.glob("studies/*/measures/exit-*.json")])


def values_of(path):
    values = json.loads(path.read_text())
    return values.get("values", values)


CIFAR = values_of(RESULTS / "cifar10-small-bntt" / "exit.json")


def texts(table, column):
    return [row[column].text for row in table.rows]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parts[-3 if path.parent.name == "measures" else -2])
def test_kept_files_are_read_whole(path):
    values = values_of(path)
    assert result_from(ExitResult, values).to_json() == values


def test_numbers_of_studies():
    found = result_from(ExitResult, CIFAR)
    read = {name: metric.read(found, None) for name, metric in found.METRICS.items()}
    assert read == pytest.approx(
        {
            "exit-steps": 7,
            "exit-accuracy": 54.09,
            "exit-lost": 0.03,
            "exit-saved": 12.5,
            "exit-threshold": 0.226296,
            "truncation-steps": 7,
        },
        rel=1e-5,
    )


def test_the_rules_stand_side_by_side():
    section = result_from(ExitResult, CIFAR).section()
    assert "Stop after 7 of 8 steps: threshold 0.2262 of mean |γ|, loses at most 0.5 points" in section.words[0]
    (table,) = section.tables
    assert table.columns == ("rule", "threshold", "steps", "steps saved", "validation", "test", "points lost")
    assert texts(table, 0) == ["mean |γ|", "mean γ (paper)", "mean |γ|/σ̄", "truncation", "paper's 0.1"]
    assert texts(table, 1)[-2:] == ["–", "0.1"]
    assert texts(table, 2)[-2:] == ["7 of 8", "8 of 8"]
    stated = result_from(ExitResult, CIFAR | {"chosen_on": "stated", "threshold": 0.226299}).section()
    assert "threshold 0.226299 of mean |γ|, as stated" in stated.words[0]
    assert texts(stated.tables[0], 0)[0] == "as stated"


def test_a_reading_that_keeps_no_loss_says_so():
    table = result_from(ExitResult, CIFAR | {"by_reading": {"signed": None}}).section().tables[0]
    assert [cell.text for cell in table.rows[0]] == ["mean γ (paper)", "none keeps the loss", *["–"] * 5]


def test_charts_of_gamma_thresholds_and_steps(tmp_path):
    found = result_from(ExitResult, CIFAR | {"driven": CIFAR["driven"] | {"conv1": [1, 7]}})
    gamma, accuracy, steps, over_time, deviation = found.section().charts
    assert [level.value for level in gamma.levels] == [CIFAR["threshold"], 7]
    assert [i for i, value in enumerate(gamma.lines[0].y) if value is None] == [0, 7]
    assert [i for i, value in enumerate(deviation.lines[0].y) if value is None] == [0, 7]
    assert list(steps.lines[0].y) == [8, 7, 6, 5, 1, 1]
    assert steps.lines[0].x[:2] == [0, CIFAR["grid"][7]["largest_mean_gamma"]]
    assert accuracy.lines[0].y[0] == CIFAR["grid"][7]["test_accuracy"]
    assert {line.name: line.x for line in over_time.lines[2:]} == {"the exit, truncation": [7], "threshold 0.1": [8]}
    (figure,) = found.figures()
    assert len(figure.charts) == 4
    save_figure(figure, tmp_path / "exit.png")


def test_what_is_marked_is_within_the_picture():
    line, point = Line("test", [1, 2], [0.1, 0.9]), Line("exit", [1], [0.1], joined=False)
    assert near_the_top("", [line]).low == pytest.approx(0.78)
    assert near_the_top("", [line, point]).low == pytest.approx(0.088)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": []}, "one row for each of 8 steps"),
        ({"steps": 9}, "not within 8 steps"),
        ({"driven": {}}, "fewer layers"),
        ({"split": "training"}, "split"),
        ({"truncation": {}}, r"truncation\.steps"),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        result_from(ExitResult, CIFAR | change)


@pytest.mark.parametrize("threshold", [0.50651639, 0.999999, 0.1, 1.2345678e-5, 3.0])
def test_a_threshold_as_it_is_told_stops_no_earlier(threshold):
    told = float(threshold_text(threshold))
    assert 0.999 * threshold < told <= threshold
    assert threshold_text(threshold, stated=True) == f"{threshold:g}"
