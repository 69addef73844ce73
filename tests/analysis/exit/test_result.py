"""The records of an exit of all samples alike and of each by itself: what they show, and what they refuse."""

import pytest

from bntt.analysis.exit import ExitResult, SampleExitResult, threshold_text, zoomed_axis
from bntt.analysis.result import result_from
from bntt.charts.records import Line

GAMMA = {"conv1": [0.9, 0.4, 0.2, 0.05], "fc1": [0.3, 0.8, 0.1, 0.04]}


def stop(steps, threshold, validation, test):
    own = {"steps": steps, "threshold": threshold, "validation_accuracy": validation, "test_accuracy": test}
    return own | {"validation_lost": 0.62 - validation, "test_lost": 0.6 - test}


def at(steps, gamma, above, to, validation, test):
    ends = {"threshold_above": above, "threshold_to": to, "validation_accuracy": validation, "test_accuracy": test}
    return {"steps": steps, "largest_mean_gamma": gamma} | ends


VALUES = {
    "arguments": {"loss": 0.5, "threshold": None, "per_sample": False, "split": "test", "draws": 2},
    "dataset": "made", "split": "test", "epoch": 4, "loss_allowed": 0.005, "draws": 2, "steps": 3,
    "threshold": 0.22629, "chosen_on": "validation", "data_sha256": {"train": "a"}, "weights_sha256": "b",
    "num_steps": 4, "validation_images": 100, "test_images": 200, "chosen": stop(3, 0.22629, 0.619, 0.599),
    "by_reading": {"magnitude": stop(3, 0.22629, 0.619, 0.599), "signed": stop(3, 0.2, 0.619, 0.599), "relative": None},
    "truncation": stop(3, None, 0.619, 0.599), "paper_threshold": stop(4, 0.1, 0.62, 0.6),
    "grid": [
        at(1, 0.9, 0.8, None, 0.3, 0.25), at(2, 0.8, 0.2, 0.8, 0.5, 0.45),
        at(3, 0.2, 0.05, 0.2, 0.619, 0.599), at(4, 0.05, 0.0, 0.05, 0.62, 0.6),
    ],
    "deviation": GAMMA, "gamma_magnitude": GAMMA, "gamma_signed": GAMMA, "gamma_relative": GAMMA,
    "driven": {"conv1": [0, 4], "fc1": [0, 4]},
}  # fmt: skip
FOUND = result_from(ExitResult, VALUES)


def texts(table, column):
    return [row[column].text for row in table.rows]


def test_a_file_is_read_whole():
    assert FOUND.to_json() == VALUES
    older = VALUES | {"arguments": VALUES["arguments"] | {"choose_on": "validation"}}
    assert result_from(ExitResult, older) == FOUND, "an argument that older files state"


def test_numbers_of_studies():
    assert {name: metric.read(FOUND, None) for name, metric in FOUND.metrics().items()} == pytest.approx({
        "exit-steps": 3, "exit-accuracy": 59.9, "exit-lost": 0.1, "exit-saved": 25, "exit-threshold": 0.22629,
        "truncation-steps": 3, "truncation-saved": 25, "truncation-lost": 0.1, "paper-exit-steps": 4,
        "paper-exit-accuracy": 60.0, "paper-exit-saved": 0, "paper-exit-lost": 0,
    })  # fmt: skip


def test_the_rules_stand_side_by_side_and_charts_show_gamma_where_it_has_a_path():
    section = result_from(ExitResult, VALUES | {"driven": {"conv1": [1, 3], "fc1": [0, 4]}}).section()
    (table,) = section.tables
    assert texts(table, 2)[-2:] == ["3 of 4", "4 of 4"]
    assert len(table.rows[2]) == len(table.columns), "a rule without a stop"
    gamma, accuracy, steps = section.charts
    assert [level.value for level in gamma.levels] == [0.22629, 3]
    assert [i for i, value in enumerate(gamma.lines[0].y) if value is None] == [0, 3]
    assert list(steps.lines[0].y) == [4, 3, 2, 1, 1]
    assert steps.lines[0].x[:4] == [0, 0.05, 0.2, 0.8]
    assert accuracy.lines[0].y[0] == 0.6
    stated = result_from(ExitResult, VALUES | {"chosen_on": "stated", "threshold": 0.226299}).section()
    assert "0.226299" in stated.words[0]
    assert texts(stated.tables[0], 0)[0] == "as stated"


