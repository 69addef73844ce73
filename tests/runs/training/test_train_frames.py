"""Recordings from files to accuracy: prepared, trained on, measured, opened again, and what is refused of them."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bntt.analysis.measurement import Progress
from bntt.analysis.neuron import NeuronArguments, measure_neuron
from bntt.data import FrameSet
from bntt.data.events.binning import to_frames
from bntt.data.events.formats import read_aedat4
from bntt.io.errors import DataError
from bntt.runs.directory import new_run_directory
from bntt.runs.evaluation import evaluate_run
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_data, build_model, framing_of, input_shape, training_loader
from bntt.runs.recipe.file import RecipeError, parse_recipe
from bntt.runs.training.train import train_run
from tests import fakes
from tests.data.events import aedat4_files

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


def test_from_aedat4_files_to_accuracy(tmp_path):
    pytest.importorskip("aedat")
    root = fakes.write_recordings(tmp_path / "recordings", aedat4, ".aedat4")
    wanted, run = recipe(tmp_path, **OWN), new_run_directory("events", tmp_path)
    data = build_data(wanted)
    expected = to_frames(read_aedat4(root / "cat" / "cat_0.aedat4"), framing_of(wanted).binning).counts
    assert any(torch.equal(expected, one) for one in [*data.train.frames, *data.test.frames])
    assert data.manifest.details["events"] == 3000
    list(train_run(wanted, data, run))
    assert evaluate_run(wanted, data, run).images == 2


def test_aedat4_without_its_package(monkeypatch, tmp_path):
    fakes.write_recordings(tmp_path / "recordings", aedat4, ".aedat4")
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match=r"bntt\[events\]"):
        build_data(recipe(tmp_path, **OWN))
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.data
def test_a_real_aedat4_recording_is_read(tmp_path):
    """Among recordings made by hand, of the same sensor."""
    pytest.importorskip("aedat")
    real = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "events" / "tonic_sample.aedat4"
    if not real.is_file():
        pytest.skip("BNTT_TEST_DATA names no folder with events/tonic_sample.aedat4")
    root = tmp_path / "recordings"
    fakes.write_recordings(root, lambda seed: aedat4_files.recording(seed, 300, height=240, width=320), ".aedat4")
    shutil.copy(real, root / "dog" / "real.aedat4")
    assert build_data(recipe(tmp_path, **OWN)).manifest.details["events"] == 3000 + 111_954


def test_simulated_recordings_are_labelled(tmp_path):
    notes = "# This recording is simulated: no camera made it.\r\n#End Of ASCII Header\r\n"
    fakes.write_recordings(tmp_path / "recordings", lambda seed: fakes.aedat2_bytes(seed, notes=notes))
    own = {"name": "events", "frames": {"size": 12, "format": "aedat2"}, "data": {"label": "mine"}}
    labels = [build_data(recipe(tmp_path, **changes)).label for changes in ({"name": "cifar10-simulated"}, own)]
    assert labels == ["cifar10-simulated", "mine (simulated)"]
