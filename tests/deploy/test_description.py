"""The description of a network: the numbers that it evaluates with, what is refused and by which name."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import bntt
from bntt.deploy import DeployError, Runtime, describe
from bntt.deploy.description import Pictures, Pool
from bntt.models import mlp, resnet20, vgg6
from bntt.nn import (
    LIF,
    NORMS,
    Call,
    CurrentBlock,
    FoldedLIF,
    FoldedNeuron,
    NoisyEncoder,
    NoNorm,
    Readout,
    Residual,
    SpikingBlock,
    SpikingNetwork,
)
from tests.nn.networks import dense, quiet
from tests.rows import each_row

STEPS, CHANNELS = 3, 4


def linear(inputs: int, outputs: int) -> nn.Linear:
    return dense(inputs, outputs, torch.Generator().manual_seed(inputs))


def randomized(module: nn.Module) -> nn.Module:
    """The same with parameters and statistics that are not where they start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in (*module.named_parameters(), *module.named_buffers()):
            if "norm" in name or isinstance(module, bntt.nn.TemporalNorm):
                values.add_(0.2 * torch.rand(values.shape, generator=generator))
    return module.eval()


def net_of(block: nn.Module, **more) -> bntt.SpikingClassifier:
    network = SpikingNetwork({"fc1": block}, Readout(linear(CHANNELS, 2)))
    return bntt.SpikingClassifier(more.get("encoder", bntt.SequenceEncoder(STEPS)), network)


