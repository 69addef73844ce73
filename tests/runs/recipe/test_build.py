"""A recipe's data and network are what the recipe says, and what cannot be is refused."""

import dataclasses
import tomllib
from dataclasses import replace

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
from bntt.runs.recipe import build as parts
from bntt.runs.recipe.build import (
    DeviceError,
    build_data,
    build_encoder,
    build_model,
    describe_backend,
    require_device,
    stand_in,
)
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe, parse_recipe
from tests.rows import each_row
from tests.runs.recipe.test_schema import MINIMAL, changed


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
    recipe = parse_recipe(changed(encoder={"name": name}))
    data = build_data(recipe)
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
    recipe = parse_recipe(changed(network=options))
    network = build_model(recipe, build_data(recipe)).network
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
    recipe = parse_recipe(changed(network={"name": "vgg6", "width": 0.25, "learn_leak": said}))
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
    logit = build_model(recipe, build_data(recipe)).network.blocks["fc1"].lif.leak_logit
    assert (None if logit is None else logit.numel()) == leaks


@each_row(
    ("tables", "named"),
    [
        ({"network": {"name": "vgg9"}}, "network: image_size=28"),
        ({"train": {"batch_size": 1}}, r"train\.batch_size"),
        ({"train": {"freeze": ["conv9"]}}, r"train\.freeze: 'conv9'"),
        ({"compute": {"backend": "reference", "precision": "bf16"}}, r"compute\.precision"),
    ],
)
def test_what_cannot_be_built_is_refused(tables, named):
    with pytest.raises(RecipeError, match=named):
        build_model(recipe := parse_recipe(changed(**tables)), build_data(recipe))


def test_sequences_of_ones_own_are_the_features_of_each_step(monkeypatch):
    frames = FrameSet(torch.arange(600.0).view(40, 5, 3) % 7, torch.arange(40) % 2, ("a", "b"))
    monkeypatch.setitem(DATASETS, "mine", Dataset("frames", "mine", make=lambda: FrameSplits(frames, frames)))
    network = {"name": "mlp", "num_steps": 5}
    recipe = parse_recipe(changed(data={"name": "mine"}, encoder={"name": "frames"}, network=network))
    data = build_data(recipe)
    like = stand_in(recipe, data.manifest)
    for samples in (data, like):
        assert build_model(recipe, samples)(samples.train.batch(torch.arange(4))).shape == (4, 2)
    convolutional = parse_recipe(changed(data={"name": "mine"}, encoder={"name": "frames"}, network={"num_steps": 5}))
    with pytest.raises(RecipeError, match=r"network\.name: vgg6 takes images, mine has sequences of features"):
        build_model(convolutional, data)


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
    data = build_data(load_recipe("demo"))
    net = build_model(load_recipe("demo"), data).network
    assert net.compute == Compute(events="fixed")
    values = ["backend=cpu", "events=measured", "recompute=3", "precision=bf16-grad", "input_grad=direct"]
    values.append("rectifiers=plain")
    chosen = load_recipe("demo", [f"compute.{value}" for value in values])
    monkeypatch.setattr(backend, "has_bf16", lambda: True)
    net = build_model(chosen, data).network
    assert net.compute == Compute("cpu", "measured", 3, "bf16-grad", "direct", "plain")
    monkeypatch.setattr(backend, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match="bf16-grad"):
        build_model(chosen, data)


def test_what_a_run_computes_with_is_said_with_its_reason(monkeypatch):
    recipe = load_recipe("demo")
    data = build_data(recipe)
    model = build_model(recipe, data)
    assert describe_backend(recipe, data, model) == backend.find_backend("cpu").detail
    plain, ann = (
        load_recipe("demo", words)
        for words in (["compute.backend=reference"], ["network.neuron=relu", "network.num_steps=1"])
    )
    assert backend.find_backend("cpu").detail not in describe_backend(plain, data, model)
    assert describe_backend(ann, data, build_model(ann, data)).startswith("an ANN")
    monkeypatch.setattr(library, "LIBRARY", None)
    monkeypatch.setattr(library, "REASON", "no compiler")
    assert describe_backend(recipe, data, model).endswith(": no compiler")
    with pytest.raises(BackendError, match="no compiler"):
        build_model(load_recipe("demo", ["compute.backend=cpu"]), data)


class Own(BNTT):
    """A norm that the kernels do not know."""


