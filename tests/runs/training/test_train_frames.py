"""Recordings from files to accuracy, and images as sequences: trained on, measured, opened again, and refused."""

import json
import sys

import pytest
import torch
from PIL import Image

from bntt.analysis.measurement import Progress
from bntt.analysis.neuron import NeuronArguments, measure_neuron
from bntt.cli.main import main
from bntt.data import FrameSet, samples
from bntt.data.events.binning import to_frames
from bntt.data.events.formats import read_aedat4
from bntt.io.checkpoint import CheckpointError
from bntt.io.errors import DataError
from bntt.runs.directory import new_run_directory
from bntt.runs.evaluation import evaluate_run
from bntt.runs.identity import check_same_data
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_data, build_model, framing_of, input_shape, training_loader
from bntt.runs.recipe.file import RecipeError, parse_recipe
from bntt.runs.training.train import train_run
from tests import fakes
from tests.data import aedat4_files
from tests.runs import tiny
from tests.runs.recipe.test_schema import changed
from tests.runs.tiny import parts

pytestmark = pytest.mark.usefixtures("cache")


def recipe(tmp_path, name="dvs-cifar10", encoder="frames", frames=None, **tables):
    root = tmp_path / "recordings"
    if not root.exists():
        fakes.write_recordings(root)
    frames = {"size": 12} if frames is None else frames
    values = {
        "data": {"name": name, "root": str(root), "frames": frames, "validation": 0.25},
        "encoder": {"name": encoder},
        "network": {"name": "vgg6", "num_steps": 3, "width": 0.25},
        "train": {"epochs": 1, "batch_size": 3},
        "evaluate": {"batch_size": 4},
    }
    for table, keys in tables.items():
        values[table] |= keys
    return parse_recipe(values)


def test_from_files_to_accuracy(tmp_path):
    wanted = recipe(tmp_path, data={"augment": ["flip", "shift"]})
    data, run = build_data(wanted), new_run_directory("events", tmp_path)
    assert isinstance(data.train, FrameSet)
    assert input_shape(wanted, data) == (3, 3, 2, 12, 12)
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 2, 2)
    assert (data.mean, data.std, data.label) == ([], [], "dvs-cifar10 (unchecked files)")
    list(train_run(wanted, data, run))
    measured = evaluate_run(wanted, data, run)
    assert measured.images == 2
    loaded = load_run(run.path)
    assert (loaded.classes, loaded.image_shape) == (("cat", "dog"), (2, 12, 12))
    frames = loaded.data.test.batch(torch.arange(2))
    assert frames.shape == (2, 3, 2, 12, 12)
    right = loaded.model(frames).argmax(1) == loaded.data.test.labels
    assert right.double().mean() == measured.accuracy
    assert len(measure_neuron(loaded, NeuronArguments(), Progress()).steps) == 3
    with pytest.raises(RecipeError, match="was trained on frames"):
        loaded.pictures("test")


def test_counts_meet_the_first_layer_as_they_are_and_one_step_is_the_sum_of_all_frames(tmp_path):
    wanted = recipe(tmp_path)
    summing = recipe(tmp_path, network={"num_steps": 1, "neuron": "relu", "norm": "none"})
    data, summed, index = build_data(wanted), build_data(summing), torch.arange(2)
    frames = data.test.batch(index)
    assert frames.max() > 1
    assert torch.equal(data.train.batch(index), data.train.frames[data.train.rows[index]].float())
    assert torch.equal(build_model(wanted, data).encoder(frames), frames.transpose(0, 1))
    assert torch.equal(summed.test.batch(index)[:, 0], frames.sum(1))
    build_model(summing, summed)


def test_the_recipe_says_how_recordings_become_frames(tmp_path):
    how = {"by": "count", "cells": "binary", "beyond": "saturate"}
    framing = framing_of(recipe(tmp_path, frames={"size": 9, **how, "format": "npz", "sensor": [60, 80]}))
    assert (framing.binning.num_steps, framing.binning.height, framing.binning.width) == (3, 9, 9)
    assert {key: getattr(framing.binning, key) for key in how} == how
    assert (framing.format, framing.sensor) == ("npz", (60, 80))


