"""A recipe's data and network are what the recipe says, and what cannot be is refused."""

import dataclasses
import tomllib

import pytest
import torch

from bntt.cli.main import main
from bntt.data import FrameSet, FrameSplits, ImageSet, Splits, stratified
from bntt.data.prepared import manifest_of
from bntt.data.samples import DATASETS, Dataset
from bntt.engine import kernels as backend
from bntt.engine.compute import Compute
from bntt.engine.cpu import library
from bntt.engine.kernels import BackendError
from bntt.models.spiking import NeuronOptions
from bntt.nn import BNTT, DirectEncoder, ExpectedEncoder, PoissonEncoder, SpikeCount
from bntt.nn import fuse as plan
from bntt.ops.spike import ArcTan
from bntt.runs.recipe import build
from bntt.runs.recipe.build import DeviceError, build_data, build_encoder, build_model, describe_backend, require_device
from bntt.runs.recipe.file import RecipeError, dump_recipe, parse_recipe
from tests.rows import each_row
from tests.runs.recipe.test_schema import MINIMAL, changed


def made(**tables):
    """A recipe and its data."""
    recipe = parse_recipe(changed(**tables))
    return recipe, build_data(recipe)


ROWS = {"encoder": {"name": "sequence"}, "network": {"name": "mlp", "num_steps": 28}}


@each_row(
    ("named", "tables"),
    [
        (r"data\.validation", {"data": {"validation": 0.00001}}),
        (r"data\.validation", {"data": {"validation": 0.99999}}),
        (r"data\.validation: .* class", {"data": {"validation": 0.9995}}),
        (r"data\.images", {"data": {"images": 4501}}),
        (r"data\.root", {"data": {"name": "images"}}),
        (r"data\.mode", {"data": {"mode": "gray"}}),
        (r"data\.fit", {"data": {"name": "images", "root": "x", "fit": "pad"}}),
        (r"data\.frames\.sensor", {"data": {"name": "events", "root": "x", "frames": {"sensor": [3]}}}),
        (r"network\.num_steps", {**ROWS, "data": {"order": "pixels"}}),
        (r"network\.num_steps", {**ROWS, "data": {"order": "rows"}, "network": {"name": "mlp", "num_steps": 27}}),
        (r"network\.name", {**ROWS, "data": {"order": "rows"}, "network": {"num_steps": 28}}),
        ("network: image_size=28", {"network": {"name": "vgg9"}}),
        (r"encoder\.name", {"encoder": {"name": "frames"}}),
        (r"train\.batch_size", {"train": {"batch_size": 1}}),
        (r"train\.freeze: 'conv9'", {"train": {"freeze": ["conv9"]}}),
        (r"train\.freeze", {"train": {"freeze": ["*"]}}),
        (r"compute\.precision", {"compute": {"backend": "reference", "precision": "bf16"}}),
    ],
)
def test_what_cannot_be_is_refused(named, tables):
    with pytest.raises(RecipeError, match=named):
        build_model(*made(**tables))


@each_row(
    ("name", "kind", "signed"),
    [
        ("poisson", PoissonEncoder, True),
        ("poisson-unsigned", PoissonEncoder, False),
        ("direct", DirectEncoder, True),
        ("expected", ExpectedEncoder, True),
        ("expected-unsigned", ExpectedEncoder, False),
    ],
)
def test_every_encoder_is_built(name, kind, signed):
    recipe, data = made(encoder={"name": name})
    model, longer = build_model(recipe, data), build_encoder(recipe, data, 11)
    assert type(model.encoder) is kind
    assert (model.encoder.num_steps, longer.num_steps) == (recipe.network.num_steps, 11)
    assert (model.encoder.mean is None) == (not signed)
    images = data.test.batch(torch.arange(2))
    assert bool(model.encoder(images).amin() < 0) == signed
    assert model(images).shape == (2, 10)


