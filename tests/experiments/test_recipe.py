"""Recipes: every one that ships loads, round-trips, and a wrong key or value is named."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bntt.experiments.recipe import RecipeError, dump_recipe, load_recipe, parse_recipe, recipe_names

MINIMAL = {
    "data": {"name": "fashion-mnist-bundled"},
    "network": {"name": "vgg6", "num_steps": 4},
    "train": {"epochs": 1, "batch_size": 10},
}


def changed(**tables):
    return {**MINIMAL, **{name: {**MINIMAL.get(name, {}), **values} for name, values in tables.items()}}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_its_resolved_form_is_itself(name):
    recipe = load_recipe(name)
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


def test_defaults_are_the_papers():
    train = parse_recipe(MINIMAL).train
    assert (train.lr, train.momentum, train.weight_decay, train.lr_drops) == (0.3, 0.9, 5e-4, [50, 70, 90])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**MINIMAL, "sed": 1}, "sed: unknown key; did you mean 'seed'?"),
        (changed(network={"num_step": 4}), "network.num_step: unknown key; did you mean 'num_steps'?"),
        (changed(network={"zzz": 4}), "network.zzz: unknown key; known keys: name, num_steps"),
        (changed(network={"num_steps": 0}), "network.num_steps: .* greater than or equal to 1, got 0"),
        (changed(network={"num_steps": 2.5}), "network.num_steps: .* valid integer, got 2.5"),
        (changed(network={"num_steps": "25 "}), "network.num_steps: .* valid integer, got '25 '"),
        (changed(network={"num_steps": 10**9}), "network.num_steps: .* less than or equal to 100000"),
        (changed(network={"leak": 1.5}), "network.leak: .* less than or equal to 1, got 1.5"),
        (changed(network={"leak": float("nan")}), "network.leak"),
        (changed(network={"threshold": 0.0}), "network.threshold: .* greater than 0"),
        (
            changed(network={"norm": "bnnt"}),
            "network.norm: unknown name; did you mean 'bntt'. choose one of .*, got 'bnnt'",
        ),
        (
            changed(network={"name": "transformer"}),
            "network.name: unknown name; choose one of vgg6, vgg9, .*, got 'transformer'",
        ),
        (changed(network={"fire": "befor"}), "network.fire: unknown name; did you mean 'before'. .*after, before, got"),
        (changed(network={"reset": "none"}), "network.reset: unknown name; choose one of soft, hard, got 'none'"),
        (changed(network={"surrogate": "arctn"}), "network.surrogate: unknown name; did you mean 'arctan'"),
        (changed(network={"learn_leak": 1}), 'network.learn_leak: must be true, false, "layer" or "channel", got 1'),
        (changed(network={"norm": 3}), "network.norm: must be text, in quotation marks, got 3"),
        ({**MINIMAL, "network": "vgg6"}, "network: must be a table of keys and values, got 'vgg6'"),
        (changed(data={"name": "minst"}), "data.name: unknown name; did you mean 'mnist'"),
        (
            changed(data={"augment": ["crop", "flap"]}),
            "data.augment.1: unknown name; did you mean 'flip'. .*crop, flip",
        ),
        (changed(data={"augment": "crop"}), "data.augment: must be a list, in brackets, got 'crop'"),
        (
            changed(data={"mix": "mixip"}),
            "data.mix: unknown name; did you mean 'mixup'. choose one of mixup, cutmix, or \"\" for none, got 'mixip'",
        ),
        (changed(data={"mix_alpha": 0.0}), "data.mix_alpha: .* greater than 0, got 0.0"),
        (changed(data={"mix_alpha": float("inf")}), "data.mix_alpha: .* finite number, got inf"),
        (changed(data={"name": ""}), "data.name: unknown name; choose one of .*, got ''"),
        *(
            (
                changed(compute={"recompute": value}),
                f'compute.recompute: must be "auto", "never" or a whole number of steps, 1 or more, got {value!r}',
            )
            for value in (0, -2, 2.0, "sometimes", True, "3")
        ),
        (changed(train={"lr": -0.1}), "train.lr: .* greater than or equal to 0"),
        (changed(train={"lr": float("inf")}), "train.lr"),
        (changed(train={"epochs": 0}), "train.epochs"),
        (changed(train={"batch_size": -3}), "train.batch_size"),
        (changed(data={"augment": ["spin"]}), "data.augment"),
        ({**MINIMAL, "seed": -1}, "seed"),
        ({**MINIMAL, "seed": 2**63}, "seed"),
        ({**MINIMAL, "seed": "abc"}, "seed"),
        ({"data": MINIMAL["data"], "train": MINIMAL["train"]}, "network: Field required"),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(values)


@pytest.mark.parametrize("value", ["auto", "never", 1, 25])
def test_recompute(value):
    assert parse_recipe(changed(compute={"recompute": value})).compute.recompute == value


def test_the_schema_waits_for_no_torch():
    code = "import sys, bntt.experiments.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_overrides_are_put_over_the_file():
    found = load_recipe("demo", ["train.epochs=3", "network.norm=tdbn", "evaluate.draws=7", "data.augment=[]"])
    assert (found.train.epochs, found.network.norm, found.evaluate.draws, found.data.augment) == (3, "tdbn", 7, [])


def test_a_files_label_does_not_stand_beside_other_data():
    assert load_recipe("demo").data.label
    assert load_recipe("demo", ["data.name=mnist"]).data.label == ""
    assert load_recipe("demo", ["data.name=mnist", "data.label=mine"]).data.label == "mine"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed.deep=3", "seed is a value, not a table"),
        ("network.num_step=3", "did you mean 'num_steps'"),
        ("train.epochs=three", "train.epochs: .* got 'three'"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("demo", [override])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"seed = 1\nseed = 2", b"#" * (1 << 20) + b"#"])
def test_files_that_are_no_recipe(content, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"Field required|not UTF-8|not TOML|at most 1048576"):
        load_recipe(path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_paths_that_are_no_file(make, tmp_path):
    """A pipe is not waited for."""
    make(tmp_path / "x")
    with pytest.raises(RecipeError, match="no recipe"):
        load_recipe(tmp_path / "x")


def test_nothing_in_a_recipe_can_name_code():
    for values in ({"_target_": "os.system"}, {**MINIMAL, "network": {"name": "os.system", "num_steps": 1}}):
        with pytest.raises(RecipeError):
            parse_recipe(values)


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(RecipeError, match=r"no recipe 'nope': give a file, or one of .*demo"):
        load_recipe("nope")


def test_bad_toml(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("seed = = 1", encoding="utf-8")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(path)
