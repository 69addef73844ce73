"""The latest few, the latest sound one, and what stands in the way of neither."""

import pytest
import torch

from bntt.io.checkpoint import CheckpointError
from bntt.runs.directory import Checkpoints


def kept(folder, updates, last=2):
    store = Checkpoints(folder)
    for number in updates:
        store.write(number, {"x": torch.full((3,), float(number))}, {"updates": number}, last)
    return store


def damage(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_latest_is_by_updates_not_by_name_or_clock(tmp_path):
    """Fault 74."""
    store = kept(tmp_path, [9, 10, 100, 1000], last=2)
    assert [path.name for path in store.paths()] == ["step-000001000.safetensors", "step-000000100.safetensors"]
    (tmp_path / "step-000001000.safetensors").rename(tmp_path / "step-1000.safetensors")
    (tmp_path / "step-000000100.safetensors").touch()
    found = store.latest()
    assert (found.checkpoint.facts, found.skipped) == ({"updates": 1000}, ())
    assert torch.equal(found.checkpoint.tensors["x"], torch.full((3,), 1000.0))


def test_a_damaged_one_gives_way_to_the_one_before_by_name(tmp_path):
    store = kept(tmp_path, [100, 200, 300], last=3)
    damage(store.paths()[0])
    found = store.latest()
    assert found.checkpoint.facts == {"updates": 200}
    assert "step-000000300" in "".join(found.skipped)
    store.write(250, {"x": torch.zeros(1)}, {"updates": 250}, 1)  # what is written after it is kept, the damaged goes
    assert [path.name for path in store.paths()] == ["step-000000250.safetensors"]
    damage(store.paths()[0])
    with pytest.raises(CheckpointError, match="step-000000250"):
        store.latest()
    store.paths()[0].unlink()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        store.latest()


def test_stumps_of_a_kill_are_tidied_away_and_strangers_left_alone(tmp_path):
    strangers = {"step-x.safetensors", "best.safetensors", "notes.txt"}
    for name in (*strangers, "step-000000009.safetensors.77.tmp"):
        (tmp_path / name).write_text("?")
    store = kept(tmp_path, [1, 2, 3], last=1)
    assert [path.name for path in store.paths()] == ["step-000000003.safetensors"]
    store.tidy()
    assert {path.name for path in tmp_path.iterdir()} == {*strangers, "step-000000003.safetensors"}


def test_nothing_older_goes_before_the_new_one_is_there(tmp_path, monkeypatch):
    """Fault 73, with a single one kept."""
    store = kept(tmp_path, [1], last=1)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("bntt.io.files.os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            store.write(2, {"x": torch.zeros(1)}, {}, 1)
    assert store.latest().checkpoint.facts == {"updates": 1}
    with monkeypatch.context() as held:
        held.setattr("pathlib.Path.unlink", fail)
        store.write(2, {"x": torch.zeros(1)}, {"updates": 2}, 1)
    assert len(store.paths()) == 2
    assert store.latest().checkpoint.facts == {"updates": 2}
