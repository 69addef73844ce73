"""Starts of a study as recipes."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bntt.runs.recipe.build import build_model
from bntt.runs.recipe.file import load_recipe
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.plan import definition, plan_study, same_runs
from bntt.studies.study_file import load_study, parse_study, study_names
from bntt.studies.study_result import as_json
from tests.evidence import KEPT, RESULTS
from tests.rows import each_row
from tests.runs.recipe.test_recipes_run import parts_like
from tests.studies.found import PLACES, full_result
from tests.studies.kept import study


def planned(setting="small", folder=None, **changed):
    return plan_study(parse_study(study(**changed), "s", folder), setting)


def test_recipe_overrides_and_seeds_come_together():
    bntt, none = planned()
    assert [start.seed for start in bntt.starts] == [0, 1]
    recipe = none.starts[1].recipe
    assert (recipe.seed, recipe.network.norm, recipe.network.width, recipe.train.epochs) == (1, "none", 0.125, 1)
    assert (bntt.label, none.label) == ("BNTT", "none")
    assert list(bntt.starts[0].measures) == ["activity"]


def test_a_run_with_a_recipe_of_its_own_takes_no_overrides_of_the_setting():
    runs = [{"name": "own", "set": ["train.lr=0.2"], "small": {"recipe": "fashion-mnist", "seeds": [7], "label": "L"}}]
    (own,) = planned(runs=runs, table=None, figures=None, claims=None)
    assert own.overrides == ("train.lr=0.2",)
    assert (own.label, own.starts[0].recipe.network.width, own.starts[0].seed) == ("L", 1.0, 7)


def test_what_a_network_cannot_be_measured_by_is_left_out():
    runs = [{"name": "none", "set": ["network.norm=none"], "measures": ["exit", "activity"]}]
    (none,) = planned(runs=runs, table=None, figures=None, claims=None)
    assert list(none.starts[0].measures) == ["activity"]


def test_bad_overrides_name_study_and_run():
    with pytest.raises(RecipeError, match=r"study s, runs a: network.nrm: unknown key; did you mean 'norm'"):
        planned(runs=[{"name": "a", "set": ["network.nrm=bn"]}], table=None, figures=None, claims=None)
    with pytest.raises(RecipeError, match="has no setting 'paper', only small"):
        planned("paper")
    runs = [{"name": "a", "small": {"recipe": "fashion-mnist-conversion"}}]
    with pytest.raises(RecipeError, match="begins with an ANN: name its run in begins_with"):
        planned(runs=runs, table=None, figures=None, claims=None)
    with pytest.raises(RecipeError, match="study s, runs a: set: seed is given by seeds"):
        planned(runs=[{"name": "a", "set": ["seed=7"]}], table=None, figures=None, claims=None)


def test_plain_pytorch_keeps_its_precision():
    runs = [{"name": "plain", "set": ["compute.backend=reference"]}, {"name": "fused"}]
    one = parse_study(study(runs=runs, table=None, figures=None, claims=None), "s")
    plain, fused = plan_study(one, "small", precision="bf16-grad")
    assert [run.starts[0].recipe.compute.precision for run in (plain, fused)] == ["fp32", "bf16-grad"]


def test_a_recipe_beside_the_study_is_found(tmp_path):
    (tmp_path / "mine.toml").write_text(load_text("demo"))
    settings = {"small": {"recipe": "mine.toml", "seeds": [0]}}
    bntt, _ = planned(folder=tmp_path, settings=settings)
    assert bntt.starts[0].recipe.data.name == "fashion-mnist-bundled"


def load_text(name):
    from bntt.runs.recipe.file import dump_recipe

    return dump_recipe(load_recipe(name))


def test_places_of_data_are_put_into_recipes():
    runs = [{"name": "a", "set": ["data.name=images"]}]
    found = plan_study(parse_study(study(runs=runs, table=None, figures=None, claims=None), "s"), "small", PLACES)
    assert found[0].starts[0].recipe.data.root == "/somewhere"


@pytest.mark.slow
@each_row("name", study_names())
def test_every_run_of_every_study_is_a_network_for_its_data(name):
    """At both settings, the plan itself: its norm, neurons, T and encoder, at few channels."""
    seen = set()
    found = load_study(name)
    for setting in found.settings:
        for run in plan_study(found, setting, PLACES):
            recipe = run.starts[0].recipe
            network = replace(recipe.network, width=0.04)
            recipe = replace(recipe, network=network, train=replace(recipe.train, batch_size=2))
            key = (recipe.network, recipe.data.name, recipe.data.order, recipe.encoder)
            if repr(key) in seen:
                continue
            seen.add(repr(key))
            model = build_model(recipe, parts_like(recipe))
            assert math.isfinite(sum(float(p.detach().abs().sum()) for p in model.parameters()))
            assert [start.recipe.seed for start in run.starts] == [start.seed for start in run.starts]


def recipe(norm, *more):
    return load_recipe("fashion-mnist", [f"network.norm={norm}", *more])


@pytest.mark.parametrize(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
def test_at_a_threshold_of_one_they_are_one(one, other):
    assert definition(recipe(one)) == definition(recipe(other))
    assert definition(recipe(one, "seed=3")) == definition(recipe(other)), "whatever the start"


@pytest.mark.parametrize(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
@each_row("where", [["network.threshold=0.5"], ["network.name=resnet20"], ["network.name=resnet19"]])
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


@pytest.mark.slow
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
    assert "BNTT − BNTT with" not in said
    assert "BNTT with α·θ is BNTT by definition, and no rival" in said


@pytest.mark.parametrize("seed", [0, 1, 2])
@each_row(("one", "other"), [("tdbn", "bn-pooled"), ("bntt-scaled", "bntt")])
def test_they_were_so_where_they_were_run(one, other, seed):
    """Of the runs that are kept: the same images right, the same spikes."""
    runs = json.loads((KEPT / "sequence-norms.json").read_text())["runs"]
    kept = {run["name"]: Path(run["starts"][seed]["directory"]).name for run in runs}
    found = [json.loads((RESULTS / kept[name] / "evaluation.json").read_text()) for name in (one, other)]
    assert found[0]["accuracy"] == found[1]["accuracy"]
    assert found[0]["spikes_per_image"] == found[1]["spikes_per_image"]
