"""Recipes as files: every one that ships loads and round-trips; overrides; what is no recipe."""

import os
import shlex
import tomllib

import pytest

from bntt.runs.recipe import recipe_names
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe, parse_recipe
from tests.rows import each_row


@each_row("name", recipe_names())
def test_every_recipe_loads_and_its_resolved_form_is_itself(name):
    recipe = load_recipe(name)
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


def test_a_runs_recipe_keeps_the_rounding_of_before_its_keys():
    made, run = tomllib.loads(dump_recipe(load_recipe("demo"))), {}
    for key in ("input_grad", "rectifiers"):
        run[key] = made["compute"].pop(key)
    assert run == {"input_grad": "winograd", "rectifiers": "fused"}
    assert parse_recipe(made) == load_recipe("demo")
    old = parse_recipe(made, stored=True).compute
    assert (old.input_grad, old.rectifiers) == ("direct", "plain")
    made["compute"] |= run
    assert parse_recipe(made, stored=True) == load_recipe("demo")
    with pytest.raises(RecipeError, match="compute"):
        parse_recipe(made | {"compute": 3}, stored=True)


def test_overrides_are_put_over_the_file():
    found = load_recipe("demo", ["train.epochs=3", "network.norm=tdbn", "evaluate.draws=7", "data.augment=[]"])
    assert (found.train.epochs, found.network.norm, found.evaluate.draws, found.data.augment) == (3, "tdbn", 7, ())


def test_a_files_label_does_not_stand_beside_other_data():
    assert load_recipe("demo").data.label
    assert load_recipe("demo", ["data.name=mnist"]).data.label is None
    assert load_recipe("demo", ["data.name=mnist", "data.label=mine"]).data.label == "mine"


def test_a_text_may_look_like_a_number_or_a_date():
    for root in ("2024", "2024-01-01", "true"):
        assert load_recipe("demo", [f"data.root={root}"]).data.root == root
    assert load_recipe("demo", ['data.root="2024"']).data.root == "2024"


@each_row(
    ("override", "named"),
    [
        ("train.epochs", "train.epochs"),
        ("=3", "=3"),
        ("seed.deep=3", "seed is"),
        ("network.num_step=3", "network.num_step"),
        ("train.epochs=three", "train.epochs: .*'three'"),
        ("train={epochs=3}", "train"),
        ("train.epochs=2024-01-01", "train.epochs"),
    ],
)
def test_bad_overrides(override, named):
    with pytest.raises(RecipeError, match=named):
        load_recipe("demo", [override])


@each_row("content", [b"", b"\xff\xfe", b"seed = 1\nseed = 2", b"seed = = 1", b"#" * (1 << 20) + b"#"])
def test_files_that_are_no_recipe(content, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="data" if not content else r"x\.toml"):
        load_recipe(path)


def test_what_is_no_file_is_no_recipe(tmp_path):
    """A pipe is not waited for; a run's recipe, and the known names, are pointed to."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("seed = 0\n")
    os.mkfifo(tmp_path / "pipe")
    for source, named in ((tmp_path / "pipe", "pipe"), (tmp_path / "run", r"recipe\.toml"), ("nope", "nope.*demo")):
        with pytest.raises(RecipeError, match=named):
            load_recipe(source)


@each_row("text", ["[conv1, fc*]", "['conv1', fc*]", "[conv1,fc*"])
def test_text_without_quotes_in_a_list_says_how_it_is_written(text):
    with pytest.raises(RecipeError) as refused:
        load_recipe("demo", [f"train.freeze={text}"])
    _, said = shlex.split(str(refused.value).rpartition(": ")[2])
    assert load_recipe("demo", [said]).train.freeze == ("conv1", "fc*")
