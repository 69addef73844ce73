"""The trained network of the package: its files are whole, and what they say of it is so."""

import hashlib
import importlib.util
import json
import shutil
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bntt.analysis import evaluate, gamma_profile
from bntt.cli import main as cli
from bntt.data import SampleLoader, fashion_mnist_bundled
from bntt.models import MODELS, PRETRAINED, PretrainedError, pretrained, pretrained_facts
from bntt.models.pretrained import read_facts, read_pretrained
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import parse_recipe

ROOT = Path(__file__).parents[2]
NAME = "fashion-mnist-vgg6"
WEIGHTS = files("bntt.models").joinpath("weights")


def maker():
    """The program that makes the files."""
    spec = importlib.util.spec_from_file_location("weights", ROOT / "docs" / "pages" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path):
    for end in ("json", "safetensors"):
        (tmp_path / f"{NAME}.{end}").write_bytes(WEIGHTS.joinpath(f"{NAME}.{end}").read_bytes())
    return tmp_path


def change(folder, **values):
    file = folder / f"{NAME}.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")


def test_the_wheel_has_both_files_of_every_network_and_no_other():
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    folder = ROOT / "src" / "bntt" / "models"
    listed = {path.relative_to(folder).as_posix() for glob in globs["bntt.models"] for path in folder.glob(glob)}
    assert listed == {f"weights/{name}.{end}" for name in PRETRAINED for end in ("json", "safetensors")}


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_network_comes_ready_to_be_used(name):
    model, facts = pretrained(name), pretrained_facts(name)
    assert not any(module.training for module in model.modules())
    assert model(torch.zeros(2, *facts.image_shape)).shape == (2, len(facts.classes))
    payload = WEIGHTS.joinpath(f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(payload).hexdigest() == facts.sha256
    assert len(payload) <= 1_500_000
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_what_the_facts_say_of_the_run():
    """The recipe is one of the version that trained it: later ones may name things otherwise."""
    facts = pretrained_facts()
    recipe = tomllib.loads(facts.recipe)
    assert MODELS[recipe["network"].pop("name")] is PRETRAINED[NAME]
    assert recipe["network"].items() <= facts.network.items()
    assert (recipe["encoder"]["name"], facts.network["norm"], facts.network["num_steps"]) == ("poisson", "bntt", 8)
    assert (recipe["train"]["weight_decay"], recipe["seed"]) == (5e-4, facts.seed)
    assert facts.classes == fashion_mnist_bundled().test.classes
    assert (facts.validation["images"], facts.test["images"]) == (6000, 10000)
    low, high = facts.test["accuracy_wilson_95"]
    assert 0.88 < low < facts.test["accuracy"] < high
    assert facts.test["accuracy"] == pytest.approx(facts.test["accuracy_over_time"][-1])
    assert facts.run["commit"]
    assert "dirty" not in facts.run["commit"]
    assert "Zalando" in facts.licence


def test_gamma_and_accuracy_tell_steps_apart():
    """So that early exit and activity have something to show."""
    magnitude = gamma_profile(pretrained().network).magnitude
    assert list(magnitude) == ["conv1", "conv2", "conv3", "conv4", "fc1"]
    assert all(row.max() > 1.5 * row.min() for row in magnitude.values())
    over_time = pretrained_facts().test["accuracy_over_time"]
    assert over_time[0] < 0.5 < 0.95 * over_time[-1] < over_time[5]


def test_the_encoder_is_of_the_training_images():
    encoder, facts = pretrained().encoder, pretrained_facts()
    mean, std = fashion_mnist_bundled().train.pixel_statistics()
    assert facts.encoder["mean"] == encoder.mean.flatten().tolist() == pytest.approx(mean, abs=0.01)
    assert facts.encoder["std"] == encoder.std.flatten().tolist() == pytest.approx(std, abs=0.01)


@pytest.mark.slow
def test_the_bundled_images_are_right_as_often_as_the_facts_say():
    """To the image in float64; in float32 ties fall otherwise on other processors."""
    facts, model = pretrained_facts().bundled_test, pretrained()
    assert maker().bundled_hits(model, facts["seed"], 100) == facts["right_of_100"]
    loader = SampleLoader(fashion_mnist_bundled().test, 250)
    right = evaluate(model, loader, seed=facts["seed"], draws=1).accuracy.correct[0][-1]
    assert abs(right - facts["right_of_1000"]) <= 15


SMALL = ("network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose test and validation images were measured."""
    root = tmp_path_factory.mktemp("runs")
    assert cli.main(["train", "demo", *[part for option in SMALL for part in ("-s", option)], "--root", str(root)]) == 0
    assert cli.main(["evaluate", str(root / "demo"), "--split", "validation"]) == 0
    return root / "demo"


@pytest.mark.slow
def test_the_files_are_made_of_a_run(run, tmp_path):
    made = maker().make(run, NAME, tmp_path)
    assert read_facts(NAME, tmp_path) == made
    loaded, model = load_run(run), read_pretrained(NAME, tmp_path)
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    images = fashion_mnist_bundled().test.batch(torch.arange(5))
    assert torch.equal(loaded.model(images, seed=3), model(images, seed=3))
    test, validation = (json.loads((run / f"evaluation{part}.json").read_text()) for part in ("", "-validation"))
    assert test.items() >= made.test.items()
    assert validation.items() >= made.validation.items()
    assert (made.test["images"], made.validation["images"], made.epoch) == (1000, 500, 1)
    environment = json.loads((run / "environment.json").read_text())
    assert made.data_sha256 == environment["data"]["sha256"]
    assert {**environment, "seconds": made.run["seconds"]}.items() >= made.run.items()
    assert parse_recipe(tomllib.loads(made.recipe)) == loaded.recipe
    assert not [
        word for word in ("/tmp", str(run), "command", "source") if word in (tmp_path / f"{NAME}.json").read_text()
    ]


@pytest.mark.slow
def test_a_measurement_of_another_epoch_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "demo")
    file = tmp_path / "demo" / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "epoch": 3}))
    with pytest.raises(SystemExit, match="was evaluated at epoch 3, its best is 0"):
        maker().make(tmp_path / "demo", NAME, tmp_path)