@each_row("name", [name for name in NORMS if name != "layer"])
def test_scale_and_shift_are_those_of_the_norm_in_evaluation(name):
    norm = randomized(NORMS[name](CHANNELS, STEPS, 0.75))
    block = SpikingBlock(linear(5, CHANNELS), norm, LIF())
    layer = describe(net_of(block), input_shape=[5]).layers[0]
    x = torch.randn(STEPS, 2, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = norm.double()(x, Call())[0].detach().numpy()
    found = layer.scale[:, None] * x.numpy() + layer.shift[:, None]
    assert np.abs(found - expected).max() < 1e-14


def test_neurons_that_scale_their_input_or_learn_have_it_in_their_tables():
    lif = LIF(0.75, 2.0, learn_leak=True, channels=CHANNELS, decay_input=True, rule=bntt.nn.fire_before)
    layer = describe(net_of(SpikingBlock(linear(5, CHANNELS), NoNorm(), lif)), input_shape=[5]).layers[0]
    assert np.allclose(layer.neurons.leak, 0.75 * np.ones((1, CHANNELS)))
    assert np.allclose(layer.scale, 0.25)
    assert not layer.shift.any()
    assert (layer.neurons.rule, layer.neurons.reset, layer.neurons.threshold.tolist()) == ("before", "soft", [[2.0]])
    folded = FoldedNeuron(
        0.5,
        torch.tensor([[1.0], [2.0], [-1.0]]),
        gain=3.0,
        bias=0.5,
        amount=torch.ones(1, CHANNELS),
        turned=torch.tensor([[False], [False], [True]]),
        reset=bntt.nn.hard_reset,
    )
    block = SpikingBlock(linear(5, CHANNELS), NoNorm(), FoldedLIF(folded))
    layer = describe(net_of(block), input_shape=[5]).layers[0]
    assert set(layer.scale.flat) == {3.0}
    assert set(layer.shift.flat) == {0.5}
    assert layer.neurons.turned.tolist() == [[False], [False], [True]]
    assert layer.neurons.amount.shape == (1, CHANNELS)
    assert not layer.neurons.is_plain


def test_the_order_of_a_residual_network():
    model = bntt.SpikingClassifier(bntt.DirectEncoder(STEPS), resnet20(num_steps=STEPS, width=0.25, in_channels=1))
    made = describe(model, input_shape=(1, 8, 8))
    names = [node.name for node in made.nodes]
    after, shortcut = names.index("block4.after"), names.index("block4.shortcut")
    total = made.nodes[made.nodes[after].reads]
    assert (total.name, [names[place] for place in total.reads]) == ("block4", ["block4.conv2", "block4.shortcut"])
    assert names[made.nodes[shortcut].reads] == "block3.after"
    assert made.nodes[names.index("block9.after")].after == (Pool("average", (2, 2)),)
    assert made.shapes[-2] == ((16, 2, 2), (16, 1, 1))

    def spiking() -> SpikingBlock:
        return SpikingBlock(linear(CHANNELS, CHANNELS), NORMS["bntt"](CHANNELS, STEPS, 1.0), LIF())

    inner = Residual({"a": spiking()}, {"b": spiking()})
    model = randomized(net_of(Residual({"inner": inner}, after=Residual({"c": spiking()})))).double()
    made, rng = describe(model, input_shape=[CHANNELS]), torch.Generator().manual_seed(0)
    x = torch.randn(5, STEPS, CHANNELS, dtype=torch.float64, generator=rng)
    assert [node.name for node in made.nodes] == [
        *("fc1.inner.a", "fc1.inner.b", "fc1.inner", "fc1", "fc1.after.c", "fc1.after", "readout")
    ]
    assert np.abs(Runtime(made, "float64").run(x.numpy()) - model(x).detach().numpy()).max() < 1e-14


def test_what_the_description_says_beside_the_layers():
    network = vgg6(num_steps=4, width=0.25, fire="before")
    encoder = bntt.PoissonEncoder(4, mean=[0.3], std=[0.2])
    made = describe(bntt.SpikingClassifier(encoder, network), classes=list("abcdefghij"), run={"commit": "1"})
    assert (made.encoder.kind, made.encoder.mean, made.input_shape) == ("poisson", (float(encoder.mean),), (1, 28, 28))
    assert (made.classes[1], made.provenance) == ("b", {"commit": "1"})
    assert made.layers[1].driven == (1, 1)  # of four steps, five layers that fire a step late leave none
    assert np.array_equal(made.layers[0].gamma, np.ones(4))


class OwnNorm(NoNorm):
    """A norm of a user's that says to be none."""


class Own(bntt.nn.LIF):
    """Neurons of a user's."""


def hooked(part: str) -> nn.Module:
    block = SpikingBlock(linear(5, CHANNELS), NoNorm(), LIF())
    total = Residual({"a": block}, {"b": CurrentBlock(linear(5, CHANNELS), NoNorm())})
    total.get_submodule(part).register_forward_hook(lambda module, args, out: None)
    return total if part == "" else block


REFUSED = [
    (
        SpikingBlock(linear(5, CHANNELS), bntt.LayerNorm(CHANNELS), LIF()),
        "'fc1' .* its norm, LayerNorm, takes the stat",
    ),
    (SpikingBlock(linear(5, CHANNELS), NoNorm(), Own()), "its neurons are Own: only LIF"),
    (SpikingBlock(linear(5, CHANNELS), NoNorm(), bntt.nn.Rectifier()), "its neurons are Rectifier"),
    (SpikingBlock(linear(5, CHANNELS), NoNorm(), quiet()), "its neurons are Quiet, which is not from the library"),
    (SpikingBlock(linear(5, CHANNELS), OwnNorm(), LIF()), "its norm, OwnNorm, is not from the library"),
    (SpikingBlock(linear(5, CHANNELS), NoNorm(), LIF(), nn.AvgPool2d(3, stride=2)), "its pool is AvgPool2d"),
    (hooked("body.a.norm"), "^network.blocks.fc1.norm has a hook, which the file cannot contain: remove it"),
    (hooked(""), "^network.blocks.fc1 has a hook, which the file cannot contain: remove it"),
    (SpikingBlock(linear(6, CHANNELS), NoNorm(), LIF()), "its input does not fit"),
    (
        SpikingBlock(nn.Sequential(linear(5, CHANNELS), nn.Flatten()), NoNorm(), LIF()),
        "its weights end in Flatten: nn.C",
    ),
]


@each_row("block, said", REFUSED)
def test_what_cannot_be_described_is_refused_by_name(block, said):
    with pytest.raises(DeployError, match=said):
        describe(net_of(block), input_shape=[5])


def test_encoders_and_shapes_that_are_not_known():
    model = bntt.SpikingClassifier(bntt.DirectEncoder(4), mlp(in_features=4, num_steps=4))
    with pytest.raises(DeployError, match=r"does not say the shape of its samples: give it, input_shape=\(C, H, W\)"):
        describe(model)
    noisy = NoisyEncoder(bntt.DirectEncoder(4), 0.1)
    with pytest.raises(DeployError, match="the encoder, NoisyEncoder, cannot leave PyTorch: use PoissonEncoder"):
        describe(bntt.SpikingClassifier(noisy, model.network), input_shape=(1, 2, 2))


class Warmer(bntt.SpikingClassifier):
    def forward(self, x, **call):
        return 2 * super().forward(x, **call)


def test_a_classifier_or_network_that_does_more_than_its_parts_is_refused():
    network = mlp(in_features=4, num_steps=4)
    with pytest.raises(DeployError, match=r"^the classifier has a method of its own, .* which the file"):
        describe(Warmer(bntt.SequenceEncoder(4), network))
    network.register_forward_hook(lambda module, args, out: 2 * out)
    with pytest.raises(DeployError, match=r"^network has a hook, which the file"):
        describe(bntt.SpikingClassifier(bntt.SequenceEncoder(4), network))
    handle = register_module_forward_hook(lambda module, args, out: None)
    try:
        with pytest.raises(DeployError, match="every module has a hook, which the file"):
            describe(bntt.SpikingClassifier(bntt.SequenceEncoder(4), mlp(in_features=4, num_steps=4)))
    finally:
        handle.remove()


def test_a_description_that_describes_no_network_is_refused():
    made = describe(net_of(CurrentBlock(linear(5, CHANNELS), NORMS["bn"](CHANNELS, STEPS, 1.0))), input_shape=[5])
    first, last = made.nodes
    wrong = [
        ({"nodes": (first,)}, r"readout gives \[4, 1, 1\], and 2 classes"),
        ({"nodes": (replace(first, reads=0), last)}, "'fc1': it reads nodes \\[0\\], and is node 0"),
        (
            {"nodes": (replace(first, scale=first.scale[:2]), last)},
            r"'fc1': its scale is float64 \[2, 4\], expected \[3, 4\]",
        ),
        (
            {"nodes": (replace(first, shift=first.shift * np.nan), last)},
            "'fc1': its shift has numbers that are not fin",
        ),
        ({"input_shape": (6,)}, r"'fc1': its weights \[4, 5\] .* do not fit \[6, 1, 1\]"),
        ({"encoder": replace(made.encoder, num_steps=4)}, "its scale is"),
        ({"encoder": replace(made.encoder, std=(0.0,), mean=(1.0,))}, "std above 0"),
        (
            {"pictures": Pictures((3, 32, 32), order="rows")},
            r"become \[32, 96\], and .* takes \[5\] in each of 3",
        ),
        ({"pictures": Pictures((1, 1 << 14, 1 << 14))}, "pictures are"),
    ]
    for changes, said in wrong:
        with pytest.raises(DeployError, match=said):
            replace(made, **changes)


def test_the_description_needs_no_pytorch():
    code = (
        "import sys; sys.modules['torch'] = None; import bntt.deploy.description; from bntt.deploy import Description"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
