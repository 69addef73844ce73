"""TensorBoard events where tensorboard is, nothing where it is not."""

import io
import itertools
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from bntt.runs.training import curves

ROW = {
    **{"epoch": 0, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": 1.5, "validation_accuracy": 0.25},
    **{"lr": 0.3, "firing_rate": {"conv1": 0.125, "block1.after": 0.5}, "gamma": {"conv1": 0.75}},
}


def read(folder):
    """Every curve as ``{name: [(epoch, value), ...]}``, as TensorBoard itself reads the folder, and its images."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    images = {
        tag: [Image.open(io.BytesIO(e.encoded_image_string)) for e in events.Images(tag)] for tag in tags["images"]
    }
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in tags["scalars"]}, images


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with curves.event_writer(tmp_path) as write:
        assert write is None
    assert not list(tmp_path.iterdir())


def test_with_it_every_number_that_an_epoch_has(tmp_path):
    pytest.importorskip("tensorboard")
    lacking = {"train_loss": 0.5, "lr": 0.3, "validation_accuracy": None, "firing_rate": None, "gamma": {"conv1": 0.5}}
    with curves.event_writer(tmp_path) as write:
        write(0, ROW, {"conv1": torch.tensor([[0.5, 0.0, 0.25]])})
        write(1, lacking, {})
        assert read(tmp_path)[0]["train_loss"] == [(0, 1.0), (1, 0.5)], "at once, not when the run ends"
    found, images = read(tmp_path)
    assert found.keys() == {*curves.EVERY_EPOCH, "firing_rate/conv1", "firing_rate/block1.after", "gamma/conv1"}
    assert found["validation_accuracy"] == [(0, 0.25)]
    assert found["firing_rate/block1.after"] == [(0, 0.5)]
    assert found["gamma/conv1"] == [(0, 0.75), (1, 0.5)]
    (image,) = images["gammas/conv1"]
    assert [image.getpixel((channel, 0))[0] for channel in range(3)] == [255, 0, 127], "from 0 to the largest"


@pytest.mark.parametrize("first", [0, 2])
def test_a_resumed_run_hides_what_it_writes_again(first, tmp_path, monkeypatch):
    """Epochs 0-3 were written, the checkpoint is of an earlier one; the resumed run gets no further than epoch 2."""
    writers = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    seconds = itertools.count(1_700_000_000)  # of one second, a process's tenth file would be read before its ninth
    monkeypatch.setattr(writers, "time", SimpleNamespace(time=lambda: next(seconds)))
    with curves.event_writer(tmp_path) as write:
        for epoch in range(4):
            write(epoch, ROW, {})
    with curves.event_writer(tmp_path, first_epoch=first) as write:
        for epoch in range(first, 3):
            write(epoch, ROW | {"train_loss": 9.0}, {})
    assert read(tmp_path)[0]["train_loss"] == [(epoch, 1.0 if epoch < first else 9.0) for epoch in range(3)]
