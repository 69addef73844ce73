"""TensorBoard events where tensorboard is, nothing where it is not."""

import sys

import pytest

from bntt.experiments import tracking

VALUES = {"train_loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.25, "lr": 0.3}


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with tracking.event_writer(tmp_path) as write:
        write(0, VALUES)
    assert not list(tmp_path.iterdir())


def test_with_it_every_value_of_every_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracking.event_writer(tmp_path) as write:
        write(0, VALUES)
        write(1, VALUES)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(tracking.EVERY_EPOCH)
    assert [e.step for e in events.Scalars("train_loss")] == [0, 1]
    assert events.Scalars("validation_accuracy")[0].value == 0.25
    assert "tensorboard" in sys.modules
