"""Runs that are one by definition: found from recipes, in every study, and bit for bit the same where they were run."""

import json

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.studies.same_by_definition import definition, same_runs
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import load_study, study_names
from bntt.studies.study_result import as_json
from tests.evidence import RESULTS
from tests.studies.found import full_result


def recipe(norm, *more):
    return load_recipe("fashion-mnist", [f"network.norm={norm}", *more])


@pytest.mark.parametrize(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
def test_at_a_threshold_of_one_they_are_one(one, other):
    assert definition(recipe(one)) == definition(recipe(other))
    assert definition(recipe(one, "seed=3")) == definition(recipe(other)), "whatever the start"


@pytest.mark.parametrize(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
@pytest.mark.parametrize(
    "where", [["network.threshold=0.5"], ["network.name=resnet20"], ["network.name=resnet19"]], ids=str
)
def test_where_alpha_times_theta_is_not_one_they_differ(one, other, where):
    """By θ, and by the α of a residual network's sums."""
    assert definition(recipe(one, *where)) != definition(recipe(other, *where))


def test_what_else_a_recipe_says_counts():
    assert definition(recipe("bntt", "train.lr=0.2")) != definition(recipe("bntt"))
    assert definition(recipe("bntt", "network.norm_eps=1e-5")) != definition(recipe("bntt"))
    assert definition(recipe("none"), "a") == definition(recipe("none"), "b"), "nothing is converted"
    begun = recipe("none", "convert.ann=x")
    assert definition(begun, "a") != definition(begun, "b")
    assert len({definition(recipe(norm)) for norm in ("bntt", "bntt-beta", "tdbn", "tebn", "tab", "bn", "layer")}) == 7


def test_the_studies_that_come_with_the_package_count_nothing_twice_at_the_papers_setting():
    found = {name: same_runs(plan_study(load_study(name), "paper")) for name in study_names()}
    assert {name: same for name, same in found.items() if same} == {}
    small = {name: same_runs(plan_study(load_study(name), "small")) for name in ("table-4", "sequence-norms")}
    assert small == {
        "table-4": {"bntt-scaled": "bntt"},
        "sequence-norms": {"tdbn": "bn-pooled", "bntt-scaled": "bntt"},
    }


def test_a_result_names_them_in_its_table_and_counts_them_once_in_its_claims():
    found = as_json(full_result("table-4"))
    same = {row["run"]: row["same_as"] for row in found["table"]["rows"] if "same_as" in row}
    assert same == {"bntt-scaled": "BNTT"}
    said = next(claim["because"] for claim in found["claims"] if "than every other" in claim["says"])
    assert "bntt - bntt-scaled" not in said
    assert "bntt-scaled is bntt by definition, and no rival" in said


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
def test_they_were_so_where_they_were_run(one, other, seed):
    """Of the runs that are kept: the same images right, the same spikes."""
    found = [json.loads((RESULTS / f"rows-{name}-{seed}" / "evaluation.json").read_text()) for name in (one, other)]
    assert found[0]["accuracy"] == found[1]["accuracy"]
    assert found[0]["spikes_per_image"] == found[1]["spikes_per_image"]
