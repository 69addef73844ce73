"""The hub's mixin: a folder with the network, its encoder and its weights, and back, without a network."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.interop.peers import need
from tests.rows import each_row

need("huggingface_hub", "2.4.0")

from bntt.interop.hub import Model  # noqa: E402
from bntt.nn import DirectEncoder, fold  # noqa: E402

NETWORK = {"name": "vgg6", "num_steps": 3, "width": 0.25}
ENCODER = {"name": "poisson", "mean": [0.29], "std": [0.35]}


def test_a_folder_holds_it_all(tmp_path, rng):
    model = Model(network=NETWORK, encoder=ENCODER)
    with torch.no_grad():
        for value in model.network.state_dict().values():
            value.add_(0.2 * torch.rand(value.shape, generator=rng))
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["network"] == NETWORK
    found = Model.from_pretrained(tmp_path)
    images = torch.rand(2, 1, 28, 28, generator=rng)
    assert not found.training
    assert torch.equal(found(images), model.eval()(images))
    held = found.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in model.state_dict().items())
    found.save_pretrained(tmp_path / "twice")


def test_a_network_whose_norms_have_no_steps_has_those_of_its_builder():
    for norm, given, steps in (("none", {}, 3), ("layer", {"num_steps": 5}, 5)):
        assert Model(network={**NETWORK, "norm": norm, **given}, encoder=ENCODER).encoder.num_steps == steps


@each_row(
    "network, encoder, named",
    [
        ({"name": "os.system"}, {}, "os.system"),
        ({}, {"men": [0.3]}, "'men'"),
        ({}, {"mean": torch.tensor([0.29])}, "config.json"),
    ],
)
def test_a_file_can_name_no_code(network, encoder, named):
    with pytest.raises(ValueError, match=named):
        Model(network=NETWORK | network, encoder=ENCODER | encoder)


class Negated(Model):
    def forward(self, *args, **call):
        return -super().forward(*args, **call)


def folded(model):
    model.network = fold(model.network)


def threshold(model):
    lif = model.network.blocks["conv1"].lif
    lif.neuron = replace(lif.neuron, threshold=0.5)


def hook(model):
    model.network.blocks["conv1"].lif.register_forward_hook(lambda lif, args, out: None)


CHANGES = [
    (folded, "changed"),
    (threshold, "changed"),
    (lambda model: setattr(model, "encoder", DirectEncoder(3, mean=[0.29], std=[0.35])), "changed"),
    (Model.double, "changed"),
    (hook, "network.blocks.conv1.lif"),
    (lambda model: setattr(model, "forward", lambda *args, **call: 0), "forward"),
    (lambda model: setattr(model, "__class__", Negated), "forward"),
]


@each_row("change, named", CHANGES)
def test_a_model_that_was_changed_is_not_saved_as_what_it_was(change, named, tmp_path):
    model = Model(network=NETWORK, encoder=ENCODER).eval()
    change(model)
    with pytest.raises(ValueError, match=named):
        model.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_weights_of_another_network_are_refused(tmp_path):
    Model(network=NETWORK, encoder=ENCODER).save_pretrained(tmp_path)
    weights = {name: value for name, value in load_file(tmp_path / "model.safetensors").items() if "gamma" not in name}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match="gamma"):
        Model.from_pretrained(tmp_path)
