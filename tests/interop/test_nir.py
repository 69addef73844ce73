"""Constant graphs of NIR in other frameworks: the same spikes, or the call that fails; and theirs here."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from torch import nn

import bntt
from bntt.deploy import Description, Encoder, Runtime, describe, from_nir, make_constant
from bntt.deploy.nir import graph
from bntt.models import pretrained
from tests.deploy.nir import interpreter
from tests.interop.peers import need

need("nirtorch", "2.6")
IMAGES = 20


@pytest.fixture(scope="module")
def made() -> Description:
    return make_constant(describe(pretrained()))


@pytest.fixture(scope="module")
def given(made) -> tuple[torch.Tensor, np.ndarray, dict[str, np.ndarray]]:
    """Poisson spikes of images, the library's logits, and what every node gives by NIR's own definitions."""
    images = bntt.data.fashion_mnist_bundled().test.images[:IMAGES].float() / 255
    spikes = pretrained().encoder(images, seed=0, index=torch.arange(IMAGES), draw=0)
    nodes = interpreter.run(graph.build(made), spikes.numpy().astype(np.float64))
    return spikes, Runtime(made, "float64").run(images.numpy(), seed=0), nodes


def agrees(network: nn.Module, given) -> None:
    """Every layer fires the spikes that NIR's definitions give, and the logits are the library's."""
    spikes, logits, nodes = given
    layers = [name for name in nodes if name.endswith("_lif")]
    assert layers == ["conv1_lif", "conv2_lif", "conv3_lif", "conv4_lif", "fc1_lif"]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    for name in layers:
        part = network.get_submodule(name)
        part.register_forward_hook(
            lambda _, __, out, name=name: seen[name].append(out[0] if type(out) is tuple else out)
        )
    total, state = 0, None
    with torch.no_grad():
        for x in spikes:
            out, state = network(x) if state is None else network(x, state)
            total = total + out.numpy()
    assert np.abs(total / len(spikes) - logits).max() < 1e-5
    for name in layers:
        assert 0.001 < nodes[name].mean() < 0.5
        assert np.array_equal(torch.stack(seen[name]).numpy().reshape(nodes[name].shape), nodes[name]), name


def test_spikingjelly_fires_the_same_spikes(made, given, tmp_path):
    need("spikingjelly", "2.0.0")
    from spikingjelly.activation_based import nir_exchange

    graph.write(made, tmp_path / "x.nir")
    agrees(nir_exchange.import_from_nir(tmp_path / "x.nir"), given)


def test_snntorch_fires_the_same_spikes(made, given):
    need("snntorch", "1.0.0")
    from snntorch.import_nir import import_from_nir

    for image in range(2):  # one at a time: its Flatten takes the batch for a part of an image
        with contextlib.redirect_stdout(io.StringIO()):
            network = import_from_nir(graph.build(made))
        spikes, logits, nodes = given
        one = {name: values[:, image : image + 1] for name, values in nodes.items()}
        agrees(network, (spikes[:, image : image + 1], logits[image], one))


def test_spikingjellys_own_graph_is_read(rng):
    need("spikingjelly", "2.0.0")
    from spikingjelly.activation_based import functional, layer, neuron, nir_exchange

    network = nn.Sequential(
        layer.Conv2d(1, 3, 3, padding=1, bias=False),
        neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=0.1),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(48, 4),
        neuron.IFNode(v_threshold=0.5),
        layer.Linear(4, 2),
    )
    x = torch.rand(6, 3, 1, 8, 8, generator=rng)
    written = nir_exchange.export_to_nir(network, x[0])
    functional.reset_net(network)
    with torch.no_grad():
        expected = torch.stack([network(now) for now in x]).mean(0).numpy()
    made = from_nir(written, encoder=Encoder("frames", 6))
    assert [layer.neurons is None for layer in made.layers] == [True, False, True, True, False, True]
    found = Runtime(made, "float64").run(x.transpose(0, 1).numpy())
    assert expected.std() > 0.01
    assert np.abs(found - expected).max() < 1e-5


def test_snntorchs_own_graph_is_read(rng):
    need("snntorch", "1.0.0")
    import snntorch
    from snntorch.export_nir import export_to_nir

    options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
    made = [(0.8, 0.2, 7), (0.9, 0.1, 2)]  # one number for all neurons would be refused by its own check of shapes
    neurons = [
        snntorch.Leaky(beta=torch.full((n,), leak), threshold=torch.full((n,), threshold), **options)
        for leak, threshold, n in made
    ]
    network = nn.Sequential(nn.Linear(5, 7), neurons[0], nn.Linear(7, 2), neurons[1])
    x = torch.rand(6, 3, 5, generator=rng)
    with pytest.warns(DeprecationWarning, match="nirtorch.extract_nir_graph"):
        written = export_to_nir(network, x[0, 0])  # a batch would be a part of the shape
    for one in neurons:
        one.reset_mem()
    with torch.no_grad():
        expected = torch.stack([network(now) for now in x]).mean(0).numpy()
    found = Runtime(from_nir(written, encoder=Encoder("sequence", 6)), "float64").run(x.transpose(0, 1).numpy())
    assert expected.std() > 0.01
    assert np.abs(found - expected).max() < 1e-5
