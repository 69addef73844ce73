"""What a result says: schema, statistics, verdicts, and what was not run."""

import json
import math
from dataclasses import replace

import pytest

from bntt.studies.study_file import study_names
from bntt.studies.study_result import as_json, write_results
from tests.rows import each_row
from tests.studies.found import empty_result, full_result, small_result

TOP = [
    "study",
    "title",
    "about",
    "setting",
    "bntt",
    "numerics",
    "written",
    "commit",
    "device",
    "runs",
    "table",
    "figures",
]
START = ["seed", "state", "why", "directory", "digest", "data", "commit", "device", "seconds", "numerics", "measures"]


def test_the_schema():
    found = as_json(small_result(), [{"file": "f.svg", "title": "t", "alt": "a"}])
    assert {*TOP, "claims"} <= found.keys()
    run = found["runs"][0]
    assert {"name", "label", "recipe", "overrides", "seeds", "starts"} <= run.keys()
    assert set(START) <= run["starts"][0].keys()
    assert found["table"]["columns"][0] == {"key": "acc", "title": "test accuracy", "unit": "%"}
    assert found["claims"][0].keys() == {"says", "quotation", "source", "paper", "verdict", "because", "rule"} | {
        "effects",
        "starts",
        "p",
    }
    assert found["figures"] == [{"file": "f.svg", "title": "t", "alt": "a"}]
    assert found["preliminary"] is True


def many(result, seeds):
    """The result with more starts, each as its run's first."""
    runs, found = [], {}
    for run in result.runs:
        one = result.found[run.name, 0]
        starts = tuple(replace(one.start, seed=seed) for seed in range(seeds))
        runs.append(replace(run, starts=starts))
        found |= {(run.name, start.seed): replace(one, start=start) for start in starts}
    return replace(result, runs=tuple(runs), found=found)


def test_what_is_preliminary_is_said_by_the_starts_that_were_done():
    whole = many(small_result(), 5)
    assert as_json(whole)["preliminary"] is False
    failed = {"state": "failed", "kept": None, "numbers": {}}
    short = {key: replace(one, **failed) if key == ("none", 4) else one for key, one in whole.found.items()}
    assert as_json(replace(whole, found=short))["preliminary"] is True
    blind = {key: replace(one, numbers={}) if key == ("none", 4) else one for key, one in whole.found.items()}
    assert as_json(replace(whole, found=blind))["preliminary"] is True, "a number of four starts"


def test_a_cell_has_mean_deviation_interval_and_every_value():
    found = as_json(small_result({("bntt", 0): 0.80, ("bntt", 1): 0.84}))
    cell = found["table"]["rows"][0]["cells"]["acc"]
    assert (cell["mean"], cell["n"], cell["values"]) == (pytest.approx(82.0), 2, pytest.approx([80.0, 84.0]))
    assert cell["sd"] == pytest.approx(8**0.5)
    assert cell["low_95"] == pytest.approx(82 - 12.7062 * 2, abs=1e-3)
    assert cell["text"] == "82.0 ± 2.8"
    assert found["table"]["rows"][0]["paper"]["acc"] == {"missing": "not available"}


def test_a_row_on_modified_files_says_so():
    result = small_result()
    found = result.found["bntt", 0]
    kept = replace(found.kept, environment={**found.kept.environment, "data": {"check": "modified"}})
    rows = as_json(replace(result, found={**result.found, ("bntt", 0): replace(found, kept=kept)}))["table"]["rows"]
    assert [row["label"] for row in rows] == ["BNTT (modified files)", "none"]


def test_a_column_can_be_what_is_left_of_another():
    result = small_result({("bntt", 0): 0.80, ("bntt", 1): 0.84})
    first, *others = result.study.table
    left = first.model_copy(update={"key": "left", "minus": "acc"})
    found = replace(result, study=result.study.model_copy(update={"table": [first, *others, left]})).numbers()
    assert found["bntt", "left"] == {0: 0.0, 1: 0.0}
    other = first.model_copy(update={"key": "acc", "metric": "spikes"})
    twice = replace(result, study=result.study.model_copy(update={"table": [other, left]})).numbers()
    assert twice["bntt", "left"] == pytest.approx(
        {s: twice_acc - twice["bntt", "acc"][s] for s, twice_acc in ((0, 80.0), (1, 84.0))}
    )


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


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_none(wrong):
    found = as_json(small_result({("bntt", 0): wrong, ("bntt", 1): 0.84, ("none", 0): wrong, ("none", 1): wrong}))
    rows = [row["cells"]["acc"] for row in found["table"]["rows"]]
    assert rows[0]["values"] == [84.0]
    assert rows[1] is None
    assert found["claims"][0]["verdict"] == "not run"
    assert found["claims"][0]["because"].endswith(
        "; left out, without a number: bntt from start 0, none from start 0, none from start 1"
    )


@pytest.mark.slow
@each_row("name", study_names())
def test_every_study_gives_a_result_with_numbers_and_without(name, tmp_path):
    for setting in ("small", "paper"):
        values = as_json(full_result(name, setting))
        for row in values["table"]["rows"]:
            for cell in filter(None, row["cells"].values()):
                assert math.isfinite(cell["mean"])
        assert any(cell for row in values["table"]["rows"] for cell in row["cells"].values())
        assert {claim["verdict"] for claim in values["claims"]} <= {"holds", "does not hold", "not decided", "not run"}
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
