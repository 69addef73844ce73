"""Round trip, atomic writing, and every kind of file that must be refused."""

import os

import pytest
import safetensors.torch
import torch

from bntt.models import mlp
from bntt.training import sgd
from bntt.training.checkpoint import CheckpointError, load_checkpoint, read_notes, save_checkpoint


def build(num_steps=3, **options):
    net = mlp(in_features=4, hidden=(5,), num_classes=2, num_steps=num_steps, **options)
    return net, sgd(net)


@pytest.fixture
def saved(tmp_path):
    net, optimizer = build(seed=1)
    net(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimizer.step()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, net, optimizer, {"epoch": "7"})
    return path, net, optimizer


def test_round_trip_of_model_momentum_and_notes(saved):
    path, net, optimizer = saved
    other, other_optimizer = build(seed=2)
    notes = load_checkpoint(path, other, other_optimizer)
    assert notes["epoch"] == "7"
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in net.state_dict().items())
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        expected = optimizer.state[mine]["momentum_buffer"]
        assert torch.equal(other_optimizer.state[theirs]["momentum_buffer"], expected)


@pytest.mark.parametrize("size", [0, 7, 10, 200, -1])
def test_a_truncated_file(saved, size):
    path, *_ = saved
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        load_checkpoint(path, build()[0])


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(tmp_path / "none", build()[0])


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
    path, *_ = saved
    net, _ = build(**options)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, net)
    assert all(torch.equal(v, net.state_dict()[n]) for n, v in before.items())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.readout.synapse.weight", float("nan"), "not finite"),
        ("model.blocks.fc1.norm.running_var", -1.0, "negative variance"),
    ],
)
def test_impossible_numbers_are_refused(saved, name, value, message):
    path, *_ = saved
    tensors = safetensors.torch.load_file(path)
    tensors[name].flatten()[0] = value
    safetensors.torch.save_file(tensors, path, metadata={"format": "1", "epoch": "0"})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, build()[0])


def test_momentum_is_checked_too(saved):
    path, *_ = saved
    tensors = safetensors.torch.load_file(path)
    tensors["momentum.readout.synapse.weight"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, path, metadata={"format": "1", "momentum": "4"})
    net, optimizer = build()
    load_checkpoint(path, net)
    with pytest.raises(CheckpointError, match=r"momentum of readout.synapse.weight is torch.float32 \[3\]"):
        load_checkpoint(path, net, optimizer)
    del tensors["momentum.readout.synapse.weight"]
    safetensors.torch.save_file(tensors, path, metadata={"format": "1", "momentum": "3"})
    with pytest.raises(CheckpointError, match=r"holds 2 momenta, its notes say 3"):
        load_checkpoint(path, net, optimizer)


def test_a_run_without_momentum_can_be_loaded(tmp_path):
    """momentum = 0, or a parameter that gets no gradient, leaves no buffer behind."""
    net, _ = build(seed=1)
    optimizer = sgd(net, momentum=0.0)
    net(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "x", net, optimizer, {})
    load_checkpoint(tmp_path / "x", net, optimizer)


def test_notes_can_be_read_alone(saved, tmp_path):
    assert read_notes(saved[0])["epoch"] == "7"
    with pytest.raises(CheckpointError, match="does not exist"):
        read_notes(tmp_path / "none")


def test_a_note_that_is_needed(saved):
    path, net, _ = saved
    with pytest.raises(CheckpointError, match="has no note of best"):
        load_checkpoint(path, net, needs=("epoch", "best"))


def test_another_format_is_refused(saved):
    path, *_ = saved
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata={"format": "99"})
    with pytest.raises(CheckpointError, match="has format 99, this version reads 1"):
        load_checkpoint(path, build()[0])


def test_a_failed_write_leaves_the_old_file_and_no_stump(saved, monkeypatch):
    path, net, optimizer = saved
    before = path.read_bytes()

    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, net, optimizer, {"epoch": "8"})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["last.safetensors"]