@each_row("name", ["vgg6", "mlp"])
def test_every_network_option_reaches_the_network(name):
    options = {"name": name, "leak": 0.8, "norm": "tdbn", "width": 0.25, "threshold": 2.0, "learn_leak": True}
    options |= {"dropout": 0.3, "norm_eps": 1e-5, "decay_input": True, "readout": "spikes"}
    options |= {"fire": "before", "reset": "hard", "surrogate": "arctan"}
    assert {one.name for one in dataclasses.fields(NeuronOptions)} - options.keys() == {"neuron", "surrogate_scale"}
    network = build_model(*made(network=options)).network
    assert isinstance(network.readout, SpikeCount)
    block = network.blocks["fc1"]
    assert block.lif.neuron.decay_input
    assert torch.isclose(block.lif.neuron.leak.detach(), torch.tensor(0.8))
    assert (block.lif.neuron.threshold, block.norm.scale) == (2.0, 2.0)
    assert (block.lif.neuron.rule.__name__, block.lif.neuron.reset.__name__) == ("fire_before", "hard_reset")
    assert block.norm.channels == {"vgg6": 32, "mlp": 64}[name]
    assert isinstance(block.lif.neuron.surrogate, ArcTan)
    assert (block.dropout.p, block.norm.eps) == (0.3, 1e-5)


@each_row(("said", "leaks"), [(False, None), (True, 1), ("layer", 1), ("channel", 32)])
def test_a_leak_may_learn_in_every_layer_or_channel(said, leaks):
    recipe, data = made(network={"width": 0.25, "learn_leak": said})
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
    logit = build_model(recipe, data).network.blocks["fc1"].lif.leak_logit
    assert (None if logit is None else logit.numel()) == leaks


def test_sequences_of_ones_own_are_the_features_of_each_step(monkeypatch):
    frames = FrameSet(torch.arange(600.0).view(40, 5, 3) % 7, torch.arange(40) % 2, ("a", "b"))
    monkeypatch.setitem(DATASETS, "mine", Dataset("frames", "mine", make=lambda: FrameSplits(frames, frames)))
    own = {"data": {"name": "mine"}, "encoder": {"name": "frames"}}
    recipe, data = made(**own, network={"name": "mlp", "num_steps": 5})
    for samples in (data, build.stand_in(recipe, data.manifest)):
        assert build_model(recipe, samples)(samples.train.batch(torch.arange(4))).shape == (4, 2)
    with pytest.raises(RecipeError, match=r"network\.name"):
        build_model(*made(**own, network={"num_steps": 5}))


def test_a_root_means_the_same_from_every_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe(changed(data={"name": "images", "root": "mine"}))
    assert build.with_absolute_paths(recipe).data.root == str(tmp_path / "mine")
    assert build.with_absolute_paths(parse_recipe(MINIMAL)) == parse_recipe(MINIMAL)
    hybrid = parse_recipe(changed(convert={"ann": "mine"}, network={"norm": "none"}))
    assert build.with_absolute_paths(hybrid).convert.ann == str(tmp_path / "mine")


@each_row("device", ["cuda:7", "gpu", "mps", "meta"])
def test_devices_that_are_not_here(device):
    with pytest.raises(DeviceError, match=f"'{device}'"):
        require_device(device)


def test_the_recipe_chooses_how_it_is_computed(monkeypatch):
    own = {"backend": "cpu", "events": "measured", "recompute": 3, "precision": "bf16-grad"}
    own |= {"input_grad": "direct", "rectifiers": "plain"}
    assert build_model(*made()).network.compute == Compute(events="fixed")
    monkeypatch.setattr(backend, "has_bf16", lambda: True)
    assert build_model(*made(compute=own)).network.compute == Compute(*own.values())
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match="bf16-grad"):
        build_model(*made(compute=own))


class Own(BNTT):
    """A norm that the kernels do not know."""


