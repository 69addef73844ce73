"""The record of samples that leave by themselves: what it shows, and kept files that it reads."""

import json
from pathlib import Path

import pytest

from bntt.analysis.exit.sample_result import SampleExitResult
from bntt.analysis.result import result_from
from bntt.charts.files import save_figure

RESULTS = Path(__file__).parents[3] / "docs" / "results"
KEPT = sorted(RESULTS.glob("*/exit-per-sample.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_kept_files_are_read_whole(path):
    values = json.loads(path.read_text())
    assert result_from(SampleExitResult, values).to_json() == values


def test_criteria_stand_beside_no_exit_and_all_alike(tmp_path):
    values = json.loads((RESULTS / "cifar10-small-bntt" / "exit-per-sample.json").read_text())
    values["criteria"][0]["threshold"] = float("inf")
    found = result_from(SampleExitResult, values)
    each, alike = found.section().tables
    assert [row[0].text for row in each.rows] == ["no exit", "confidence", "margin", "entropy"]
    assert [row[1].text for row in each.rows][:2] == ["none", "nobody leaves"]
    assert [row[2].text for row in each.rows] == ["8.00", "5.47", "5.56", "6.03"]
    assert each.rows[0][4].text == "3.15M"
    assert [row[1].value for row in alike.rows] == [row["alike_steps"] for row in values["criteria"]]
    leave, accuracy = found.section().charts
    assert [line.y for line in leave.lines] == [*values["leave_after_step"].values()]
    assert [line.x for line in accuracy.lines[:3]] == [[row["mean_steps"]] for row in values["criteria"]]
    for figure in found.figures():
        save_figure(figure, tmp_path / "each.png")
