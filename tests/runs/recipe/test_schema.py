"""What a recipe may say: defaults, and every wrong key or value is named."""

import subprocess
import sys

import pytest

from bntt.runs.recipe.file import RecipeError, parse_recipe

MINIMAL = {
    "data": {"name": "fashion-mnist-bundled"},
    "network": {"name": "vgg6", "num_steps": 4},
    "train": {"epochs": 1, "batch_size": 10},
}


def changed(**tables):
    return {**MINIMAL, **{name: {**MINIMAL.get(name, {}), **values} for name, values in tables.items()}}


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
        (changed(data={"order": "colums"}), 'data.order: unknown name; .*choose one of pixels, rows, permuted, or ""'),
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
            "train.grow: must take fewer steps than network.num_steps = 4",
        ),
        (changed(train={"grow": [[2, 1]]}), "train.grow: .* fewer epochs in all than train.epochs = 1, got"),
        (changed(train={"grow": [[2]]}), "train.grow"),
        (changed(train={"grow": [[2, 1], [2, 1]], "epochs": 3}), "train: .*grow must be pairs .* with ever more steps"),
        (changed(train={"lr": -0.1}), "train.lr: .* greater than or equal to 0"),
        (changed(train={"lr": float("inf")}), "train.lr"),
        (changed(train={"epochs": 0}), "train.epochs: 0 trains nothing; a network that is converted is named in conv"),
        (changed(train={"epochs": -1}), "train.epochs"),
        (changed(convert={"scale": "best"}), "convert.scale: must be a number above 0, or \"validation\", got 'best'"),
        (changed(convert={"scale": 0.0}), 'convert.scale: must be a number above 0, or "validation", got 0.0'),
        (changed(convert={"grid": []}), "convert.grid"),
        (changed(convert={"images": 0}), "convert.images"),
        (changed(convert={"an": "x"}), "convert.an: unknown key; did you mean 'ann'?"),
        (changed(convert={"ann": "x"}), "network.norm: a converted network has none, .* got 'bntt'"),
        (
            changed(convert={"ann": "x"}, network={"norm": "none", "num_steps": 1, "neuron": "relu"}),
            "convert.ann: an ANN .* is what is converted",
        ),
        (
            changed(convert={"ann": "x"}, network={"norm": "none", "decay_input": True}),
            "network.decay_input: .* a converted network has decay_input = false",
        ),
        (
            changed(convert={"ann": "x"}, network={"norm": "none", "threshold": 2.0}),
            "network.threshold: balancing sets them, convert.scale scales them; got 2.0",
        ),
        (
            changed(convert={"ann": "x"}, network={"norm": "none", "leak": 0.9}, train={"epochs": 0}),
            "network.leak: converted neurons that are not trained are integrators.* got 0.9",
        ),
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
    code = "import sys, bntt.runs.recipe.file; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_gamma_decays_as_weights_where_it_is_left_away():
    assert parse_recipe(changed(train={"weight_decay": 0.1})).train.gamma_decay == 0.1
    assert parse_recipe(changed(train={"weight_decay": 0.1, "gamma_decay": 0.0})).train.method.gamma_decay == 0.0


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"optimizer": "adm"}, "train.optimizer: unknown name; did you mean 'adam'"),
        ({"schedule": "steps"}, "train.schedule: unknown name; did you mean 'step'"),
        ({"loss": "tett"}, "train.loss: unknown name; did you mean 'tet'"),
        ({"schedule": "one-cycle", "warmup": 1.0}, "train: warmup must be 0 with schedule 'one-cycle'"),
        ({"average": 1.0}, "train.average: .* less than 1"),
        ({"accumulate": 0}, "train.accumulate: .* greater than or equal to 1"),
    ],
)
def test_wrong_methods_are_named(train, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(changed(train=train))


def test_nothing_in_a_recipe_can_name_code():
    for values in ({"_target_": "os.system"}, {**MINIMAL, "network": {"name": "os.system", "num_steps": 1}}):
        with pytest.raises(RecipeError):
            parse_recipe(values)