def test_blocks_in_plain_pytorch_are_named_with_the_reason():
    recipe = load_recipe("demo", ["network.width=0.125", "network.num_steps=2"])
    data = build_data(recipe)
    model = build_model(recipe, data)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    blocks, kernels = model.network.blocks, backend.find_backend("cpu").detail
    for names in (["conv2", "fc1"], [*blocks]):
        for name in names:
            blocks[name].norm = Own(blocks[name].norm.channels, 2)
        said = describe_backend(recipe, data, model)
        assert f"for {', '.join(names)} (each: its norm is Own" in said
        assert said.startswith(kernels) == (len(names) < len(blocks))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


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


def test_the_parts_are_disjoint_and_the_statistics_are_the_training_parts():
    recipe = parse_recipe(changed(data={"validation": 0.2}))
    data = build_data(recipe)
    assert (len(data.train), len(data.validation), len(data.test)) == (4000, 1000, 1000)
    assert (data.mean, data.std) == data.train.pixel_statistics()
    seen = {row.tobytes() for row in data.train.images.numpy()}
    assert not any(row.tobytes() in seen for row in data.validation.images.numpy())


def test_some_of_the_training_images_are_chosen_after_validation_was_held_out():
    whole, some, other = (
        build_data(parse_recipe({**changed(data={"images": count}), "seed": seed}))
        for count, seed in ((0, 0), (300, 0), (300, 1))
    )
    again = build_data(parse_recipe(changed(data={"images": 300})))
    assert (len(whole.train), whole.whole, len(some.train), some.whole) == (4500, 4500, 300, 4500)
    assert some.train.counts() == [30] * 10
    assert torch.equal(some.validation.images, whole.validation.images), "validation is what it was"
    assert torch.equal(some.train.images, again.train.images)
    assert not torch.equal(some.train.images, other.train.images)
    assert (some.mean, some.std) == some.train.pixel_statistics()
    places = stratified(whole.train, 300, seed=0)
    assert torch.equal(some.train.images, whole.train.images[places])
    assert [whole.label, some.label] == ["fashion-mnist-bundled", "fashion-mnist-bundled, trained on 300 of 4,500"]
    assert some.facts()["samples"] == {"train": 300, "train_of": 4500, "validation": 500}

    few = build_data(parse_recipe(changed(data={"images": 4})))
    assert few.label.endswith(", trained on 4 of 4,500, with 4 of the 10 classes")
    every = build_data(parse_recipe(changed(data={"images": 4500})))
    assert torch.equal(every.train.images, whole.train.images)
    assert every.label == whole.label


@each_row(
    ("data", "named"),
    [
        ({"validation": 0.00001}, r"data\.validation"),
        ({"validation": 0.99999}, r"data\.validation"),
        ({"validation": 0.9995}, r"data\.validation: .* class"),
        ({"images": 4501}, r"data\.images"),
        ({"name": "images"}, r"data\.root"),
    ],
)
def test_data_that_cannot_be_had(data, named):
    with pytest.raises(RecipeError, match=named):
        build_data(parse_recipe(changed(data=data)))


def test_of_sequences_some_are_chosen_as_of_images():
    order = {"order": "rows", "images": 100}
    wanted = changed(data=order, encoder={"name": "sequence"}, network={"name": "mlp", "num_steps": 28})
    data = build_data(parse_recipe(wanted))
    assert (len(data.train), data.label) == (100, "fashion-mnist-bundled, rows, trained on 100 of 4,500")


def test_a_constant_set_gives_no_spikes_and_says_so(monkeypatch):
    """Fault 28: it trains without NaN, at chance."""
    blank = ImageSet(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10, tuple("0123456789"))
    splits = Splits(blank, blank)
    monkeypatch.setattr(parts, "open_samples", lambda name, *_: (splits, manifest_of(splits._asdict(), name)))
    recipe = parse_recipe(changed(network={"width": 0.125}))
    with pytest.warns(UserWarning, match="it gives no spikes"):
        data = build_data(recipe)
    logits = build_model(recipe, data)(blank.images[:8].float() / 255)
    assert (logits == 0).all()


@each_row("damage", [{"classes": []}, {"images": {"test": 3}}, {"shape": [28]}, {"shape": [1, 2, 3, 4, 5]}])
def test_a_manifest_of_no_samples_has_no_stand_in(damage):
    recipe = parse_recipe(changed())
    manifest = manifest_of({"train": build_data(recipe).train}, "made")
    assert len(parts.stand_in(recipe, manifest).train) == 4050  # without the validation part
    with pytest.raises(ValueError, match="classes"):
        parts.stand_in(recipe, replace(manifest, **damage))