def test_an_exit_that_rests_on_little_says_so():
    few, *others = result_from(ExitResult, VALUES).section().words[1:]
    assert "600 images" in few
    assert "100 validation images" in few
    assert not others, "γ from 0.9 to 0.05 varies"
    flat = [row | {"largest_mean_gamma": 0.97 - 0.01 * t} for t, row in enumerate(VALUES["grid"])]
    (text,) = result_from(ExitResult, VALUES | {"grid": flat, "validation_images": 600}).section().words[1:]
    assert "0.94 to 0.97" in text
    stated = result_from(ExitResult, VALUES | {"chosen_on": "stated"})
    assert len(stated.section().words) == 1, "nothing was chosen on validation"


def test_what_is_marked_is_within_the_picture():
    line, point = Line("test", [1, 2], [0.1, 0.9]), Line("exit", [1], [0.1], joined=False)
    assert zoomed_axis("", [line]).low == pytest.approx(0.78)
    assert zoomed_axis("", [line, point]).low == pytest.approx(0.088)


def test_a_file_whose_parts_do_not_fit_is_refused():
    for change, words in (
        ({"grid": []}, "grid"),
        ({"steps": 9}, "stops"),
        ({"driven": {}}, "driven"),
        ({"split": "training"}, "split"),
        ({"truncation": {}}, r"truncation\.steps"),
    ):
        with pytest.raises(ValueError, match=words):
            result_from(ExitResult, VALUES | change)


def test_a_threshold_as_it_is_told_stops_no_earlier():
    for threshold in (0.50651639, 0.999999, 0.1, 1.2345678e-5, 3.0):
        told = float(threshold_text(threshold))
        assert 0.999 * threshold < told <= threshold
        assert threshold_text(threshold, stated=True) == f"{threshold:g}"


def test_each_criterion_has_a_row_and_a_point_beside_the_common_exit():
    rows = [
        {"criterion": name, "threshold": threshold, "validation_accuracy": 0.6, "validation_lost": 0.01,
         "test_accuracy": 0.58, "mean_steps": steps, "spikes_per_image": 900.0, "seconds": 1.5,
         "additions_per_image": 2e6, "macs_per_image": 1e5}
        for name, threshold, steps in (("confidence", float("inf"), 3.0), ("margin", 0.99998, 2.5))
    ]  # fmt: skip
    leave = {"confidence": [0.1, 0.2, 0.3, 0.4], "margin": [0.0, 0.5, 0.5, 0.0]}
    values = {
        "arguments": {"loss": 1.0, "threshold": None, "per_sample": True, "split": "test", "draws": None},
        "dataset": "made", "split": "test", "epoch": 4, "loss_allowed": 0.01, "draws": 1, "images": 200,
        "whole_accuracy": 0.6, "whole_steps": 4, "whole_seconds": 2.0, "whole_additions_per_image": 3e6,
        "whole_macs_per_image": 1.5e5, "accuracy_over_time": [0.2, 0.4, 0.58, 0.6], "leave_after_step": leave,
        "criteria": rows,
    }  # fmt: skip
    found = result_from(SampleExitResult, values)
    rows[0]["threshold"] = None
    assert found.to_json() == values
    (each,) = found.section().tables
    assert texts(each, 1) == ["–", "0.9999"], "no image leaves early by the first, and some by the second"
    assert texts(each, 4) == ["2,100,000"] * 2
    left, accuracy = found.section().charts
    assert [line.y for line in left.lines] == [*leave.values()]
    assert [line.x for line in accuracy.lines[:2]] == [[3.0], [2.5]]
    assert list(accuracy.lines[2].y) == values["accuracy_over_time"]
