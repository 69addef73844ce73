"""The trained networks of the package: their files are whole, and what they say of them is so."""

import hashlib
import importlib.util
import json
import shutil
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bntt.analysis import evaluate, gamma_profile
from bntt.cli import main as cli
from bntt.data import SampleLoader, fashion_mnist_bundled
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.camera import simulate
from bntt.models import PRETRAINED, PretrainedError, pretrained, pretrained_facts
from bntt.models.pretrained import read_facts, read_pretrained
from bntt.nn.kinds import encoder_facts
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import load_recipe, parse_recipe
from tests.rows import each_row

ROOT = Path(__file__).parents[2]
NAME = "fashion-mnist-vgg6"
WEIGHTS = files("bntt.models").joinpath("weights")


def maker():
    """The program that makes the files."""
    spec = importlib.util.spec_from_file_location("weights", ROOT / "docs" / "pages" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_wheel_has_both_files_of_every_network_and_no_other():
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    folder = ROOT / "src" / "bntt" / "models"
    listed = {path.relative_to(folder).as_posix() for glob in globs["bntt.models"] for path in folder.glob(glob)}
    assert listed == {f"weights/{name}.{end}" for name in PRETRAINED for end in ("json", "safetensors")}
    assert sum(pretrained_facts(name).stored["bytes"] for name in PRETRAINED) <= 8_000_000


def samples_like(facts, encoder):
    """Two empty samples as a network takes them."""
    channels, height, width = facts.image_shape
    steps = facts.network["num_steps"]
    shapes = {
        "images": (2, channels, height, width),
        "frames": (2, steps, channels, height, width),
        "sequences": (2, steps, channels * height * width // steps),
    }
    return torch.zeros(shapes[encoder_facts(encoder).takes])


@each_row("name", PRETRAINED)
def test_a_network_comes_ready_to_be_used(name):
    model, facts = pretrained(name), pretrained_facts(name)
    assert not any(module.training for module in model.modules())
    assert model(samples_like(facts, model.encoder)).shape == (2, len(facts.classes))
    payload = WEIGHTS.joinpath(f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(payload).hexdigest() == facts.sha256
    assert len(payload) == facts.stored["bytes"]
    stored = {str(v.dtype) for k, v in safetensors.torch.load(payload).items() if k.endswith(".weight")}
    assert stored == {f"torch.{facts.stored['dtype']}"}
    for value in model.state_dict().values():
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()


@each_row("name", PRETRAINED)
def test_what_the_facts_say_of_the_run(name):
    facts, recipe = pretrained_facts(name), load_recipe(name)
    kept, of_cifar = parse_recipe(tomllib.loads(facts.recipe)), facts.dataset.startswith("cifar10")
    if of_cifar:  # trained on a folder of images, the recipe's data as JPEG files
        recipe = replace(recipe, data=replace(recipe.data, name="images", root="cifar10-jpeg"))
    for part in ("data", "encoder", "network", "train", "seed"):
        assert getattr(kept, part) == getattr(recipe, part), f"`bntt train {name}` trains it again"
    assert (facts.network["name"], facts.network["num_steps"]) == (recipe.network.name, recipe.network.num_steps)
    assert (facts.encoder["name"], facts.order, facts.seed) == (
        recipe.encoder.name,
        recipe.data.order or "",
        recipe.seed,
    )
    classes = fashion_mnist_bundled().test.classes
    classes = classes if facts.encoder["name"] != "frames" else tuple(sorted(map(as_folder, classes)))
    assert of_cifar or facts.classes == classes
    low, high = facts.test["accuracy_wilson_95"]
    assert 0.75 < low < facts.test["accuracy"] < high
    assert facts.test["accuracy"] == pytest.approx(facts.test["accuracy_over_time"][-1])
    assert facts.test["accuracy"] == facts.stored["accuracy"][facts.stored["dtype"]]
    lost = facts.stored["accuracy"]["float32"] - facts.test["accuracy"]
    assert facts.stored["dtype"] == "float32" or lost <= 0.0005 or 2 * facts.stored["bytes"] > maker().LARGEST
    assert facts.run["commit"]
    assert "dirty" not in facts.run["commit"]
    assert ("Krizhevsky" if of_cifar else "Zalando") in facts.licence


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
@each_row("name", [name for name in PRETRAINED if pretrained_facts(name).bundled_test])
def test_the_bundled_images_are_right_as_often_as_the_facts_say(name):
    """To the image in float64; in float32 ties fall otherwise on other processors."""
    facts = pretrained_facts(name)
    assert maker().bundled_hits(pretrained(name), facts, 100) == facts.bundled_test["right_of_100"]


@pytest.mark.slow
def test_the_thousand_bundled_images_in_float32():
    facts, loader = pretrained_facts().bundled_test, SampleLoader(fashion_mnist_bundled().test, 250)
    right = evaluate(pretrained(), loader, seed=facts["seed"], draws=1).accuracy.correct[0][-1]
    assert abs(right - facts["right_of_1000"]) <= 15


def as_folder(name: str) -> str:
    """Name the folder of recordings of a class."""
    return name.replace(" ", "-").replace("/", "-")


@pytest.mark.slow
def test_the_network_of_events_knows_test_images_before_the_camera():
    test, name = fashion_mnist_bundled().test.select(torch.arange(50)), "fashion-mnist-events-small"
    binning = Binning(pretrained_facts(name).network["num_steps"], 28, 28)
    frames = torch.stack([to_frames(simulate(image)[0], binning).counts for image in test.images])
    named = [pretrained_facts(name).classes[i] for i in pretrained(name)(frames).argmax(1)]
    right = [said == as_folder(test.classes[label]) for said, label in zip(named, test.labels, strict=True)]
    assert sum(right) >= 30


SMALL = ("network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose test and validation images were measured."""
    root = tmp_path_factory.mktemp("runs")
    assert cli.main(["train", "demo", *[part for option in SMALL for part in ("-s", option)], "--root", str(root)]) == 0
    assert cli.main(["evaluate", str(root / "demo"), "--split", "validation"]) == 0
    assert cli.main(["energy", str(root / "demo"), "--costs", "digital-45nm"]) == 0
    return root / "demo"


@pytest.mark.slow
def test_the_files_are_made_of_a_run(run, tmp_path):
    made = maker().make(run, NAME, tmp_path)
    assert read_facts(NAME, tmp_path) == made
    loaded, model = load_run(run), read_pretrained(NAME, tmp_path)
    assert made.stored["dtype"] == "float16", "so small a network loses nothing"
    for name, value in loaded.model.state_dict().items():
        if name.endswith(".weight"):
            assert not torch.equal(value, model.state_dict()[name]), name
            value.copy_(value.half())
        assert torch.equal(value, model.state_dict()[name]), name
    images = fashion_mnist_bundled().test.batch(torch.arange(5))
    assert torch.equal(loaded.model(images, seed=3), model(images, seed=3))
    test, validation = (json.loads((run / f"evaluation{part}.json").read_text()) for part in ("", "-validation"))
    assert made.stored["accuracy"]["float32"] == test["accuracy"]
    assert made.energy_uj == pytest.approx(json.loads((run / "energy.json").read_text())["energy"][0]["snn"] / 1e6)
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
    with pytest.raises(SystemExit, match="epoch 3"):
        maker().make(tmp_path / "demo", NAME, tmp_path)


def test_an_unknown_name():
    for door in (pretrained, pretrained_facts):
        with pytest.raises(ValueError, match=f"vgg9.*{NAME}"):
            door("vgg9")


def rewritten(change_state):
    """Change the weights, and the facts to be those of the new file."""

    def change(folder):
        state = pretrained().state_dict()
        change_state(state)
        payload = safetensors.torch.save(state)
        (folder / f"{NAME}.safetensors").write_bytes(payload)
        with_facts(sha256=hashlib.sha256(payload).hexdigest())(folder)

    return change


def with_facts(**values):
    def change(folder):
        file = folder / f"{NAME}.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")

    return change


def flipped(folder):
    file = folder / f"{NAME}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))


def no_weights(folder):
    (folder / f"{NAME}.safetensors").write_bytes(b"x")
    with_facts(sha256=hashlib.sha256(b"x").hexdigest())(folder)


NETWORK = pretrained_facts().network


@each_row(
    "change, named",
    [
        (flipped, "safetensors.*json"),
        (no_weights, "safetensors"),
        *((lambda folder, end=end: (folder / f"{NAME}.{end}").unlink(), end) for end in ("json", "safetensors")),
        *(
            (lambda folder, content=content: (folder / f"{NAME}.json").write_text(content), "json")
            for content in ("", "{", "[]", "{}", '{"classes": 1, "image_shape": []}')
        ),
        (with_facts(unknown=1), "json.*unknown"),
        (with_facts(network=NETWORK | {"name": "vgg7"}), "json"),
        (with_facts(network=NETWORK | {"depth": 3}), "json"),
        (with_facts(network=NETWORK | {"width": 0.25}), r"conv1\.norm\.gamma"),
        (rewritten(lambda state: state.pop("encoder.std")), r"encoder\.std"),
        (rewritten(lambda state: state.update(x=torch.zeros(2))), r"\(x "),
        (rewritten(lambda state: state.update({"encoder.std": torch.ones(1, 1, 1).double()})), r"std.*float64"),
    ],
)
def test_files_that_do_not_fit_are_refused(change, named, tmp_path):
    for end in ("json", "safetensors"):
        (tmp_path / f"{NAME}.{end}").write_bytes(WEIGHTS.joinpath(f"{NAME}.{end}").read_bytes())
    read_pretrained(NAME, tmp_path)
    change(tmp_path)
    with pytest.raises(PretrainedError, match=named):
        read_pretrained(NAME, tmp_path)
