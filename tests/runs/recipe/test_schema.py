"""What a recipe may say: defaults, and every wrong key or value is named."""

import dataclasses
import json
import subprocess
import sys
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest

from bntt.data.augment import AUGMENTATIONS, MIXES
from bntt.data.samples import DATASETS
from bntt.io.files import flatten
from bntt.models import MODELS, spiking
from bntt.nn import NORMS
from bntt.runs.recipe.file import RecipeError, dump_recipe, explained_key, keys_of, load_recipe, parse_recipe, values_of

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


WRONG = [
    ({**MINIMAL, "sed": 1}, "sed: unknown key; did you mean 'seed'?"),
    (changed(network={"num_step": 4}), "network.num_step: unknown key; did you mean 'num_steps'?"),
    (changed(network={"zzz": 4}), "network.zzz: unknown key; known keys: name, num_steps"),
    (
        changed(network={"num_steps": 0}),
        "network.num_steps: must be a whole number from 1 to 100,000 .time steps., got 0. Time steps T",
    ),
    (changed(network={"num_steps": 2.5}), "network.num_steps: must be a whole number .*, got 2.5"),
    (changed(network={"num_steps": "25 "}), "network.num_steps: must be a whole number .*, got '25 '"),
    (changed(network={"num_steps": 10**9}), "network.num_steps: must be .* to 100,000"),
    (changed(network={"leak": 1.5}), "network.leak: must be a number from 0 to 1, got 1.5"),
    (changed(network={"leak": float("nan")}), "network.leak"),
    (changed(network={"threshold": 0.0}), "network.threshold: must be a number above 0 and below"),
    (
        changed(network={"norm": "bnnt"}),
        "network.norm: must be .*, got 'bnnt' .did you mean 'bntt'",
    ),
    (
        changed(network={"name": "transformer"}),
        "network.name: must be .*\"vgg9\".*, got 'transformer'.* bntt --with FILE",
    ),
    (changed(network={"fire": "befor"}), 'network.fire: must be "after" or "before", .*did you mean \'before\''),
    (changed(network={"reset": "none"}), 'network.reset: must be "soft" or "hard", got \'none\''),
    (changed(network={"surrogate": "arctn"}), "network.surrogate: must be .*did you mean 'arctan'"),
    (changed(network={"learn_leak": 1}), 'network.learn_leak: must be true, false, "layer" or "channel", got 1'),
    (changed(network={"norm": 3}), "network.norm: must be .*, got 3"),
    (changed(init={"longer": "re-estimate"}), 'init.longer: must be "interpolate" or "hold"'),
    ({**MINIMAL, "network": "vgg6"}, "network: must be a table of keys and values, got 'vgg6'"),
    (changed(data={"name": "minst"}), "data.name: must be .*did you mean 'mnist'"),
    (
        changed(data={"augment": ["crop", "flap"]}),
        "data.augment: must be a list of \"crop\", .*did you mean 'flip'",
    ),
    (changed(data={"augment": "crop"}), "data.augment: must be a list of .*, got 'crop'"),
    (
        changed(data={"mix": "mixip"}),
        'data.mix: must be "mixup" or "cutmix", or "" for none, got \'mixip\' .did you mean \'mixup\'',
    ),
    (changed(data={"mix_alpha": 0.0}), "data.mix_alpha: must be a number above 0, got 0.0"),
    (changed(data={"mix_alpha": float("inf")}), "data.mix_alpha: must be a number above 0, got inf"),
    *(
        (
            changed(compute={"recompute": value}),
            f'compute.recompute: must be "auto", "never" or a whole number, 1 or more .steps., got {value!r}',
        )
        for value in (0, -2, 2.0, "sometimes", True, "3")
    ),
    (changed(data={"order": "colums"}), 'data.order: must be "pixels", "rows" or "permuted", or "" for none'),
    (changed(data={"order": "rows"}), "encoder.name: sequences .*'rows'. are encoded by .sequence., got 'poisson'"),
    (changed(encoder={"name": "sequence"}), "encoder.name: images .* any other than 'sequence', got 'sequence'"),
    (
        changed(data={"order": "rows", "augment": ["flip"]}, encoder={"name": "sequence"}),
        "data.augment: .*'flip'.* is for images, data.order makes sequences: leave it out",
    ),
    (
        changed(data={"order": "rows", "mix": "mixup"}, encoder={"name": "sequence"}),
        "data.mix: 'mixup' is for images, data.order makes sequences: leave it out",
    ),
    (
        changed(train={"grow": [[4, 1]], "epochs": 3}),
        "train.grow = .* must take fewer steps than the network's 4",
    ),
    (changed(train={"grow": [[2, 1]]}), "train.grow = .* fewer epochs in all than 1"),
    (changed(train={"grow": [[2]]}), "train.grow"),
    (changed(train={"grow": [[2, 1], [2, 1]], "epochs": 3}), "train.grow: must have ever more steps"),
    (changed(train={"lr": -0.1}), "train.lr: must be a number, 0 or more, got -0.1. Learning rate"),
    (changed(train={"lr": float("inf")}), "train.lr"),
    (changed(train={"epochs": 0}), "train.epochs: 0 trains nothing; a network that is converted is named in conv"),
    (changed(train={"epochs": -1}), "train.epochs"),
    (changed(convert={"scale": "best"}), "convert.scale: must be \"validation\" or a number above 0 .*, got 'best'"),
    (changed(convert={"scale": 0.0}), 'convert.scale: must be "validation" or a number above 0 .*, got 0.0'),
    (changed(convert={"grid": []}), "convert.grid"),
    (changed(convert={"images": 0}), "convert.images"),
    (changed(convert={"an": "x"}), "convert.an: unknown key; did you mean 'ann'?"),
    (changed(convert={"ann": "x"}), "network.norm: of a converted network is 'none', got 'bntt'"),
    (
        changed(convert={"ann": "x"}, network={"norm": "none", "num_steps": 1, "neuron": "relu"}),
        "network.neuron: of a converted network is 'lif', got 'relu'",
    ),
    (
        changed(convert={"ann": "x"}, network={"norm": "none", "decay_input": True}),
        "network.decay_input: of a converted network is False, got True",
    ),
    (
        changed(convert={"ann": "x"}, network={"norm": "none", "threshold": 2.0}),
        "network.threshold: of a converted network is 1.0, got 2.0",
    ),
    (
        changed(convert={"ann": "x"}, network={"norm": "none", "leak": 0.9}, train={"epochs": 0}),
        "network.leak: of a converted network that is not trained is 1.0, got 0.9",
    ),
    (
        changed(convert={"ann": "x"}, network={"norm": "none", "readout": "spikes"}, train={"epochs": 0}),
        "network.readout: of a converted network that is not trained is 'voltage', got 'spikes'",
    ),
    (changed(train={"batch_size": -3}), "train.batch_size"),
    (changed(data={"augment": ["spin"]}), "data.augment"),
    (changed(train={"optimizer": "adm"}), "train.optimizer: must be .*did you mean 'adam'"),
    (changed(train={"schedule": "one-cycle", "warmup": 1.0}), "train.warmup: must be 0 with schedule 'one-cycle'"),
    (changed(train={"average": 1.0}), "train.average: must be a number above 0 and below 1"),
    (changed(compute={"backend": "reference", "recompute": 2}), "compute.recompute: 2 needs the kernels"),
    (changed(data={"frames": {"sizes": 42}}), "data.frames.sizes: unknown key; did you mean 'size'"),
    (changed(data={"frames": {"sensor": [1, 2, 3]}}), "data.frames.sensor: must be a list of 0 to 2 whole numbers"),
    (changed(encoder={"name": "latency"}), "encoder.name: must be "),
    ({**MINIMAL, "seed": -1}, "seed"),
    ({**MINIMAL, "seed": 2**63}, "seed"),
    ({**MINIMAL, "seed": "abc"}, "seed"),
    ({"data": MINIMAL["data"], "train": MINIMAL["train"]}, "network: is missing"),
]
"""What is wrong, and what is said of it."""


