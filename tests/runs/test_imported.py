"""Files of other makers become runs and checkpoints that hold exactly what they held."""

import json
from math import inf, nan
from unittest.mock import patch

import pytest
import torch

from bntt import register
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_facts
from bntt.io.errors import DataError
from bntt.models import vgg6
from bntt.models.spiking import RESETS
from bntt.runs.evaluation import retimed, retiming_of
from bntt.runs.imported import import_network
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError, load_recipe
from tests.foreign import VGG6, Loop, released, saved, snntorch

SMALL = ("network.width=0.25",)
BUNDLED = {"model": "vgg6", "data": "fashion-mnist-bundled", "overrides": SMALL}


@pytest.fixture
def loop():
    return Loop(VGG6, 3, width=0.25).randomize(1)


@pytest.fixture
def file(loop, tmp_path):
    path = tmp_path / "best.pth.tar"
    path.write_bytes(saved(released(loop)))
    return path


def test_a_run_computes_what_the_other_network_did(loop, file, tmp_path):
    path, recipe, foreign = import_network(file, "theirs", tmp_path / "runs", **BUNDLED)
    assert (path, foreign.layout, foreign.num_steps) == (tmp_path / "runs" / "theirs", "released", 3)
    run = load_run(path)
    assert run.recipe == recipe == load_recipe(path / "recipe.toml")
    x = torch.rand(3, 2, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64).lt(0.4).double()
    assert (run.model.network.double()(x) - loop.double()(x)).abs().max() < 1e-13
    assert (recipe.imported.file, recipe.imported.layout, recipe.network.leak) == ("best.pth.tar", "released", 0.95)
    assert run.model.encoder.mean.item() == pytest.approx(run.data.mean[0]), "one channel: not the released numbers"


def test_what_the_file_and_the_user_say_is_taken(loop, tmp_path):
    loop.leak = 0.9
    (tmp_path / "x.pt").write_bytes(saved(snntorch(loop)))
    path, recipe, _ = import_network(tmp_path / "x.pt", "x", tmp_path, **BUNDLED, pixels=((0.5,), (0.25,)))
    assert (recipe.network.leak, recipe.network.norm_eps) == (pytest.approx(0.9), 1e-5)
    said = load_run(path)
    assert {block.norm.eps for block in said.model.network.blocks.values()} == {1e-5}
    longer, _ = retimed(said.model, said.recipe, said.data, retiming_of(said.recipe, 5, "hold"), "cpu")
    for steps, encoder in ((3, said.model.encoder), (5, longer.encoder)):
        assert (encoder.num_steps, encoder.mean.item(), encoder.std.item()) == (steps, 0.5, 0.25)


def test_without_data_it_is_a_checkpoint_of_the_network(loop, file, tmp_path):
    path, *_ = import_network(file, "net", tmp_path / "out", model="vgg6", overrides=SMALL)
    assert path == tmp_path / "out" / "net.safetensors"
    net = vgg6(width=0.25, num_steps=3)
    facts = load_checkpoint(path, net)
    assert facts == read_facts(path)
    assert facts["imported"]["file"] == "best.pth.tar"
    assert torch.equal(net.blocks["conv2"].norm.gamma[1], loop.bntt2[1].weight)
    with pytest.raises(RecipeError, match="already exists"):
        import_network(file, "net", tmp_path / "out", model="vgg6", overrides=SMALL)


VGG6_HALF = {"model": "vgg6", "overrides": SMALL}
WRONG = [
    (RecipeError, r"network\.name", {"model": "vgg5", "data": "synthetic"}),
    (RecipeError, "--layout", VGG6_HALF | {"layout": "jelly"}),
    (RecipeError, "network: image_size", BUNDLED | {"model": "vgg9"}),
    (RecipeError, r"imported\.file", VGG6_HALF | {"overrides": (*SMALL, "train.epochs=3")}),
    (RecipeError, r"encoder\.name=direct", VGG6_HALF | {"overrides": (*SMALL, "encoder.name=direct")}),
    (RecipeError, "--mean and --std", VGG6_HALF | {"pixels": ((0.5,), ())}),
    *((RecipeError, "--mean and --std", BUNDLED | {"pixels": pixels}) for pixels in (((0.5, 0.5), ()), ((), (0.0,)))),
    *((RecipeError, "--mean and --std", BUNDLED | {"pixels": pixels}) for pixels in (((nan,), ()), ((), (inf,)))),
    (CheckpointError, r"best\.pth\.tar", BUNDLED | {"overrides": ()}),
    (CheckpointError, r"best\.pth\.tar: .*conv5", VGG6_HALF | {"model": "vgg9"}),
    (CheckpointError, r"bntt1 is torch\.float32 \[3, 4\]", VGG6_HALF | {"overrides": (*SMALL, "network.num_steps=2")}),
    (CheckpointError, "plain chain", VGG6_HALF | {"layout": "spikingjelly", "overrides": ("network.name=resnet20",)}),
    (DataError, "bntt data prepare mnist", VGG6_HALF | {"data": "mnist"}),
]


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_leaves_nothing(file, tmp_path):
    for error, named, wanted in WRONG:
        with pytest.raises(error, match=named):
            import_network(file, "x", tmp_path / "runs", **wanted)
        assert not (tmp_path / "runs").exists()


@patch.dict(RESETS)
def test_parts_of_your_own_and_the_folder_of_its_data_are_kept_with_it(file, tmp_path, monkeypatch):
    monkeypatch.setitem(register.REGISTERED, "network.reset=own", None)  # gone when the test ends
    register.reset("own")(lambda membrane, spikes, threshold: membrane)
    monkeypatch.chdir(tmp_path)
    settings = BUNDLED | {"overrides": (*SMALL, "network.reset=own", "data.root=mine")}
    path, recipe, _ = import_network(file, "theirs", tmp_path, **settings)
    assert recipe.data.root == str(tmp_path / "mine")
    (part,) = json.loads((path / "environment.json").read_text())["parts"]
    assert part["names"] == ["network.reset=own"]
