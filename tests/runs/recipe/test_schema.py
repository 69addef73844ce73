"""What a recipe may say, in a file or an override: defaults, and every wrong key or value is named."""

import dataclasses
import json
import os
import re
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest

from bntt.data.augment import AUGMENTATIONS, MIXES
from bntt.data.samples import DATASETS
from bntt.io.files import flatten, names_in
from bntt.models import MODELS
from bntt.models.spiking import FIRE_RULES, RESETS, SURROGATES
from bntt.nn import NORMS
from bntt.runs.recipe.file import RecipeError, dump_recipe, explained_key, keys_of, load_recipe, parse_recipe, values_of
from tests.rows import each_row

MINIMAL = {
    "data": {"name": "fashion-mnist-bundled"},
    "network": {"name": "vgg6", "num_steps": 4},
    "train": {"epochs": 1, "batch_size": 10},
}


def changed(**tables):
    return {**MINIMAL, **{name: {**MINIMAL.get(name, {}), **values} for name, values in tables.items()}}


def test_defaults_are_the_papers():
    train = parse_recipe(MINIMAL).train
    assert (train.lr, train.momentum, train.weight_decay, train.lr_drops) == (0.3, 0.9, 5e-4, (50, 70, 90))


WRONG = {
    "sed": [1],
    "_target_": ["os.system"],
    "seed": [-1, 2**63, "abc"],
    "network": ["vgg6"],
    "network.num_step": [4],
    "network.num_steps": [0, 2.5, "25 ", 10**9],
    "network.leak": [1.5, float("nan")],
    "network.threshold": [0.0],
    "network.norm": ["bnnt", 3],
    "network.name": ["transformer", "os.system"],
    "network.fire": ["befor"],
    "network.reset": ["none"],
    "network.surrogate": ["arctn"],
    "network.learn_leak": [1],
    "encoder.name": ["latency", "sequence"],
    "init.longer": ["re-estimate"],
    "data.name": ["minst"],
    "data.augment": [["crop", "flap"], "crop"],
    "data.mix": ["mixip"],
    "data.mix_alpha": [0.0, float("inf")],
    "data.order": ["colums"],
    "data.frames.sizes": [42],
    "data.frames.sensor": [[1, 2, 3]],
    "train.grow": [[[2]], [[2, 1]], [[4, 1]]],
    "train.lr": [-0.1, float("inf")],
    "train.epochs": [0, -1],
    "train.batch_size": [-3],
    "train.optimizer": ["adm"],
    "train.average": [1.0],
    "convert.an": ["x"],
    "convert.scale": ["best", 0.0],
    "convert.grid": [[]],
    "convert.images": [0],
    "compute.recompute": [0, -2, 2.0, "sometimes", True, "3"],
    "compute.backend": ["gpu"],
    "compute.precision": ["half"],
    "compute.input_grad": ["fast"],
    "compute.rectifiers": ["fast"],
}
"""Values that a key does not take."""
SEQUENCE, ANN, UNTRAINED = {"name": "sequence"}, {"ann": "x"}, {"epochs": 0}
TOGETHER = [
    ("encoder.name", {"data": {"order": "rows"}}),
    ("data.augment", {"data": {"order": "rows", "augment": ["flip"]}, "encoder": SEQUENCE}),
    ("data.mix", {"data": {"order": "rows", "mix": "mixup"}, "encoder": SEQUENCE}),
    ("train.grow", {"train": {"grow": [[4, 1]], "epochs": 3}}),
    ("train.grow", {"train": {"grow": [[2, 1], [2, 1]], "epochs": 3}}),
    ("train.warmup", {"train": {"schedule": "one-cycle", "warmup": 1.0}}),
    ("compute.recompute", {"compute": {"backend": "reference", "recompute": 2}}),
    ("init.distil", {"init": {"distil": 0.5}}),
    ("init.run, init.pretrained", {"init": {"run": "a", "pretrained": "fashion-mnist-vgg6"}}),
    ("network.norm", {"convert": ANN}),
    ("network.neuron", {"convert": ANN, "network": {"norm": "none", "num_steps": 1, "neuron": "relu"}}),
    ("network.decay_input", {"convert": ANN, "network": {"norm": "none", "decay_input": True}}),
    ("network.threshold", {"convert": ANN, "network": {"norm": "none", "threshold": 2.0}}),
    ("network.leak", {"convert": ANN, "network": {"norm": "none", "leak": 0.9}, "train": UNTRAINED}),
    ("network.readout", {"convert": ANN, "network": {"norm": "none", "readout": "spikes"}, "train": UNTRAINED}),
]
"""The key that is named where several values do not go together."""


def test_what_is_wrong_is_named():
    rows = [(key, with_value(key, value)) for key, values in WRONG.items() for value in values]
    rows += [(key, changed(**tables)) for key, tables in TOGETHER]
    rows.append(("network", {name: table for name, table in MINIMAL.items() if name != "network"}))
    for key, values in rows:
        with pytest.raises(RecipeError, match=rf"^{re.escape(key)}\b"):
            parse_recipe(values)


def with_value(key, value):
    """The minimal recipe with another value of ``key``, ``table.key`` or ``table.table.key``."""
    table, *names = key.split(".")
    if not names:
        return {**MINIMAL, table: value}
    for name in reversed(names):
        value = {name: value}
    return changed(**{table: value})