def test_what_is_wrong_is_named():
    for values, message in WRONG:
        with pytest.raises(RecipeError, match=message):
            parse_recipe(values)


def test_recompute():
    for value in ("auto", "never", 1, 25):
        assert parse_recipe(changed(compute={"recompute": value})).compute.recompute == value


def test_the_names_of_recipes_wait_for_no_torch():
    code = "import sys, bntt.runs.recipe as r; r.recipe_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


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
    names = {
        ("data", "name"): DATASETS,
        ("data", "augment"): AUGMENTATIONS,
        ("data", "mix"): MIXES,
        ("network", "name"): MODELS,
        ("network", "norm"): NORMS,
        ("network", "fire"): spiking.FIRE_RULES,
        ("network", "reset"): spiking.RESETS,
        ("network", "surrogate"): spiking.SURROGATES,
    }
    for (table, key), known in names.items():
        for name in known:
            value = (name,) if key == "augment" else name
            assert getattr(getattr(parse_recipe(changed(**{table: {key: value}})), table), key) == value


def test_every_key_says_what_it_is():
    for key, option in keys_of().items():
        assert option.sentence.endswith("."), f"{key} has no sentence at its field"
        if option.default not in (dataclasses.MISSING, None):
            assert option.accepts(option.default), key
    assert "percent of epochs" in explained_key("train.lr_drops", load_recipe("demo"))
    shown = [line.split()[0] for line in explained_key("train").splitlines()[::2]]
    assert shown == [key for key in keys_of() if key.startswith("train.")]
    with pytest.raises(RecipeError, match=r"did you mean 'train\.lr_drops'"):
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
        table, _, name = key.rpartition(".")
        assert keys_of()[key].default is None
        assert getattr(attrgetter(table)(recipe), name) is None
        assert repr(attrgetter(key)(parse_recipe(MINIMAL, [f"{key}={json.dumps(said)}"]))) == "None"
        assert repr(flatten(values_of(recipe))[key]) == repr(said)
    asked = keys_of().items()
    assert {key for key, one in asked if one.default is None} == UNSET.keys() | {"train.gamma_decay"}
    assert {key for key, one in asked if one.default == ""} == {"notes"}


def test_a_recipe_kept_by_an_old_run_is_read_and_written_without_a_change():
    old = tomllib.loads((Path(__file__).parents[1] / "old_run" / "recipe.toml").read_text(encoding="utf-8"))
    now = flatten(values_of(parse_recipe(old, stored=True)))
    assert {key: repr(now[key]) for key in flatten(old)} == {key: repr(value) for key, value in flatten(old).items()}


def test_nothing_in_a_recipe_can_name_code():
    for values, said in (
        ({**MINIMAL, "_target_": "os.system"}, "_target_: unknown key"),
        ({**MINIMAL, "network": {"name": "os.system", "num_steps": 1}}, "network.name: must be .*got 'os.system'"),
    ):
        with pytest.raises(RecipeError, match=said):
            parse_recipe(values)
