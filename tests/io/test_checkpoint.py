"""Round trip, atomic writing, every flipped bit, and every kind of file that must be refused."""

import hashlib
import json

import pytest
import safetensors.torch
import torch

from bntt.io import files
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_checkpoint, read_facts, write_checkpoint
from bntt.models import mlp
from tests.rows import each_row


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


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_round_trip_of_tensors_and_facts(saved, tmp_path):
    path, net = saved
    other = build(seed=2)
    facts = load_checkpoint(path, other, needs=("epoch",))
    assert facts == {"epoch": 7, "loss": 0.1 + 0.2, "note": "γ " + "0" * 64} == read_facts(path)
    assert same(net, other)
    average = build(seed=3)
    write_checkpoint(tmp_path / "x", tensors_of(net) | tensors_of(average, "average"), {})
    load_checkpoint(tmp_path / "x", other)
    assert same(average, other), "the average is what is loaded where there is one"


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


def put(content):
    """Other bytes in place of the file's, or as many of them."""
    return lambda path, _: path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:content])


def broken(name, value):
    def change(path, net):
        tensors = {key: tensor.clone() for key, tensor in tensors_of(net).items()}
        tensors[name].flatten()[0] = value
        write_checkpoint(path, tensors, {})

    return change


def signed(old, new):
    """Other bytes in the header and a checksum that is right for them, as whoever makes files can write it."""

    def change(path, _):
        payload = path.read_bytes()
        told = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])["__metadata__"]["sha256"].encode()
        blank = payload.replace(told, files._NO_SUM, 1).replace(old, new, 1)
        assert new in blank
        path.write_bytes(blank.replace(files._NO_SUM, hashlib.sha256(blank).hexdigest().encode(), 1))

    return change


@each_row(
    ("change", "named"),
    [
        *((put(size), "damaged") for size in (0, 7, 10, 200, -1)),
        (lambda path, _: path.write_bytes(path.read_bytes() + b"\0"), "damaged"),
        (lambda path, _: path.unlink(), "does not exist"),
        (lambda path, _: path.unlink() or path.mkdir(), "cannot be read"),
        *((lambda path, _, old=old: rewritten(path, format=old), f"format {old}.* 2") for old in ("1", "99")),
        (lambda path, _: rewritten(path, facts=json.dumps({"epoch": 8})), "SHA-256"),  # written by somebody else
        (broken("model.readout.synapse.weight", float("nan")), "readout.synapse.weight"),
        (broken("model.blocks.fc1.norm.running_var", -1.0), "running_var"),
        (signed(b'"F32"', b'"F99"'), "tensors"),
        (signed(b'"shape"', b'"shapf"'), "tensors"),
        (signed(b'"facts"', b'"fakts"'), "facts"),
        (signed(b'"facts":"{}"', b'"facts":"[}"'), "facts"),
        (signed(b'"facts":"{}"', b'"facts":"7 "'), "facts"),
    ],
)
def test_what_is_damaged_or_impossible_is_refused(change, named, tmp_path):
    path, net = tmp_path / "best.safetensors", build(seed=1)
    write_checkpoint(path, tensors_of(net), {})
    change(path, net)
    with pytest.raises(CheckpointError, match=f"best.safetensors.*{named}"):
        load_checkpoint(path, build())


@each_row(
    ("options", "needs", "named"),
    [
        ({"num_steps": 2}, (), r"gamma .*\[3, 5\].*\[2, 5\]"),
        ({"norm": "none"}, (), "norm.gamma"),
        ({"learn_leak": True}, (), "leak_logit"),
        ({}, ("epoch", "best"), "best.safetensors .*best"),
    ],
)
def test_another_model_is_refused_and_left_unchanged(saved, options, needs, named):
    """Fewer steps would silently lose statistics, more would keep their start values: neither loads."""
    path, _ = saved
    net = build(**options)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=named):
        load_checkpoint(path, net, needs)
    assert all(torch.equal(v, net.state_dict()[n]) for n, v in before.items())


def test_a_head_beyond_any_is_not_parsed(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(((32 << 20) + 1).to_bytes(8, "little") + b"{}")
    monkeypatch.setattr("bntt.io.files.json.loads", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(CheckpointError, match="header"):
        read_checkpoint(tmp_path / "x")
