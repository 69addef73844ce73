"""The neurons of an ANN: no membrane, no spikes, the same however the steps are cut."""

import pytest
import torch

from bntt.models import mlp, vgg6, vgg11
from bntt.nn import Call, Measure, NeuronBlock, Rectifier, SpikingBlock
from bntt.nn.norms import NoNorm
from tests.oracle import weight_of


def test_it_rectifies_and_carries_nothing(rng):
    x = torch.randn(4, 2, 3, generator=rng)
    y, state = Rectifier()(x)
    assert torch.equal(y, x.clamp(min=0))
    assert state is None
    assert torch.equal(Rectifier()(x[2:], Call(first=2))[0], y[2:])


def test_a_block_of_rectifiers_lists_a_layer_in_which_nothing_spikes():
    weights = torch.nn.Linear(3, 2, bias=False, device="meta")
    (layer,) = SpikingBlock(weights, NoNorm(), Rectifier()).layers
    assert layer.synapse is weights
    assert layer.lif is None
    assert NeuronBlock(Rectifier()).layers[0].lif is None


@pytest.mark.parametrize(
    ("build", "options", "shape"),
    [
        (vgg6, {"width": 0.25}, (1, 28, 28)),
        (vgg11, {"width": 0.125, "image_size": 64}, (3, 64, 64)),
        (mlp, {"in_features": 5, "hidden": (7, 6)}, (5,)),
    ],
    ids=["vgg6", "vgg11", "mlp"],
)
def test_an_ann_is_what_pytorch_says(build, options, shape, rng):
    ann = build(num_steps=1, norm="none", neuron="relu", **options)
    x = torch.rand(2, *shape, generator=rng)
    y = x
    for block in ann.blocks.values():
        y = block.pool(block.synapse(y).relu())
    torch.testing.assert_close(ann(x[None]), ann.readout.synapse(y))
    ann(x[None]).sum().backward()
    assert all(p.grad.abs().max() > 0 for p in ann.parameters())
    spiking = build(num_steps=1, norm="none", **options)
    assert {n: p.shape for n, p in ann.named_parameters()} == {n: p.shape for n, p in spiking.named_parameters()}


def test_its_start_weights_have_the_gain_of_he():
    ann, spiking = (mlp(in_features=5, num_steps=1, norm="none", neuron=neuron) for neuron in ("relu", "lif"))
    one, other = (weight_of(net.blocks["fc2"].synapse) for net in (ann, spiking))
    torch.testing.assert_close(one * 2, other * 2.0**0.5)


def test_nothing_spikes_in_an_ann():
    ann = mlp(in_features=3, hidden=(4, 4), num_steps=1, norm="none", neuron="relu").eval()
    trace = ann.trace(torch.ones(1, 2, 3))
    assert trace.spikes == {}
    assert trace.neurons == {}
    _, state = ann.advance(torch.ones(1, 2, 3), measure=Measure(spikes=True, arrivals=True))
    assert state.measured["fc1"].spikes is None
    assert state.measured["fc2"].arrivals is not None