REFUSED = [
    (build_model, {"encoder": "poisson"}, r"encoder\.name: .*'poisson'"),
    (training_loader, {"data": {"augment": ["crop"]}}, "data: .*'crop'"),
    (training_loader, {"data": {"mix": "mixup"}}, "data: .*'mixup'"),
]


def test_what_is_not_for_recordings_is_refused(tmp_path):
    for build, tables, named in REFUSED:
        data = build_data(of := recipe(tmp_path, **tables))
        with pytest.raises(RecipeError, match=named):
            build(of, data)


def aedat4(seed):
    return aedat4_files.recording(seed, 300, height=16, width=20, lz4=seed % 2 == 0)


OWN = {"name": "events", "frames": {"size": 12, "format": "aedat4"}}


def test_aedat4_files_become_frames_with_their_package(monkeypatch, tmp_path):
    root = fakes.write_recordings(tmp_path / "recordings", aedat4, ".aedat4")
    wanted = recipe(tmp_path, **OWN)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "aedat", None)
        with pytest.raises(DataError, match=r"bntt\[events\]"):
            build_data(wanted)
    assert not list((tmp_path / "cache").iterdir())
    pytest.importorskip("aedat")
    data = build_data(wanted)
    expected = to_frames(read_aedat4(root / "cat" / "cat_0.aedat4"), framing_of(wanted).binning).counts
    assert any(torch.equal(expected, one) for one in [*data.train.frames, *data.test.frames])
    assert data.manifest.details["events"] == 3000


def test_simulated_recordings_are_labelled(tmp_path):
    notes = "# This recording is simulated: no camera made it.\r\n#End Of ASCII Header\r\n"
    fakes.write_recordings(tmp_path / "recordings", lambda seed: fakes.aedat2_bytes(seed, notes=notes))
    own = {"name": "events", "frames": {"size": 12, "format": "aedat2"}, "data": {"label": "mine"}}
    labels = [build_data(recipe(tmp_path, **changes)).label for changes in ({"name": "cifar10-simulated"}, own)]
    assert labels == ["cifar10-simulated", "mine (simulated)"]


ROWS = {
    "data": {"order": "rows", "validation": 0.01},
    "encoder": {"name": "sequence"},
    "network": {"name": "mlp", "num_steps": 28, "width": 0.125},
}


def of_rows(**tables):
    return tiny.recipe(**{name: {**ROWS.get(name, {}), **tables.get(name, {})} for name in ROWS | tables})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    of = of_rows()
    run, _ = tiny.trained(of, parts(of), tmp_path_factory.mktemp("runs"))
    return of, run


def test_the_parts_are_sequences_of_the_same_images_whose_features_the_network_takes():
    data, images = build_data(of_rows()), build_data(parse_recipe(changed(data={"validation": 0.01})))
    x = data.test.batch(torch.arange(3))
    assert torch.equal(x, images.test.batch(torch.arange(3)).squeeze(1))
    assert (data.mean, data.std) == (images.mean, images.std)
    assert {**images.manifest.sha256, "order": samples.digest_of("rows", 784)} == data.manifest.sha256
    model = build_model(of_rows(), data)
    assert model.network.blocks["fc1"].norm.num_steps == model.encoder.num_steps == 28
    assert torch.allclose(model.encoder(x)[3], (x[:, 3] - data.mean[0]) / data.std[0], atol=1e-5)
    assert model(x).shape == (3, 10)


def test_a_stopped_run_goes_on_with_the_same_bits(trained, tmp_path):
    of, straight = trained
    assert load_run(straight.path).image_shape == (1, 28, 28)
    stopped = tiny.stopped(of, parts(of), tmp_path)
    list(train_run(of, parts(of), stopped, resume=True))
    tiny.assert_same(stopped, straight)


def test_another_permutation_is_other_data(tmp_path, monkeypatch):
    of = of_rows(data={"order": "permuted"}, network={"num_steps": 784})
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
