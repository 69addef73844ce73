"""What a result says: statistics, verdicts, and what was not run."""

import json
import math
from dataclasses import replace

import pytest

from bntt.studies.study_file import load_study, study_names
from bntt.studies.study_result import as_json, published, write_results
from tests.rows import each_row
from tests.studies.found import empty_result, full_result, small_result


def test_a_result_has_the_keys_that_other_programs_read():
    found = as_json(small_result(), [{"file": "f.svg", "title": "t", "alt": "a"}])
    top = "study title about setting bntt numerics written commit device runs table figures claims"
    start = "seed state why directory digest data commit device seconds numerics measures"
    assert set(top.split()) <= found.keys()
    assert {"name", "label", "recipe", "overrides", "seeds", "starts"} <= found["runs"][0].keys()
    assert set(start.split()) <= found["runs"][0]["starts"][0].keys()
    assert found["table"]["columns"][0] == {"key": "acc", "title": "test accuracy", "unit": "%"}
    claim = "says quotation source paper verdict because effects starts p"
    assert found["claims"][0].keys() == set(claim.split())
    assert found["figures"] == [{"file": "f.svg", "title": "t", "alt": "a"}]


def test_a_cell_has_mean_deviation_interval_and_every_value():
    row = as_json(small_result({("bntt", 0): 0.80, ("bntt", 1): 0.84}))["table"]["rows"][0]
    cell = row["cells"]["acc"]
    assert (cell["mean"], cell["n"], cell["values"]) == (pytest.approx(82.0), 2, pytest.approx([80.0, 84.0]))
    assert (cell["sd"], cell["text"]) == (pytest.approx(8**0.5), "82.0 ± 2.8")
    assert cell["low_95"] == pytest.approx(82 - 12.7062 * 2, abs=1e-3)
    assert row["paper"]["acc"] == {"missing": "not available"}


def test_a_row_on_modified_files_says_so():
    result = small_result()
    found = result.found["bntt", 0]
    kept = replace(found.kept, environment={**found.kept.environment, "data": {"check": "modified"}})
    rows = as_json(replace(result, found={**result.found, ("bntt", 0): replace(found, kept=kept)}))["table"]["rows"]
    assert [row["label"] for row in rows] == ["BNTT (modified files)", "none"]


def test_a_column_can_be_what_is_left_of_another():
    result = small_result({("bntt", 0): 0.80, ("bntt", 1): 0.84})
    other = result.study.table[0].model_copy(update={"key": "acc", "metric": "spikes"})
    left = result.study.table[0].model_copy(update={"key": "left", "minus": "acc"})
    numbers = replace(result, study=result.study.model_copy(update={"table": [other, left]})).numbers()
    assert numbers["bntt", "left"] == pytest.approx({0: 80.0 - 10.0, 1: 84.0 - 10.0})


@each_row(
    ("accuracy", "verdict"),
    [
        ({("bntt", 0): 0.90, ("bntt", 1): 0.901}, "holds"),
        ({("bntt", 0): 0.70, ("bntt", 1): 0.701}, "does not hold"),
        ({("bntt", 0): 0.70, ("bntt", 1): 0.95}, "not decided"),
    ],
)
def test_claims_are_judged(accuracy, verdict):
    assert as_json(small_result(accuracy))["claims"][0]["verdict"] == verdict


@each_row("wrong", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_none_and_never_left_out_silently(wrong):
    found = as_json(small_result({("bntt", 0): wrong, ("bntt", 1): 0.84, ("none", 0): wrong, ("none", 1): wrong}))
    rows = [row["cells"]["acc"] for row in found["table"]["rows"]]
    assert (rows[0]["values"], rows[1]) == ([84.0], None)
    assert found["claims"][0]["verdict"] == "not run"
    assert found["claims"][0]["because"].endswith(": bntt from start 0, none from start 0, none from start 1")


@pytest.mark.slow
@each_row("name", study_names())
def test_every_study_gives_a_result_with_numbers_and_without(name, tmp_path):
    for setting in ("small", "paper"):
        values = as_json(full_result(name, setting))
        cells = [cell for row in values["table"]["rows"] for cell in row["cells"].values() if cell]
        assert cells
        assert all(math.isfinite(cell["mean"]) for cell in cells)
    nothing = as_json(empty_result(name))
    assert {claim["verdict"] for claim in nothing["claims"]} <= {"not run"}
    assert not any(cell for row in nothing["table"]["rows"] for cell in row["cells"].values())
    (path,) = write_results([empty_result(name)], tmp_path)
    assert json.loads(path.read_text())["study"] == name


def test_the_place_of_an_ann_is_not_told():
    result = small_result()
    start = result.found["bntt", 0]
    start.numbers["evaluate"]["conversion"] = {"ann": {"run": "/home/me/runs/ann", "epoch": 1}, "scale": 0.5}
    told = as_json(result)["runs"][0]["starts"][0]["measures"]["evaluate"]["conversion"]
    assert told == {"ann": {"run": "ann", "epoch": 1}, "scale": 0.5}


def test_where_results_are(tmp_path):
    results = [empty_result("figure-4", setting) for setting in ("paper", "small")]
    found = [path.relative_to(tmp_path).as_posix() for path in write_results(results, tmp_path)]
    assert found == ["figure-4/result.json", "figure-4-small/result.json"]


@each_row("key", [(study, run, column) for study, rows in published().items() for run in rows for column in rows[run]])
def test_every_number_of_the_paper_is_of_a_study_run_and_column(key):
    study, run, column = key
    found, number = load_study(study), published()[study][run][column]
    assert run in [one.name for one in found.runs_at("paper")]
    (shown,) = (one for one in found.table if one.shown and one.key == column)
    assert number.keys() == {"value", "source"}
    assert len(number["source"]) > 10
    assert shown.number.unit != "%" or 1 < number["value"] <= 100


def test_a_number_of_the_paper_that_was_not_seen_is_not_available():
    rows = {row["run"]: row["paper"] for row in as_json(empty_result("table-1", "paper"))["table"]["rows"]}
    assert rows["tiny-bntt"]["accuracy"] == {"missing": "not available"}
    assert rows["cifar10-bntt"]["accuracy"]["value"] == 90.5
