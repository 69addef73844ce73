"""Constant graphs of NIR in other frameworks: the same spikes, or the call that fails; and theirs here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bntt
from bntt.deploy import Encoder, Runtime, describe, from_nir, make_constant
from bntt.deploy.nir import graph
from bntt.models import pretrained
from tests.deploy.nir import interpreter
from tests.interop.peers import need

need("nirtorch", "2.6")


def test_spikingjelly_fires_the_same_spikes(tmp_path):
    """In every layer those that NIR's own definitions give; and the logits are the library's."""
    need("spikingjelly", "2.0.0")
    from spikingjelly.activation_based import nir_exchange

    made = make_constant(describe(pretrained()))
    images = bntt.data.fashion_mnist_bundled().test.images[:20].float() / 255
    spikes = pretrained().encoder(images, seed=0, index=torch.arange(20), draw=0)
    nodes = interpreter.run(graph.build(made), spikes.numpy().astype(np.float64))
    graph.write(made, tmp_path / "x.nir")
    network, state, total = nir_exchange.import_from_nir(tmp_path / "x.nir"), None, 0
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in nodes if name.endswith("_lif")}
    assert len(seen) == 5
    for name, given in seen.items():
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, given=given: given.append(out[0] if type(out) is tuple else out)
        )
    with torch.no_grad():
        for x in spikes:
            out, state = network(x) if state is None else network(x, state)
            total = total + out.numpy()
    assert np.abs(total / len(spikes) - Runtime(made, "float64").run(images.numpy(), seed=0)).max() < 1e-5
    for name, given in seen.items():
        assert 0.001 < nodes[name].mean() < 0.5
        assert np.array_equal(torch.stack(given).numpy().reshape(nodes[name].shape), nodes[name]), name


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
