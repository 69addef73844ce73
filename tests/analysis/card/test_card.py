"""The card of a network, against numbers worked out by hand, and against the bundle that is written of it."""

import json

import pytest
import safetensors.numpy
import torch
from torch import nn

from bntt.analysis.card import CardArguments, CardResult
from bntt.analysis.card.hardware_profile import hardware_profile
from bntt.deploy import describe, export
from bntt.io.files import Seal
from bntt.models import pretrained, resnet20
from bntt.nn import BNTT, LIF, DirectEncoder, FrameEncoder, Readout, SpikingBlock, SpikingClassifier, SpikingNetwork
from bntt.runs.measure import measure
from tests.trained import opened_run

STEPS = 2


def by_hand():
    """Two channels of 1x2 pixels, by weights of 1, to one neuron each; half of each spike to two outputs."""
    with torch.random.fork_rng():
        conv, readout = nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 3, bias=False)
    norm = BNTT(2, num_steps=STEPS)
    with torch.no_grad():
        conv.weight.fill_(1.0)
        readout.weight.fill_(2.0)
        norm.gamma.copy_(torch.tensor([[1.0, -3.0], [1.0, 1.0]]))
        norm.running_var.fill_(1 - norm.eps)
    pool = nn.Sequential(nn.AvgPool2d((1, 2)), nn.Flatten())
    net = SpikingNetwork({"conv1": SpikingBlock(conv, norm, LIF(leak=1.0), pool)}, Readout(readout))
    return SpikingClassifier(FrameEncoder(STEPS), net).eval()


def frames():
    """One sample: 2 and 0 in the first step, 0 and 0.75 in the second."""
    return torch.tensor([[2.0, 0.0], [0.0, 0.75]]).reshape(1, STEPS, 1, 1, 2)


def test_numbers_by_hand():
    found = hardware_profile(by_hand(), batches=[(frames(), torch.zeros(1, dtype=torch.int64))])
    conv1, readout = found.layers
    assert found.parameters == 2 + 4 + 6
    assert (conv1.weights, readout.weights) == (2, 6)
    assert (conv1.connections, readout.connections) == (4, 6)
    assert (conv1.neurons, conv1.state_bytes, readout.neurons, readout.state_bytes) == (4, 16, 3, 12)
    assert (conv1.fan_out_largest, conv1.fan_out_mean, readout.fan_out_largest) == (2, 2.0, 3)
    assert (found.negative_gamma, conv1.negative_gamma, readout.negative_gamma) == (0.25, 0.25, None)
    # step 1: channel 1 has m = 2 and 0, so it fires once and keeps 1; channel 2 has m = -6 and 0
    # step 2: channel 1 has m = 1 (not above 1) and 0.75; channel 2 has -6 and 0.75
    assert conv1.spikes == 1
    assert readout.spikes is None
    assert conv1.highest_membrane == pytest.approx(6.0)
    # 2.0 and 0.75 meet two weights each; the spike, half of a value, meets three
    assert (conv1.synaptic_operations, readout.synaptic_operations) == (4, 3)
    assert readout.highest_membrane == pytest.approx(1.0)  # 2 · 1/2, added up


def test_bits_are_those_of_the_bundle(tmp_path):
    model = pretrained()
    found = hardware_profile(model, input_shape=(1, 28, 28))
    for weights, bits in found.bits.items():
        export(model, tmp_path / "x", weights=weights)
        payload, _ = Seal("bundle", "bundle 1", RuntimeError).opened(tmp_path / "x")
        held = safetensors.numpy.load(payload)
        written = [v.nbytes for name, v in held.items() if name.endswith((".weights.values", ".weights.values.step"))]
        assert bits.weights == 8 * sum(written)
        tables = [v.nbytes for name, v in held.items() if name.endswith((".scale", ".shift"))]
        assert bits.tables == 8 * (sum(tables) - min(tables) * 2)  # the readout's are all 1 and 0
        assert sum(v.nbytes for v in held.values()) < (bits.weights + bits.tables) / 8 * 1.02


def test_the_membranes_of_a_residual_network_are_named_as_its_layers():
    net = resnet20(num_steps=STEPS, width=0.125, in_channels=1)
    model = SpikingClassifier(DirectEncoder(STEPS), net)
    batch = [(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(2, dtype=torch.int64))]
    found = hardware_profile(model, batches=batch)
    firing = {name for name, layer in net.layers.items() if layer.lif is not None}
    assert {row.layer for row in found.layers if row.state_bytes} == {*firing, "readout"}
    assert {row.layer for row in found.layers if row.highest_membrane is not None} == {*firing, "readout"}
    assert found.layers[0].highest_membrane > 0.1
    assert all(row.state_bytes == 4 * row.neurons for row in found.layers)


def test_without_samples_the_rest_is_there_and_the_reason():
    found = dict(hardware_profile(by_hand(), input_shape=(1, 1, 2)))
    told = CardResult(arguments=CardArguments(), dataset="x", split="test", missing="the disk is out", **found)
    assert "the disk is out" in told.section().gaps[0]
    read = {name: metric.read(told, None) for name, metric in told.metrics().items()}
    assert read == {"synaptic-operations": None, "membrane-bytes": 28, "highest-membrane": None, "negative-gamma": 25}


def test_a_run_has_the_operations_of_its_energy(tmp_path):
    run = opened_run()
    card, energy = measure("card", run, folder=tmp_path, images=1000), measure("energy", run, folder=tmp_path)
    assert card.images == energy.images == 1000
    spent = {row.layer: row.additions_by_spike + row.macs_by_spike for row in energy.layers if row.steps == card.steps}
    assert {row.layer: row.synaptic_operations for row in card.layers} == pytest.approx(spent)
    assert json.loads(json.dumps(card.to_json()))["arguments"] == {"split": "test", "images": 1000}
    assert describe(run.model).layers[0].name == card.layers[0].layer
