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


def test_the_latest_few_are_kept(tmp_path):
    store = kept(tmp_path, [9, 10, 100, 1000], last=2)
    assert [path.name for path in store.paths()] == ["step-000001000.safetensors", "step-000000100.safetensors"]
    found = store.latest()
    assert (found.checkpoint.facts, found.skipped) == ({"updates": 1000}, ())
    assert torch.equal(found.checkpoint.tensors["x"], torch.full((3,), 1000.0))


def test_latest_is_by_updates_not_by_name_or_clock(tmp_path):
    """Fault 74."""
    store = kept(tmp_path, [9, 10], last=5)
    (tmp_path / "step-000000010.safetensors").rename(tmp_path / "step-10.safetensors")
    (tmp_path / "step-000000009.safetensors").touch()
    assert store.latest().checkpoint.facts == {"updates": 10}


def test_a_damaged_one_gives_way_to_the_one_before_by_name(tmp_path):
    store = kept(tmp_path, [1, 2, 3], last=3)
    latest = store.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-1])
    found = store.latest()
    assert found.checkpoint.facts == {"updates": 2}
    assert len(found.skipped) == 1
    assert "step-000000003.safetensors is damaged" in found.skipped[0]


def test_none_can_be_used(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint: nothing to resume"):
        Checkpoints(tmp_path).latest()
    store = kept(tmp_path, [1, 2])
    for path in store.paths():
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint can be used: .*002.* is damaged.*; .*001.* is damaged"):
        store.latest()


def test_what_is_written_after_a_fallback_is_kept_and_the_damaged_one_goes(tmp_path):
    store = kept(tmp_path, [100, 200], last=2)
    store.paths()[0].write_bytes(b"")
    store.write(150, {"x": torch.zeros(1)}, {"updates": 150}, 1)
    assert [path.name for path in store.paths()] == ["step-000000150.safetensors"]
    assert store.latest().checkpoint.facts == {"updates": 150}


def test_stumps_of_a_kill_are_tidied_away(tmp_path):
    store = kept(tmp_path, [1])
    (tmp_path / "step-000000002.safetensors.77.tmp").write_text("half")
    store.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.safetensors"]


def test_strangers_and_stumps_are_left_alone(tmp_path):
    for name in ("step-x.safetensors", "step-000000009.safetensors.tmp", "best.safetensors", "notes.txt"):
        (tmp_path / name).write_text("?")
    store = kept(tmp_path, [1, 2, 3], last=1)
    assert [path.name for path in store.paths()] == ["step-000000003.safetensors"]
    assert (tmp_path / "best.safetensors").exists()


def test_nothing_older_goes_before_the_new_one_is_there(tmp_path, monkeypatch):
    """Fault 73, with a single one kept."""
    store = kept(tmp_path, [1], last=1)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bntt.io.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        store.write(2, {"x": torch.zeros(1)}, {}, 1)
    monkeypatch.undo()
    assert store.latest().checkpoint.facts == {"updates": 1}


def test_an_old_one_that_cannot_be_deleted_stays_a_while(tmp_path, monkeypatch):
    store = kept(tmp_path, [1], last=1)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    store.write(2, {"x": torch.zeros(1)}, {"updates": 2}, 1)
    monkeypatch.undo()
    assert len(store.paths()) == 2
    assert store.latest().checkpoint.facts == {"updates": 2}
