"""Recipes as files: every one that ships loads and round-trips; overrides; what is no recipe."""

import os
import shlex
import tomllib
from pathlib import Path

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
    ("override", "message"),
    [
        ("train.epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed.deep=3", "seed is a value, not a table"),
        ("network.num_step=3", "did you mean 'num_steps'"),
        ("train.epochs=three", "train.epochs: .* got 'three'"),
        ("train={epochs=3}", r"replaces a whole table: set its keys one by one, -s train\.KEY=VALUE"),
        ("train.epochs=2024-01-01", "train.epochs: .* got"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("demo", [override])


@each_row(
    ("content", "message"),
    [
        (b"", "data: is missing"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"seed = 1\nseed = 2", "is not TOML"),
        (b"seed = = 1", "is not TOML"),
        (b"#" * (1 << 20) + b"#", "at most 1,048,576"),
    ],
)
def test_files_that_are_no_recipe(content, message, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


@each_row("make", [Path.mkdir, os.mkfifo])
def test_paths_that_are_no_file(make, tmp_path):
    """A pipe is not waited for."""
    make(tmp_path / "x")
    with pytest.raises(RecipeError, match="no recipe"):
        load_recipe(tmp_path / "x")


def test_a_run_in_place_of_its_recipe_is_told_where_the_recipe_is(tmp_path):
    (tmp_path / "recipe.toml").write_text("seed = 0\n")
    with pytest.raises(RecipeError, match=r"no recipe .*: did you mean '.*recipe\.toml'\?"):
        load_recipe(tmp_path)


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(RecipeError, match=r"no recipe 'nope': give a file, or one of .*demo"):
        load_recipe("nope")


@each_row("text", ["[conv1, fc*]", "['conv1', fc*]", "[conv1,fc*"])
def test_text_without_quotes_in_a_list_says_how_it_is_written(text):
    with pytest.raises(RecipeError, match="quote texts in a list") as refused:
        load_recipe("demo", [f"train.freeze={text}"])
    _, said = shlex.split(str(refused.value).rpartition(": ")[2])
    assert load_recipe("demo", [said]).train.freeze == ("conv1", "fc*")
