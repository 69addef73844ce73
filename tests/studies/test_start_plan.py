"""Starts of a study as recipes."""

import math
from dataclasses import replace

import pytest

from bntt.runs.recipe.build import build_model
from bntt.runs.recipe.file import dump_recipe, load_recipe
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.plan import plan_study
from bntt.studies.study_file import load_study, parse_study, study_names
from tests.rows import each_row
from tests.runs.recipe.test_recipes_run import parts_like
from tests.studies.found import PLACES
from tests.studies.kept import of_runs, study


def planned(setting="small", folder=None, one=None, **changed):
    return plan_study(parse_study(one or study(**changed), "s", folder), setting)


def test_recipe_overrides_and_seeds_come_together():
    bntt, none = planned()
    assert [start.seed for start in bntt.starts] == [0, 1]
    recipe = none.starts[1].recipe
    assert (recipe.seed, recipe.network.norm, recipe.network.width, recipe.train.epochs) == (1, "none", 0.125, 1)
    assert (bntt.label, none.label) == ("BNTT", "none")
    assert list(bntt.starts[0].measures) == ["activity"]


def test_a_run_with_a_recipe_of_its_own_takes_no_overrides_of_the_setting():
    small = {"recipe": "fashion-mnist", "seeds": [7], "label": "L"}
    (own,) = planned(one=of_runs({"name": "own", "set": ["train.lr=0.2"], "small": small}))
    assert own.overrides == ("train.lr=0.2",)
    assert (own.label, own.starts[0].recipe.network.width, own.starts[0].seed) == ("L", 1.0, 7)


def test_what_a_network_cannot_be_measured_by_is_left_out():
    (none,) = planned(one=of_runs({"name": "none", "set": ["network.norm=none"], "measures": ["exit", "activity"]}))
    assert list(none.starts[0].measures) == ["activity"]


@each_row(
    ("run", "setting", "said"),
    [
        ({"set": ["network.nrm=bn"]}, "small", r"study s, runs a: network.nrm: unknown key; did you mean 'norm'"),
        ({}, "paper", "'paper'"),
        ({"small": {"recipe": "fashion-mnist-conversion"}}, "small", "begins_with"),
        ({"set": ["seed=7"]}, "small", "set: seed"),
    ],
)
def test_what_is_wrong_with_a_start_names_study_and_run(run, setting, said):
    with pytest.raises(RecipeError, match=said):
        planned(setting, one=of_runs({"name": "a", **run}))


def test_a_recipe_beside_the_study_is_found(tmp_path):
    (tmp_path / "mine.toml").write_text(dump_recipe(load_recipe("demo")))
    settings = {"small": {"recipe": "mine.toml", "seeds": [0]}}
    bntt, _ = planned(folder=tmp_path, settings=settings)
    assert bntt.starts[0].recipe.data.name == "fashion-mnist-bundled"


def test_places_of_data_are_put_into_recipes():
    found = plan_study(parse_study(of_runs({"name": "a", "set": ["data.name=images"]}), "s"), "small", PLACES)
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