@pytest.mark.slow
def test_another_network_is_refused(tmp_path):
    options = [part for option in (*SMALL, "network.name=mlp") for part in ("-s", option)]
    assert cli.main(["train", "demo", *options, "--root", str(tmp_path)]) == 0
    with pytest.raises(SystemExit, match=r"fashion-mnist-vgg6 is vgg6 on signed Poisson spikes, .* is another network"):
        maker().make(tmp_path / "demo", NAME, tmp_path)


def test_an_unknown_name():
    for door in (pretrained, pretrained_facts):
        with pytest.raises(ValueError, match=f"unknown pretrained network 'vgg9': choose one of {NAME}"):
            door("vgg9")


def test_a_flipped_bit(copy):
    file = copy / f"{NAME}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        PretrainedError, match=r"safetensors is not the file that .*json describes \(SHA-256\): install"
    ):
        read_pretrained(NAME, copy)


def test_weights_of_another_network(copy):
    change(copy, network={**pretrained_facts().network, "width": 0.25})
    wrong = (
        r"does not fit the network of .*json \(network\.blocks\.conv1\.norm\.gamma is torch.float32 \[8, 16\], expec"
    )
    with pytest.raises(PretrainedError, match=wrong + r"ted torch.float32 \[8, 4\]\): install the package again"):
        read_pretrained(NAME, copy)


def test_what_is_no_file_of_weights(copy):
    (copy / f"{NAME}.safetensors").write_bytes(b"x")
    change(copy, sha256=hashlib.sha256(b"x").hexdigest())
    with pytest.raises(PretrainedError, match=r"safetensors holds no weights .*: install the package again"):
        read_pretrained(NAME, copy)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop("encoder.std"), r"encoder\.std is missing, expected torch\.float32 \[1, 1, 1\]"),
        (lambda state: state.update(x=torch.zeros(2)), r"x is torch\.float32 \[2\], expected none"),
        (lambda state: state.update({"encoder.std": torch.ones(1, 1, 1).double()}), r"encoder\.std is torch\.float64"),
    ],
)
def test_weights_that_lack_one_or_have_one_more(edit, message, copy):
    state = pretrained().state_dict()
    edit(state)
    payload = safetensors.torch.save(state)
    (copy / f"{NAME}.safetensors").write_bytes(payload)
    change(copy, sha256=hashlib.sha256(payload).hexdigest())
    with pytest.raises(PretrainedError, match=message):
        read_pretrained(NAME, copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"classes": 1, "image_shape": []}'])
def test_damaged_facts(content, copy):
    (copy / f"{NAME}.json").write_text(content)
    with pytest.raises(PretrainedError, match=r"json is damaged .*: install the package again"):
        read_facts(NAME, copy)


def test_unknown_facts(copy):
    change(copy, unknown=1)
    with pytest.raises(PretrainedError, match=r"json is damaged .*unknown"):
        read_facts(NAME, copy)


@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_a_missing_file(end, copy):
    (copy / f"{NAME}.{end}").unlink()
    with pytest.raises(PretrainedError, match=rf"{NAME}.{end} cannot be read"):
        read_pretrained(NAME, copy)


def test_the_file_holds_the_model_and_nothing_else(copy):
    stored = safetensors.torch.load_file(copy / f"{NAME}.safetensors")
    assert stored.keys() == pretrained().state_dict().keys()
