"""Tied weights: trained, kept in a file, and taken up with the same bits."""

import pytest
import safetensors
import safetensors.torch
import torch

from bntt.data import SampleLoader
from bntt.io.checkpoint import CheckpointError, load_checkpoint, read_checkpoint, untied, write_checkpoint
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import EpochRecord, Method, Session
from tests.training.test_fit import data

FIRST, SECOND = "network.blocks.fc2.synapse.weight", "network.blocks.fc3.synapse.weight"


def build(seed=1):
    net = mlp(in_features=16, hidden=(12, 12, 12), num_classes=3, num_steps=4, seed=seed, leak=0.9)
    net.blocks["fc3"].synapse.weight = net.blocks["fc2"].synapse.weight
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


def session(seed=1):
    method = Method(optimizer="adamw", lr=0.01, average=0.9)
    return Session(build(seed), SampleLoader(data(), 10, shuffle=True), epochs=2, method=method, seed=3)


def test_a_training_of_tied_weights_is_kept_and_goes_on_with_the_same_bits(tmp_path):
    whole, path, rest = session(), tmp_path / "x.safetensors", None
    for number, record in enumerate(whole.records()):
        if rest is None and number == 4:  # after the first update of the second epoch
            write_checkpoint(path, *whole.state())
            rest = []
        elif rest is not None:
            rest.append(record)
    again = session(seed=9)
    again.load(*read_checkpoint(path))
    assert list(again.records()) == rest
    assert isinstance(rest[-1], EpochRecord)
    one, other = whole.state()[0], again.state()[0]
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    weights = dict(again.model.named_parameters(remove_duplicate=False))
    assert weights[FIRST] is weights[SECOND]


def test_each_tied_weight_is_once_in_the_file_and_read_under_all_of_its_names(tmp_path):
    model, other, path = build(), build(seed=9), tmp_path / "x.safetensors"
    write_checkpoint(path, {f"model.{name}": value for name, value in model.state_dict().items()}, {})
    with safetensors.safe_open(path, "pt") as file:
        names = set(file.keys())
    assert (f"model.{FIRST}" in names, f"model.{SECOND}" in names) == (True, False)
    load_checkpoint(path, other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    write_checkpoint(path, {"a": torch.ones(2), "b": torch.ones(2)}, {})
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata().keys() == {"format", "sha256", "facts"}, "without tied weights, as it was"


def test_what_shares_a_part_of_its_memory_is_copied():
    whole = torch.arange(6.0)
    kept, tied = untied({"whole": whole, "part": whole[1:3], "turned": whole.view(2, 3).T, "empty": whole[:0]})
    assert tied == {}
    assert [kept[name].flatten().tolist() for name in ("part", "turned")] == [[1, 2], [0, 3, 1, 4, 2, 5]]
    assert safetensors.torch.load(safetensors.torch.save(kept)).keys() == kept.keys()


def test_names_that_stand_for_nothing_are_refused(tmp_path, monkeypatch):
    """Of a file that is made so, with its checksum right."""
    for tied in ({"b": "c"}, {"a": "a"}, ["a"], "x", 3, {"b": ["a"]}):
        monkeypatch.setattr("bntt.io.checkpoint.untied", lambda tensors, tied=tied: (dict(tensors), tied))
        write_checkpoint(tmp_path / "x", {"a": torch.ones(2)}, {})
        with pytest.raises(CheckpointError, match="tensors"):
            read_checkpoint(tmp_path / "x")
