"""Round trip, atomic writing, every flipped bit, and every kind of file that must be refused."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bntt.io import files
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_checkpoint, read_facts, write_checkpoint
from bntt.models import mlp


def build(num_steps=3, **options):
    return mlp(in_features=4, hidden=(5,), num_classes=2, num_steps=num_steps, **options)


def tensors_of(net, kind="model"):
    return {f"{kind}.{name}": value for name, value in net.state_dict().items()}


@pytest.fixture
def saved(tmp_path):
    net = build(seed=1)
    path = tmp_path / "best.safetensors"
    write_checkpoint(path, tensors_of(net), {"epoch": 7, "loss": 0.1 + 0.2, "note": "γ " + "0" * 64})
    return path, net


def rewritten(path, **notes):
    """The file with the same tensors and other notes in its header."""
    payload = path.read_bytes()
    header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])["__metadata__"]
    safetensors.torch.save_file(safetensors.torch.load(payload), path, metadata={**header, **notes})


def test_round_trip_of_tensors_and_facts(saved):
    path, net = saved
    other = build(seed=2)
    facts = load_checkpoint(path, other, needs=("epoch",))
    assert facts == {"epoch": 7, "loss": 0.1 + 0.2, "note": "γ " + "0" * 64}
    assert facts == read_facts(path)
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in net.state_dict().items())


def test_the_average_is_what_is_loaded_where_there_is_one(tmp_path):
    net, average, other = build(seed=1), build(seed=2), build(seed=3)
    write_checkpoint(tmp_path / "x", tensors_of(net) | tensors_of(average, "average"), {})
    load_checkpoint(tmp_path / "x", other)
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in average.state_dict().items())


def test_every_flipped_bit_is_noticed(saved):
    """R5: 250 single bits all over the file, the header's padding included."""
    path, _ = saved
    payload, missed = path.read_bytes(), []
    for place in torch.linspace(0, 8 * len(payload) - 1, 250).long().tolist():
        changed = bytearray(payload)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            read_checkpoint(path)
            missed.append(place)
        except CheckpointError:
            continue
    assert missed == []


def test_a_truncated_longer_or_missing_file(saved, tmp_path):
    path, _ = saved
    payload = path.read_bytes()
    for content in (*(payload[:size] for size in (0, 7, 10, 200, -1)), payload + b"\0"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(path, build())
    for read in (read_facts, read_checkpoint):
        with pytest.raises(CheckpointError, match="does not exist"):
            read(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_facts(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 2}, r"gamma is torch.float32 \[3, 5\], the model has torch.float32 \[2, 5\]"),
        ({"norm": "none"}, "norm.gamma is not in the model"),
        ({"learn_leak": True}, "leak_logit is missing"),
    ],
)
def test_another_model_is_refused_and_left_unchanged(saved, options, message):
    """Fewer steps would silently lose statistics, more would keep their start values: neither loads."""
    path, _ = saved
    net = build(**options)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, net)
    assert all(torch.equal(v, net.state_dict()[n]) for n, v in before.items())


def test_impossible_numbers_are_refused(saved):
    path, net = saved
    for name, value, message in (
        ("model.readout.synapse.weight", float("nan"), "not finite"),
        ("model.blocks.fc1.norm.running_var", -1.0, "negative variance"),
    ):
        tensors = {key: tensor.clone() for key, tensor in tensors_of(net).items()}
        tensors[name].flatten()[0] = value
        write_checkpoint(path, tensors, {})
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path, build())


def test_a_fact_that_is_needed_and_another_format(saved):
    path, _ = saved
    with pytest.raises(CheckpointError, match="does not say best"):
        load_checkpoint(path, build(), needs=("epoch", "best"))
    for version in ("1", "99"):
        rewritten(path, format=version)
        with pytest.raises(CheckpointError, match=f"has format {version}, this version reads 2"):
            load_checkpoint(path, build())


def test_a_file_that_was_written_again_by_somebody_else(saved):
    """The same tensors and notes in another order of bytes: not what was written."""
    path, _ = saved
    rewritten(path, facts=json.dumps({"epoch": 8}))
    with pytest.raises(CheckpointError, match="not those that were written"):
        read_facts(path)


def test_a_failed_write_leaves_the_old_file_and_no_stump(saved, monkeypatch):
    path, net = saved
    before = path.read_bytes()

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"unchanged \(No space left on device: [\d,]+ bytes are needed, [\d,]+ are free"):
        write_checkpoint(path, tensors_of(net), {"epoch": 8})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["best.safetensors"]


def test_what_is_not_read_again_as_it_was_written_does_not_count(saved, monkeypatch):
    path, net = saved
    before = path.read_bytes()
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"something else")
    with pytest.raises(OSError, match="does not read back"):
        write_checkpoint(path, tensors_of(net), {"epoch": 8})
    monkeypatch.undo()
    assert path.read_bytes() == before


def signed(path, change):
    """The file with other bytes and a checksum that is right for them, as whoever makes files can write it."""
    payload = path.read_bytes()
    told = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])["__metadata__"]["sha256"].encode()
    blank = change(payload.replace(told, files._NO_SUM, 1))
    path.write_bytes(blank.replace(files._NO_SUM, hashlib.sha256(blank).hexdigest().encode(), 1))


LIES = [
    (b'"F32"', b'"F99"', "holds no tensors that can be read"),
    (b'"shape"', b'"shapf"', "holds no tensors that can be read"),
    (b'"facts"', b'"fakts"', "does not say its facts"),
    (b'"facts":"{', b'"facts":"[', "does not say its facts"),
    (b'"facts":"{}"', b'"facts":"7 "', "does not say its facts: 'int' object is not a mapping"),
]


def test_a_head_that_lies_under_a_right_checksum(tmp_path):
    path = tmp_path / "x"
    for old, new, message in LIES:
        write_checkpoint(path, {"w": torch.ones(2)}, {})
        signed(path, lambda payload: payload)
        assert read_checkpoint(path).facts == {}
        assert old in path.read_bytes()
        signed(path, lambda payload, old=old, new=new: payload.replace(old, new, 1))
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(path)


def test_a_head_beyond_any_is_not_parsed(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(((32 << 20) + 1).to_bytes(8, "little") + b"{}")
    monkeypatch.setattr("bntt.io.files.json.loads", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(CheckpointError, match="its header cannot be read"):
        read_checkpoint(path)