def test_gamma_decays_as_weights_where_it_is_left_out():
    assert parse_recipe(changed(train={"weight_decay": 0.1})).train.gamma_decay == 0.1
    assert parse_recipe(changed(train={"weight_decay": 0.1, "gamma_decay": 0.0})).train.gamma_decay == 0.0
    other, own = ["train.weight_decay=0.2"], "train.gamma_decay=0.3"
    for written, overrides, expected in (
        ({"weight_decay": 0.1}, other, 0.2),
        ({"weight_decay": 0.1}, [*other, own], 0.3),
        ({"weight_decay": 0.1, "gamma_decay": 0.0}, other, 0.0),
    ):
        text = dump_recipe(parse_recipe(changed(train=written)))  # as a run writes it, with the decay of γ in any case
        assert parse_recipe(tomllib.loads(text), overrides).train.gamma_decay == expected
    alone = parse_recipe(changed(train={"gamma_decay": 5e-4}), other)
    assert alone.train.gamma_decay == 5e-4, "a file that says it alone means it"


def test_every_name_of_the_library_can_stand_in_a_recipe():
    networks = {"name": MODELS, "norm": NORMS, "fire": FIRE_RULES, "reset": RESETS, "surrogate": SURROGATES}
    named = {f"network.{key}": known for key, known in networks.items()} | {"data.name": DATASETS, "data.mix": MIXES}
    for key, known in named.items():
        for name in known:
            assert attrgetter(key)(parse_recipe(with_value(key, name))) == name
    assert parse_recipe(with_value("data.augment", [*AUGMENTATIONS])).data.augment == (*AUGMENTATIONS,)


def test_every_key_says_what_it_is():
    for key, option in keys_of().items():
        assert option.sentence.endswith("."), f"{key} has no sentence at its field"
        if option.default not in (dataclasses.MISSING, None):
            assert option.accepts(option.default), key
    assert explained_key("train.lr_drops", load_recipe("demo")).startswith("train.lr_drops = [")
    shown = [line.split()[0] for line in explained_key("train").splitlines()[::2]]
    assert shown == [key for key in keys_of() if key.startswith("train.")]
    with pytest.raises(RecipeError, match=r"train\.lr_drop\b"):
        explained_key("train.lr_drop")


def test_only_what_was_changed_is_told_apart():
    """Kept results are found again by it: a key that is new, and off, changes nothing."""
    written = tomllib.loads(dump_recipe(parse_recipe(MINIMAL)))
    assert values_of(parse_recipe(written), changed_only=True) == MINIMAL
    decayed = changed(train={"weight_decay": 0.1}, data={"frames": {"sensor": [9, 8]}})
    expected = changed(train={"weight_decay": 0.1, "gamma_decay": 0.1}, data={"frames": {"sensor": [9, 8]}})
    assert values_of(parse_recipe(decayed), changed_only=True) == expected


UNSET = {
    **dict.fromkeys(("data.root", "data.label", "data.mode", "data.order", "data.mix", "data.frames.format"), ""),
    **dict.fromkeys(("convert.ann", "init.run", "init.pretrained"), ""),
    **dict.fromkeys(("imported.file", "imported.sha256", "imported.layout"), ""),
    **dict.fromkeys(("data.size", "data.images", "evaluate.images", "checkpoint.every_steps"), 0),
    **dict.fromkeys(("network.norm_eps", "network.surrogate_scale", "train.clip_norm", "train.average"), 0.0),
}
"""What a recipe's text says of an option that is not set: TOML has no null."""


def test_an_option_that_is_not_set_is_none_and_its_text_stays_as_it_was():
    recipe = parse_recipe(MINIMAL)
    for key, said in UNSET.items():
        assert keys_of()[key].default is None
        assert attrgetter(key)(recipe) is None
        assert attrgetter(key)(parse_recipe(MINIMAL, [f"{key}={json.dumps(said)}"])) is None
        assert repr(flatten(values_of(recipe))[key]) == repr(said)
    unset = {key for key, one in keys_of().items() if one.default is None}
    assert unset == UNSET.keys() | {"train.gamma_decay"}


def test_a_recipe_kept_by_an_old_run_is_read_and_written_without_a_change():
    old = tomllib.loads((Path(__file__).parents[1] / "old_run" / "recipe.toml").read_text(encoding="utf-8"))
    now = flatten(values_of(parse_recipe(old, stored=True)))
    assert {key: repr(now[key]) for key in flatten(old)} == {key: repr(value) for key, value in flatten(old).items()}


@each_row("name", names_in("runs/recipes"))
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


def test_overrides_are_put_over_the_file_whose_label_does_not_stand_beside_other_data():
    found = load_recipe("demo", ["train.epochs=3", "network.norm=tdbn", "data.augment=[]", 'data.root="2024"'])
    assert (found.train.epochs, found.network.norm, found.data.augment, found.data.root) == (3, "tdbn", (), "2024")
    for root in ("2024", "2024-01-01", "true"):  # a text may look like a number or a date
        assert load_recipe("demo", [f"data.root={root}"]).data.root == root
    assert load_recipe("demo").data.label
    assert load_recipe("demo", ["data.name=mnist"]).data.label is None
    assert load_recipe("demo", ["data.name=mnist", "data.label=mine"]).data.label == "mine"


BAD = (
    "train.freeze=[conv1, fc*]",
    "train.epochs",
    "=3",
    "seed.deep=3",
    "network.num_step=3",
    "train.epochs=three",
    "train.epochs=2024-01-01",
)


@each_row("override", [*BAD, "train={epochs=3}"])
def test_bad_overrides(override):
    with pytest.raises(RecipeError, match=re.escape(override.partition("=")[0].partition(".deep")[0] or override)):
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