def test_what_a_run_computes_with_is_said_with_its_reason(monkeypatch):
    recipe, data = made(network={"width": 0.125, "num_steps": 2})
    model, kernels = build_model(recipe, data), backend.find_backend("cpu").detail
    plain = dataclasses.replace(recipe, compute=dataclasses.replace(recipe.compute, backend="reference"))
    assert describe_backend(recipe, data, model) == kernels
    assert kernels not in describe_backend(plain, data, model)
    model.network.blocks["conv2"].norm = Own(model.network.blocks["conv2"].norm.channels, 2)
    said = describe_backend(recipe, data, model)
    assert said.startswith(kernels)
    assert "its norm is Own" in said
    monkeypatch.setattr(library, "LIBRARY", None)
    monkeypatch.setattr(library, "REASON", "no compiler")
    assert describe_backend(recipe, data, model).endswith(": no compiler")
    with pytest.raises(BackendError, match="no compiler"):
        build_model(*made(compute={"backend": "cpu"}))


@pytest.mark.parametrize("setting", ["backend=cpu", "precision=bf16"])
def test_a_network_that_cannot_be_trained_as_asked_is_refused_before_a_run_is_made(
    setting, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(backend, "has_bf16", lambda: True)
    monkeypatch.setattr(plan, "fuse", lambda *_: plan.need(False, "nobody knows it"))
    arguments = ["train", "demo", "-s", f"compute.{setting}", "--root", str(tmp_path)]
    assert main(arguments) == 5
    assert "nobody knows it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_some_of_the_training_images_are_chosen_after_validation_was_held_out():
    whole, every, some, again, few = (made(data={"images": count})[1] for count in (0, 4500, 300, 300, 4))
    _, rows = made(data={"order": "rows", "images": 100}, **ROWS)
    other = build_data(dataclasses.replace(made(data={"images": 300})[0], seed=1))
    assert (len(whole.train), whole.whole, len(some.train), some.whole) == (4500, 4500, 300, 4500)
    assert some.train.counts() == [30] * 10
    assert torch.equal(some.validation.images, whole.validation.images), "validation is what it was"
    assert torch.equal(some.train.images, again.train.images)
    assert not torch.equal(some.train.images, other.train.images)
    assert torch.equal(every.train.images, whole.train.images)
    assert (some.mean, some.std) == some.train.pixel_statistics()
    assert torch.equal(some.train.images, whole.train.images[stratified(whole.train, 300, seed=0)])
    assert some.facts()["samples"] == {"train": 300, "train_of": 4500, "validation": 500}
    assert whole.label == every.label == "fashion-mnist-bundled"
    assert few.label.endswith(", trained on 4 of 4,500, with 4 of the 10 classes")
    assert (len(rows.train), rows.label) == (100, "fashion-mnist-bundled, rows, trained on 100 of 4,500")


def test_a_constant_set_gives_no_spikes_and_says_so(monkeypatch):
    """Fault 28: it trains without NaN, at chance."""
    blank = ImageSet(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10, tuple("0123456789"))
    splits = Splits(blank, blank)
    monkeypatch.setattr(build, "open_samples", lambda name, *_: (splits, manifest_of(splits._asdict(), name)))
    with pytest.warns(UserWarning, match="no spikes"):
        recipe, data = made(network={"width": 0.125})
    assert (build_model(recipe, data)(blank.images[:8].float() / 255) == 0).all()


@each_row("damage", [{"classes": []}, {"images": {"test": 3}}, {"shape": [28]}, {"shape": [1, 2, 3, 4, 5]}])
def test_a_manifest_of_no_samples_has_no_stand_in(damage):
    recipe, data = made()
    manifest = manifest_of({"train": data.train}, "made")
    assert len(build.stand_in(recipe, manifest).train) == 4050  # without the validation part
    with pytest.raises(ValueError, match="classes"):
        build.stand_in(recipe, dataclasses.replace(manifest, **damage))
