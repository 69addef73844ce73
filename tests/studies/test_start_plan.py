"""Starts of a study as recipes."""

import math
from dataclasses import replace

import pytest
import torch

from bntt.data import synthetic
from bntt.data.prepared import manifest_of
from bntt.data.registry import DATASETS
from bntt.runs.recipe.build import build_model
from bntt.runs.recipe.datasets import Parts, as_shown
from bntt.runs.recipe.file import load_recipe
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import load_study, parse_study, study_names
from tests.runs.recipe.test_recipes_run import SHAPES, frames
from tests.studies.kept import study

PLACES = {"images": "/somewhere", "dvs-cifar10": "/elsewhere"}


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


def parts_like(recipe):
    """Made samples in the shape of a recipe's dataset."""
    if DATASETS[recipe.data.name].formats:
        return frames(recipe.data.frames.size, recipe.network.num_steps)
    channels, size, classes = SHAPES.get(recipe.data.name, (3, 32, 10))
    made = synthetic(channels=channels, image_size=size, num_classes=classes, train=4, test=2)
    train, test = (as_shown(images, recipe.data.order) for images in made)
    return Parts(train, test, test, *made.train.pixel_statistics(), "made", manifest_of(made, "made"))


@pytest.mark.parametrize("name", study_names())
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
            assert replace(run.starts[0], run="x").recipe.seed in (start.seed for start in run.starts)
    assert torch.is_grad_enabled()
