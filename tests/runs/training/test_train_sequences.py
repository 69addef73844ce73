"""A run on sequences: trained, resumed, loaded without its data, and refused where it is not the same, or no images."""

import json

import pytest
import torch
from PIL import Image

from bntt.cli.main import main
from bntt.data import samples
from bntt.io.checkpoint import CheckpointError
from bntt.runs import open_run as load
from bntt.runs.identity import check_same_data
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import parse_recipe
from bntt.runs.training.train import train_run
from tests.runs import tiny
from tests.runs.recipe.test_schema import changed
from tests.runs.tiny import parts

ROWS = {
    "data": {"order": "rows", "validation": 0.01},
    "encoder": {"name": "sequence"},
    "network": {"name": "mlp", "num_steps": 28, "width": 0.125},
}


def recipe(**tables):
    return tiny.recipe(**{name: {**ROWS.get(name, {}), **tables.get(name, {})} for name in ROWS | tables})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    of = recipe()
    run, _ = tiny.trained(of, parts(of), tmp_path_factory.mktemp("runs"))
    return of, run


def test_the_parts_are_sequences_of_the_same_images_whose_features_the_network_takes():
    data, images = build_data(recipe()), build_data(parse_recipe(changed(data={"validation": 0.01})))
    x = data.test.batch(torch.arange(3))
    assert torch.equal(x, images.test.batch(torch.arange(3)).squeeze(1))
    assert (data.mean, data.std) == (images.mean, images.std)
    assert {**images.manifest.sha256, "order": samples.digest_of("rows", 784)} == data.manifest.sha256
    model = build_model(recipe(), data)
    assert model.network.blocks["fc1"].norm.num_steps == model.encoder.num_steps == 28
    assert torch.allclose(model.encoder(x)[3], (x[:, 3] - data.mean[0]) / data.std[0], atol=1e-5)
    assert model(x).shape == (3, 10)


def test_a_stopped_run_goes_on_with_the_same_bits(trained, tmp_path):
    of, straight = trained
    stopped = tiny.stopped(of, parts(of), tmp_path)
    list(train_run(of, parts(of), stopped, resume=True))
    tiny.assert_same(stopped, straight)


def test_a_run_is_loaded_without_its_data(trained, monkeypatch):
    _, directory = trained
    monkeypatch.setattr(load, "build_data", lambda recipe: pytest.fail("opened"))
    run = load_run(directory.path)
    assert run.image_shape == (1, 28, 28)
    assert run.model(torch.zeros(2, 28, 28)).shape == (2, 10)


def test_another_permutation_is_other_data(tmp_path, monkeypatch):
    of = recipe(data={"order": "permuted"}, network={"num_steps": 784})
    (tmp_path / "environment.json").write_text(json.dumps(build_data(of).facts()))
    check_same_data(tmp_path, build_data(of).manifest)
    monkeypatch.setattr(samples, "places", lambda pixels: torch.arange(pixels).flip(0))
    with pytest.raises(CheckpointError, match=r"other data.*order"):
        check_same_data(tmp_path, build_data(of).manifest)


def test_verbs_take_it_but_those_for_images(trained, tmp_path, capsys):
    run = str(trained[1].path)
    for verb, *flags in (("robust", "--sigmas", "0.1"), ("attack", "--attack", "square")):
        assert main([verb, run, *flags]) == 2
        assert "was trained on sequences" in capsys.readouterr().err
    Image.effect_noise((28, 28), 80).save(tmp_path / "bars.png")
    assert main(["predict", str(tmp_path / "bars.png"), "--run", run, "--json"]) == 0
    assert '"stable_from"' in capsys.readouterr().out
